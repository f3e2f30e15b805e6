//! `vif-route`: dom0 routes to the guest.

use std::fs;
use std::net::Ipv4Addr;

use super::{Interface, iptables};
use crate::failure::{Failure, Names};
use crate::link::{self, Route};
use crate::store::Store;

/// The interface whose address dom0 uses, unless another one is named.
const NETDEV: &str = "eth0";

pub(super) fn run<S: Store>(interface: &mut Interface<'_, S>) -> Result<(), Failure> {
    let source = address(interface)?;
    let comes = interface.call.command.comes();
    let name = interface.name.clone();
    if comes {
        let link = interface.index()?;
        interface.links.set_address(link, source).names(&name)?;
        interface.links.up(link).names(&name)?;
        let proxy = format!("/proc/sys/net/ipv4/conf/{name}/proxy_arp");
        fs::write(&proxy, "1\n").names(&proxy)?;
    }
    let wishes = interface.wish("ip")?.unwrap_or_default();
    for word in wishes.split_whitespace() {
        let to = network(word);
        if !comes {
            // The interface may have gone with the guest, and its routes with it.
            if let (Some(to), Ok(over)) = (to, interface.index()) {
                let _ = interface
                    .links
                    .remove_route(route(interface, to, over, source));
            }
            continue;
        }
        let to = to.ok_or_else(|| Failure::new(format!("{word}: neither address nor network")))?;
        let over = interface.index()?;
        let route = route(interface, to, over, source);
        interface
            .links
            .add_route(route)
            .names(format!("ip route add {word} dev {name} failed"))?;
    }
    iptables::admit(interface)
}

fn route<S>(
    interface: &Interface<'_, S>,
    to: (Ipv4Addr, u8),
    over: link::Index,
    source: Ipv4Addr,
) -> Route {
    // The guest's own driver is the better way.
    let metric = if interface.call.is_of_tap() { 1 } else { 2 };
    Route {
        to,
        over,
        source,
        metric,
    }
}

/// Returns the address of dom0 that the guest's packets come from and go to.
fn address<S>(interface: &mut Interface<'_, S>) -> Result<Ipv4Addr, Failure> {
    let netdev = interface.call.variable("netdev");
    let index = link::index(netdev.unwrap_or(NETDEV)).ok();
    let address = match index {
        Some(index) => interface.links.address(index).names("netlink")?,
        None => None,
    };
    address.ok_or_else(|| {
        let netdev = netdev.unwrap_or_default();
        Failure::new(format!(
            "{netdev} is not up.  Bring it up or specify another interface with  netdev=<if> as a parameter to vif-route."
        ))
    })
}

/// Reads `192.168.99.5` or `192.168.99.0/24`.
fn network(word: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = word.split_once('/').unwrap_or((word, "32"));
    let length = length.parse().ok().filter(|&length| length <= 32)?;
    Some((address.parse().ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one() {
        let address = Ipv4Addr::new(192, 168, 99, 5);
        assert_eq!(network("192.168.99.5"), Some((address, 32)));
        assert_eq!(network("192.168.99.5/24"), Some((address, 24)));
        for word in ["", "192.168.99", "192.168.99.5/33", "fe80::1"] {
            assert_eq!(network(word), None, "{word}");
        }
    }
}
