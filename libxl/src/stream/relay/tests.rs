//! Tests of the relay, with pipes, sockets and files.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{CARRIED, HEADER, Incoming, OPENING, Outgoing, RECORD, Until, pipe, read_opening};
use crate::{
    ErrorKind, Limits,
    limits::{Clock, Gate},
};

fn clock() -> Clock {
    Clock::start(&Limits::none())
}

fn opening() -> Vec<u8> {
    [HEADER.as_slice(), RECORD.as_slice()].concat()
}

#[test]
fn what_goes_out_arrives() {
    let ours = pipe("f").unwrap();
    let (to, mut arrives) = UnixStream::pair().unwrap();
    let bytes = [opening(), vec![7; 3 * CARRIED + 1]].concat();
    thread::scope(|scope| {
        let gate = Gate::default();
        let carrying = scope.spawn(move || {
            let (written, over) = (Until::new(), Until::new());
            let out = Outgoing::new("f", ours.reader, &written, &over).unwrap();
            let result = out.carry(to.as_fd(), &gate);
            (result, gate.is_open())
        });
        let mut writer = std::fs::File::from(ours.writer);
        let sent = bytes.clone();
        scope.spawn(move || writer.write_all(&sent).unwrap());
        let (result, open) = {
            let mut read = Vec::new();
            arrives.read_to_end(&mut read).unwrap();
            assert!(read == bytes);
            carrying.join().unwrap()
        };
        result.unwrap();
        assert!(open);
    });
}

/// A stream of some size, which is not the same everywhere.
fn stream() -> Vec<u8> {
    let body = (0..3 * CARRIED + 1).map(|n| n.to_le_bytes()[..2].iter().fold(0, |a, b| a ^ b));
    opening().into_iter().chain(body).collect()
}

/// Reads until the end.
fn all(from: OwnedFd) -> Vec<u8> {
    let mut read = Vec::new();
    std::fs::File::from(from).read_to_end(&mut read).unwrap();
    read
}

/// Has a stream go out to `to`, which is closed at the end.
fn goes_out(to: OwnedFd) -> crate::Result<()> {
    let ours = pipe("f").unwrap();
    let mut writer = std::fs::File::from(ours.writer);
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&stream()).unwrap());
        let (written, over) = (Until::new(), Until::new());
        let out = Outgoing::new("f", ours.reader, &written, &over).unwrap();
        let carried = out.carry(to.as_fd(), &Gate::default());
        drop(to);
        carried
    })
}

#[test]
fn a_pipe_and_a_file_get_the_same() {
    let theirs = pipe("f").unwrap();
    let read = thread::spawn(move || all(theirs.reader));
    goes_out(theirs.writer).unwrap();
    assert!(read.join().unwrap() == stream());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("saved");
    // The second refuses pages.
    for (append, before) in [(false, Vec::new()), (true, stream())] {
        let mut options = std::fs::File::options();
        let file = options.create(true).append(append).write(true).open(&path);
        goes_out(file.unwrap().into()).unwrap();
        let read = std::fs::read(&path).unwrap();
        assert!(read == [before, stream()].concat());
    }
}

#[test]
fn a_pipe_whose_reader_goes_is_an_error() {
    let theirs = pipe("f").unwrap();
    let mut reader = std::fs::File::from(theirs.reader);
    let gone = thread::spawn(move || reader.read_exact(&mut [0; CARRIED]).unwrap());
    let ours = pipe("f").unwrap();
    let mut writer = std::fs::File::from(ours.writer);
    thread::scope(|scope| {
        // Until it is not read any more.
        scope.spawn(move || while writer.write_all(&stream()).is_ok() {});
        let (written, over) = (Until::new(), Until::new());
        let out = Outgoing::new("f", ours.reader, &written, &over).unwrap();
        let error = out.carry(theirs.writer.as_fd(), &Gate::default());
        let error = error.unwrap_err();
        assert!(
            error.to_string().contains("cannot write the stream: "),
            "{error}"
        );
    });
    gone.join().unwrap();
}

#[test]
fn it_comes_from_a_file_a_pipe_and_sockets_alike() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&stream()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let theirs = pipe("f").unwrap();
    let (socket, writer) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let writers = [theirs.writer, writer.into(), tcp.into()];
    let writes = writers.map(|writer| {
        let mut writer = std::fs::File::from(writer);
        thread::spawn(move || writer.write_all(&stream()).unwrap())
    });
    let from: [OwnedFd; 4] = [file.into(), theirs.reader, socket.into(), accepted.into()];
    for from in from {
        let ours = pipe("f").unwrap();
        let over = Until::new();
        let read = thread::scope(|scope| {
            let read = scope.spawn(move || all(ours.reader));
            let opening = read_opening("f", from.as_fd(), &clock()).unwrap();
            let incoming = Incoming::new("f", opening, ours.writer, &over).unwrap();
            let gate = Gate::default();
            incoming.carry(from.as_fd(), &gate, |_| {}).unwrap();
            read.join().unwrap()
        });
        assert!(read == stream());
    }
    for writing in writes {
        writing.join().unwrap();
    }
}

/// A child of libxl that destroys another domain holds the pipe open, too, for as long as that
/// takes.
#[test]
fn what_others_keep_open_ends_when_all_is_written() {
    let ours = pipe("f").unwrap();
    let (to, mut arrives) = UnixStream::pair().unwrap();
    let bytes = [opening(), vec![7; CARRIED / 2]].concat();
    let (written, over) = (Until::new(), Until::new());
    let gate = Gate::default();
    let mut writer = std::fs::File::from(ours.writer);
    thread::scope(|scope| {
        let (to, written, over, gate) = (to, &written, &over, &gate);
        let out = Outgoing::new("f", ours.reader, written, over).unwrap();
        let carrying = scope.spawn(move || out.carry(to.as_fd(), gate));
        writer.write_all(&bytes).unwrap();
        written.handle.abort();
        let mut read = Vec::new();
        arrives.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        carrying.join().unwrap().unwrap();
    });
    drop(writer);
}

/// libxl must not learn that the peer is gone before its helper runs.
#[test]
fn a_peer_that_is_gone_is_hidden_until_after_the_opening() {
    let ours = pipe("f").unwrap();
    let (to, gone) = UnixStream::pair().unwrap();
    // A process that is being started may still have it.
    gone.shutdown(Shutdown::Both).unwrap();
    drop(gone);
    let gate = Gate::default();
    let mut writer = std::fs::File::from(ours.writer);
    let (written, over) = (Until::new(), Until::new());
    thread::scope(|scope| {
        let (to, gate) = (&to, &gate);
        let out = Outgoing::new("f", ours.reader, &written, &over).unwrap();
        let carrying = scope.spawn(move || out.carry(to.as_fd(), gate));
        for byte in &opening()[..OPENING - 1] {
            writer.write_all(&[*byte]).unwrap();
            thread::yield_now();
            assert!(!gate.is_open());
        }
        assert!(!carrying.is_finished());
        writer.write_all(&[0]).unwrap();
        let error = carrying.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("Broken pipe"), "{error}");
        assert!(gate.is_open());
    });
    // That process may have the pipe, too, until its program runs.
    let mut fds = [PollFd::new(&writer, PollFlags::empty())];
    let awhile = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    assert_eq!(poll(&mut fds, Some(&awhile)), Ok(1), "libxl is still read");
    assert!(fds[0].revents().contains(PollFlags::ERR));
    writer.write_all(&[0]).unwrap_err();
}

#[test]
fn what_libxl_would_not_understand_is_not_given_to_it() {
    for (at, text) in [(0, "not the stream"), (11, "version"), (16, "memory")] {
        let mut bytes = opening();
        bytes[at] ^= 1;
        let (from, mut writer) = UnixStream::pair().unwrap();
        writer.write_all(&bytes).unwrap();
        let error = read_opening("f", from.as_fd(), &clock()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(text), "{error}");
    }
    let (from, mut writer) = UnixStream::pair().unwrap();
    writer.write_all(&opening()[..OPENING - 1]).unwrap();
    drop(writer);
    let error = read_opening("f", from.as_fd(), &clock()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

/// The gate opens when libxl has read the opening, and not before.
#[test]
fn what_comes_in_is_read_in_its_time() {
    let ours = pipe("f").unwrap();
    let (from, mut sends) = UnixStream::pair().unwrap();
    let bytes = [opening(), vec![7; 2 * CARRIED]].concat();
    let mut reader = std::fs::File::from(ours.reader);
    let (gate, over) = (Gate::default(), Until::new());
    thread::scope(|scope| {
        let sent = bytes.clone();
        scope.spawn(move || sends.write_all(&sent).unwrap());
        let (gate, from) = (&gate, from.as_fd());
        let opening = read_opening("f", from, &clock()).unwrap();
        let incoming = Incoming::new("f", opening, ours.writer, &over).unwrap();
        let carrying = scope.spawn(move || incoming.carry(from, gate, |_| {}));
        let mut read = vec![0; OPENING - 1];
        reader.read_exact(&mut read).unwrap();
        thread::sleep(std::time::Duration::from_millis(20));
        assert!(!gate.is_open());
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert!(gate.is_open());
        carrying.join().unwrap().unwrap();
    });
}

#[test]
fn it_stops_when_told() {
    let ours = pipe("f").unwrap();
    let (from, _silent) = UnixStream::pair().unwrap();
    let (written, over) = (Until::new(), Until::new());
    let gate = Gate::default();
    thread::scope(|scope| {
        let out = Outgoing::new("f", ours.reader, &written, &over).unwrap();
        let carrying = scope.spawn(|| out.carry(from.as_fd(), &gate));
        over.handle.abort();
        written.handle.abort();
        let error = carrying.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Aborted);
    });
}
