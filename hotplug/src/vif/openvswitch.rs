//! `vif-openvswitch`: the interface is a port of a virtual switch.

use std::process::{Command, Output};

use super::{Interface, iptables};
use crate::failure::{Failure, Names};
use crate::store::Store;

const PROGRAM: &str = "ovs-vsctl";

/// A switch, and the VLANs of a port of it.
#[derive(Debug, PartialEq, Eq)]
struct Port<'a> {
    switch: &'a str,
    /// The VLAN that the port is in.
    tag: Option<&'a str>,
    /// The VLANs that the port carries.
    trunk: Option<String>,
}

pub(super) fn run<S: Store>(interface: &mut Interface<'_, S>) -> Result<(), Failure> {
    if interface.call.command.comes() {
        add(interface)?;
    } else {
        let _ = control(&["--", "--if-exists", "del-port", &interface.name]);
        if let Ok(link) = interface.index() {
            let _ = interface.links.down(link, None);
        }
    }
    if interface.call.is_of_tap() {
        return Ok(());
    }
    iptables::admit(interface)
}

fn add<S: Store>(interface: &mut Interface<'_, S>) -> Result<(), Failure> {
    let bridge = interface.wish("bridge")?.unwrap_or_default();
    let port = parse(&bridge).ok_or_else(|| Failure::new("No valid bridge was specified"))?;
    interface.make_port()?;
    let name = interface.name.clone();
    let mut words: Vec<String> = ["--", "--if-exists", "del-port", &name, "--", "add-port"]
        .map(str::to_owned)
        .into();
    words.extend([port.switch.to_owned(), name.clone()]);
    words.extend(port.tag.map(|tag| format!("tag={tag}")));
    words.extend(port.trunk.map(|trunk| format!("trunk={trunk}")));
    for (key, value) in about(interface)? {
        words.extend(["--", "set", "interface", &name].map(str::to_owned));
        words.push(format!("external-ids:\"{key}\"=\"{value}\""));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = control(&words).map_err(|_| Failure::new("Unable to find ovs-vsctl tool"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "{PROGRAM} {} failed: {}",
            words.join(" "),
            said.trim()
        )));
    }
    let link = interface.index()?;
    interface.links.up(link).names(name)
}

/// Returns what the switch remembers of the guest.
fn about<S: Store>(interface: &Interface<'_, S>) -> Result<[(&'static str, String); 3], Failure> {
    let store = interface.store;
    let frontend = store.need(&interface.key("frontend-id"))?;
    let machine = store.need(&format!("/local/domain/{frontend}/vm"))?;
    Ok([
        ("xen-vm-name", store.need(&format!("{machine}/name"))?),
        ("xen-vm-uuid", store.need(&format!("{machine}/uuid"))?),
        ("attached-mac", store.need(&interface.key("mac"))?),
    ])
}

fn control(words: &[&str]) -> std::io::Result<Output> {
    Command::new(PROGRAM)
        .arg("--timeout=30")
        .args(words)
        .output()
}

/// Reads `switch`, `switch.tag`, `switch:trunk:trunk` or `switch.tag:trunk:trunk`.
fn parse(bridge: &str) -> Option<Port<'_>> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (front, trunk) = match bridge.split_once(':') {
        Some((front, trunk)) => (front, Some(trunk)),
        None => (bridge, None),
    };
    let (switch, tag) = match front.split_once('.') {
        Some((switch, tag)) => (switch, Some(tag)),
        None => (front, None),
    };
    let numbers = trunk.map(|trunk| trunk.split(':').collect::<Vec<_>>());
    let all = tag.iter().chain(numbers.iter().flatten());
    if switch.is_empty() || !all.copied().all(is_number) {
        return None;
    }
    Some(Port {
        switch,
        tag,
        trunk: numbers.map(|numbers| numbers.join(",")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_may_have_vlans_behind_it() {
        let port = |switch, tag, trunk: Option<&str>| {
            Some(Port {
                switch,
                tag,
                trunk: trunk.map(str::to_owned),
            })
        };
        assert_eq!(parse("ovs0"), port("ovs0", None, None));
        assert_eq!(parse("ovs0.7"), port("ovs0", Some("7"), None));
        assert_eq!(parse("ovs0:1:2"), port("ovs0", None, Some("1,2")));
        assert_eq!(parse("ovs0.7:1"), port("ovs0", Some("7"), Some("1")));
        for wrong in ["", ".7", "ovs0.", "ovs0.x", "ovs0:", "ovs0:1:", "ovs0:1.2"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
