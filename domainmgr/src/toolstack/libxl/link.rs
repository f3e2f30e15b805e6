//! Renaming a network interface of the host through a netlink socket.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Renames an interface that is down.
pub(super) fn rename(from: &str, to: &str) -> io::Result<()> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{from}/ifindex"))?;
    let index = index.trim().parse().map_err(io::Error::other)?;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let request = message(index, to);
    let mut text = vec![0; request.buffer_len()];
    request.serialize(&mut text);
    socket.send(&text, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer: NetlinkMessage<RouteNetlinkMessage> =
        NetlinkMessage::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        // An error without a code is the acknowledgement.
        NetlinkPayload::Error(e) if e.code.is_some() => Err(e.to_io()),
        _ => Ok(()),
    }
}

fn message(index: u32, name: &str) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::SetLink(link));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request.finalize();
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_cannot_be_renamed() {
        let e = rename("no-such-link", "x").unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_kernel_is_asked_and_answers() {
        // The name is taken, the interface is up, or the caller is not allowed to rename it: the request fails in any case.
        assert!(rename("lo", "lo/x").is_err());
    }
}
