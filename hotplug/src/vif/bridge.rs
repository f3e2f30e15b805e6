//! `vif-bridge`: the interface is a port of a bridge.

use std::fs;

use super::{Interface, iptables};
use crate::failure::{Failure, Names};
use crate::link;
use crate::store::Store;

pub(super) fn run<S: Store>(interface: &mut Interface<'_, S>) -> Result<(), Failure> {
    let bridge = match interface.wish("bridge")? {
        Some(bridge) => as_it_is_called(bridge),
        None => {
            first().ok_or_else(|| Failure::new("Could not find bridge, and none was specified"))?
        }
    };
    if !link::is_there(&bridge) {
        return Err(Failure::new(format!(
            "Could not find bridge device {bridge}"
        )));
    }
    if interface.call.command.comes() {
        interface.make_port()?;
        set_mtu(interface, &bridge)?;
        add(interface, &bridge)?;
    } else {
        remove(interface);
    }
    iptables::admit(interface)
}

/// Returns a bridge of this host.
fn first() -> Option<String> {
    let entries = fs::read_dir("/sys/class/net").ok()?.flatten();
    let mut bridges: Vec<String> = entries
        .filter(|entry| entry.path().join("bridge").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    bridges.sort();
    bridges.into_iter().next()
}

/// Returns the name of the bridge that is meant: once, bridges were called as the interfaces that they took the place of.
fn as_it_is_called(bridge: String) -> String {
    match bridge.strip_prefix("xenbr") {
        Some(number) if !link::is_there(&bridge) => {
            let other = format!("eth{number}");
            let is_bridge = link::is_there(&format!("{other}/bridge"));
            if is_bridge { other } else { bridge }
        }
        _ => bridge,
    }
}

fn set_mtu<S: Store>(interface: &mut Interface<'_, S>, bridge: &str) -> Result<(), Failure> {
    let text = match interface.get("mtu")? {
        Some(text) => text,
        None => link::attribute(bridge, "mtu").names(bridge)?,
    };
    let mtu: u32 = text.parse().names(format!("mtu {text}"))?;
    if mtu == 0 {
        return Ok(());
    }
    let link = interface.index()?;
    // The guest and the bridge are told all the same.
    let _ = interface.links.set_mtu(link, mtu);
    if interface.call.is_of_tap() {
        return Ok(());
    }
    let Interface { domain, device, .. } = interface;
    let key = format!("/local/domain/{domain}/device/vif/{device}/mtu");
    interface.store.write(&key, &text)
}

fn add<S: Store>(interface: &mut Interface<'_, S>, bridge: &str) -> Result<(), Failure> {
    let name = interface.name.clone();
    let link = interface.index()?;
    if !link::is_there(&format!("{bridge}/brif/{name}")) {
        let to = link::index(bridge).names(bridge)?;
        interface
            .links
            .set_bridge(link, Some(to))
            .names(format!("{name} cannot be a port of {bridge}"))?;
    }
    interface.links.up(link).names(name)
}

/// Takes the interface from its bridge. It may have gone with the guest.
fn remove<S: Store>(interface: &mut Interface<'_, S>) {
    if let Ok(link) = interface.index() {
        let _ = interface.links.down(link, None);
        let _ = interface.links.set_bridge(link, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_that_is_not_there_keeps_its_name() {
        assert_eq!(as_it_is_called("br0".to_owned()), "br0");
        assert_eq!(as_it_is_called("xenbr977".to_owned()), "xenbr977");
    }
}
