//! Descriptors that a client passes to the agent, so that the agent itself reads and writes what would go through the client.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::toolstack::Peer;

/// Number of descriptors: one to read from, and one to write to.
const BOTH: usize = 2;
/// The byte that they come with.
const BYTE: &[u8] = &[0];

/// Passes the descriptors to read from and to write to.
///
/// # Errors
/// The agent is gone.
pub fn send(stream: &UnixStream, both: [BorrowedFd<'_>; BOTH]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BOTH))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&both));
    sendmsg(
        stream,
        &[IoSlice::new(BYTE)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Takes what [`send`] has passed.
///
/// # Errors
/// The client has passed something else, or nothing in time.
pub(super) fn take(stream: &UnixStream) -> io::Result<Peer> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BOTH))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; BYTE.len()];
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let passed = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(passed) => Some(passed),
        _ => None,
    });
    let passed: Vec<OwnedFd> = passed.flatten().collect();
    let found = passed.len();
    let [reader, writer] = <[OwnedFd; BOTH]>::try_from(passed).map_err(|_| {
        let text = format!("expected two descriptors, to read from and to write to, found {found}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })?;
    Ok(Peer { reader, writer })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use rustix::pipe::pipe;

    use super::*;

    #[test]
    fn what_is_passed_is_read_and_written() {
        let (client, agent) = UnixStream::pair().unwrap();
        let (reader, feeds) = pipe().unwrap();
        let (hears, writer) = pipe().unwrap();
        let (mut feeds, mut hears) = (File::from(feeds), File::from(hears));
        send(&client, [reader.as_fd(), writer.as_fd()]).unwrap();
        drop((reader, writer));
        let peer = take(&agent).unwrap();
        feeds.write_all(b"in").unwrap();
        drop(feeds);
        let mut text = String::new();
        File::from(peer.reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "in");
        File::from(peer.writer).write_all(b"out").unwrap();
        text.clear();
        hears.read_to_string(&mut text).unwrap();
        assert_eq!(text, "out");
    }

    #[test]
    fn what_is_missing_is_said() {
        let (mut client, agent) = UnixStream::pair().unwrap();
        client.write_all(b"Xen saved domain").unwrap();
        let error = take(&agent).unwrap_err().to_string();
        assert!(error.ends_with("found 0"), "{error}");
        drop(client);
        let (client, agent) = UnixStream::pair().unwrap();
        drop(client);
        take(&agent).unwrap_err();
    }
}
