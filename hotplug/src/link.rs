//! Network interfaces of the host, through a netlink socket.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// The number of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(u32);

/// A route over an interface to a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// The network.
    pub(crate) to: (Ipv4Addr, u8),
    pub(crate) over: Index,
    /// Address that dom0 itself uses.
    pub(crate) source: Ipv4Addr,
    /// The lowest wins.
    pub(crate) metric: u32,
}

/// Returns the value of an attribute of an interface in sysfs.
pub(crate) fn attribute(name: &str, attribute: &str) -> io::Result<String> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/{attribute}"))?;
    Ok(text.trim().to_owned())
}

/// Returns whether there is an interface of this name.
pub(crate) fn is_there(name: &str) -> bool {
    fs::exists(format!("/sys/class/net/{name}")).unwrap_or(false)
}

/// Returns the number of an interface.
pub(crate) fn index(name: &str) -> io::Result<Index> {
    let text = attribute(name, "ifindex")?;
    text.parse().map(Index).map_err(io::Error::other)
}

/// A connection to the kernel.
pub(crate) struct Links(Socket);

impl Links {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel looks only at the interface that is asked for. Old ones do not know this, and tell of all.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self(socket))
    }

    /// Renames an interface that is down.
    pub(crate) fn rename(&mut self, link: Index, name: &str) -> io::Result<()> {
        self.set(link, None, [LinkAttribute::IfName(name.to_owned())])
    }

    /// Takes an interface down, with an address that no bridge takes for its own.
    pub(crate) fn down(&mut self, link: Index, address: Option<[u8; 6]>) -> io::Result<()> {
        self.set(link, Some(false), [])?;
        match address {
            Some(address) => self.set(link, None, [LinkAttribute::Address(address.to_vec())]),
            None => Ok(()),
        }
    }

    /// Brings an interface up.
    pub(crate) fn up(&mut self, link: Index) -> io::Result<()> {
        self.set(link, Some(true), [])
    }

    pub(crate) fn set_mtu(&mut self, link: Index, mtu: u32) -> io::Result<()> {
        self.set(link, None, [LinkAttribute::Mtu(mtu)])
    }

    /// Makes an interface a port of a bridge, or of none.
    pub(crate) fn set_bridge(&mut self, link: Index, bridge: Option<Index>) -> io::Result<()> {
        let bridge = bridge.map_or(0, |Index(bridge)| bridge);
        self.set(link, None, [LinkAttribute::Controller(bridge)])
    }

    /// Takes all addresses from an interface.
    pub(crate) fn flush(&mut self, link: Index) -> io::Result<()> {
        for address in self.addresses(link, AddressFamily::Unspec)? {
            match self.ask(RouteNetlinkMessage::DelAddress(address), NLM_F_ACK) {
                // The kernel takes some away with others.
                Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Returns the first IPv4 address of an interface.
    pub(crate) fn address(&mut self, link: Index) -> io::Result<Option<Ipv4Addr>> {
        let addresses = self.addresses(link, AddressFamily::Inet)?;
        Ok(addresses.iter().find_map(primary))
    }

    /// Gives an interface an address that is no network.
    pub(crate) fn set_address(&mut self, link: Index, address: Ipv4Addr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        message.header.index = link.0;
        let address = IpAddr::V4(address);
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
        ];
        let request = RouteNetlinkMessage::NewAddress(message);
        self.ask(request, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
            .map(drop)
    }

    pub(crate) fn add_route(&mut self, route: Route) -> io::Result<()> {
        let request = RouteNetlinkMessage::NewRoute(message(route));
        self.ask(request, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    pub(crate) fn remove_route(&mut self, route: Route) -> io::Result<()> {
        let request = RouteNetlinkMessage::DelRoute(message(route));
        self.ask(request, NLM_F_ACK).map(drop)
    }

    fn set<const N: usize>(
        &mut self,
        link: Index,
        up: Option<bool>,
        attributes: [LinkAttribute; N],
    ) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        if let Some(up) = up {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if up {
                LinkFlags::Up
            } else {
                LinkFlags::empty()
            };
        }
        message.attributes = attributes.into();
        self.ask(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
            .map(drop)
    }

    fn addresses(&mut self, link: Index, family: AddressFamily) -> io::Result<Vec<AddressMessage>> {
        let mut message = AddressMessage::default();
        message.header.family = family;
        message.header.index = link.0;
        let answers = self.ask(RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP)?;
        let addresses = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(address) => Some(address),
            _ => None,
        });
        Ok(addresses.filter(|a| a.header.index == link.0).collect())
    }

    /// Sends a request, and returns what the kernel tells until the end of its answer.
    fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut text = vec![0; request.buffer_len()];
        request.serialize(&mut text);
        self.0.send(&text, 0)?;
        let mut told = Vec::new();
        loop {
            let (answer, _) = self.0.recv_from_full()?;
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                let answer: NetlinkMessage<RouteNetlinkMessage> =
                    NetlinkMessage::deserialize(rest).map_err(io::Error::other)?;
                match answer.payload {
                    // An error without a code is the acknowledgement.
                    NetlinkPayload::Error(e) if e.code.is_some() => return Err(e.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(told),
                    NetlinkPayload::InnerMessage(message) => told.push(message),
                    _ => {}
                }
                // Messages begin at multiples of four bytes.
                let length = (answer.header.length as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// Returns the address that dom0 uses by itself.
fn primary(address: &AddressMessage) -> Option<Ipv4Addr> {
    let secondary = address.attributes.iter().any(|attribute| {
        matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Secondary))
    });
    let local = address
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        });
    local.filter(|_| !secondary)
}

fn message(route: Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = route.to.1;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Link;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet(route.to.0)),
        RouteAttribute::Oif(route.over.0),
        RouteAttribute::PrefSource(RouteAddress::Inet(route.source)),
        RouteAttribute::Priority(route.metric),
    ];
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_and_answers() {
        let mut links = Links::open().unwrap();
        let lo = index("lo").unwrap();
        assert!(is_there("lo") && !is_there("no-such-link"));
        // No interface has such a name. The caller may not be allowed to change any, either.
        assert!(links.rename(lo, "lo/x").is_err());
        let addresses = links.addresses(lo, AddressFamily::Inet).unwrap();
        assert!(addresses.iter().all(|a| a.header.index == lo.0));
        if attribute("lo", "operstate").unwrap() != "down" {
            assert_eq!(links.address(lo).unwrap(), Some(Ipv4Addr::LOCALHOST));
        }
        assert_eq!(
            index("no-such-link").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
