//! Forwarding between libxl and the descriptor that a stream really goes to, or comes from.
//!
//! libxl reads and writes the first bytes of a stream itself and then lets a helper process go on.
//! If those bytes cannot be read, written or understood, or if the operation is aborted before they
//! are done, libxl stops a helper that does not exist yet, and calls a function that was never set:
//! the process dies (`libxl__save_helper_abort`, Xen 4.14 to 4.22; seen on 4.17.7). A peer that
//! hangs up at the right moment could crash a toolstack this way.
//!
//! So libxl gets a pipe of ours, on which those bytes never fail, and a thread forwards everything
//! between the pipe and the real descriptor. A [`Gate`] holds back aborts until the helper runs.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread::{self, Scope, ScopedJoinHandle},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
    io::retry_on_intr,
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
};

use super::{
    pages::{Pages, can_move_from, can_move_to, move_pages},
    waiter::{Silence, Waiter, failed},
    wire::read_exact,
};
use crate::{
    AbortHandle, Error, ErrorKind, Result,
    limits::{Clock, Gate},
};

/// Size of the stream's header and the header of its first record, in bytes.
///
/// Once libxl has dealt with them, the helper runs. See docs/specs/libxl-migration-stream.pandoc in
/// Xen's sources.
const OPENING: usize = HEADER.len() + RECORD.len();
/// `LibxlFmt`, version 2, no options; in network byte order.
const HEADER: &[u8; 16] = b"LibxlFmt\0\0\0\x02\0\0\0\0";
/// A record without a body that announces libxc's stream; in the host's byte order.
const RECORD: [u8; 8] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [a, b, c, d, 0, 0, 0, 0]
};

/// Number of bytes forwarded at once, and the size of our pipes.
const CARRIED: usize = 256 << 10;
/// Number of bytes between two progress reports.
const TOLD: u64 = 4 << 20;
/// The smallest size of a pipe, in bytes. Such a pipe is writable only when it is empty.
const ONE_PAGE: usize = 4096;

const STREAM: &str = "the stream";

pub(crate) struct Pipe {
    pub(crate) reader: OwnedFd,
    pub(crate) writer: OwnedFd,
}

pub(crate) fn pipe(function: &'static str) -> Result<Pipe> {
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::io(function, errno.into()))?;
    Ok(Pipe { reader, writer })
}

/// Time to wait after poll(2) has failed because the system had no resources left.
const AGAIN: Duration = Duration::from_millis(10);

/// Forwards a stream from libxl's pipe to its destination.
///
/// Everything that the system can refuse is acquired before libxl begins: libxl would see a failure
/// of ours as a broken pipe.
pub(crate) struct Outgoing<'a> {
    function: &'static str,
    from: OwnedFd,
    reading: Waiter<'a>,
    writing: Waiter<'a>,
    buffer: Vec<u8>,
    /// Set when libxl has written everything.
    written: &'a AbortHandle,
    /// Set when nothing is to be forwarded any more.
    over: &'a AbortHandle,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(
        function: &'static str,
        from: OwnedFd,
        written: &'a Until,
        over: &'a Until,
    ) -> Result<Self> {
        // Only a matter of speed; the limit for all pipes may be reached.
        let _ = fcntl_setpipe_size(&from, CARRIED);
        Ok(Self {
            function,
            from,
            reading: Waiter::new(function, &written.clock)?,
            writing: Waiter::new(function, &over.clock)?,
            buffer: vec![0; CARRIED],
            written: &written.handle,
            over: &over.handle,
        })
    }

    /// Limits the time for which nothing is taken at the other end.
    pub(crate) fn allowing(mut self, silence: Option<Silence<'a>>) -> Self {
        self.writing = self.writing.allowing(silence);
        self
    }

    /// Forwards until libxl has closed the pipe, or until everything has been `written` and
    /// forwarded, and closes the pipe.
    ///
    /// libxl does not learn of a failure to write before its helper runs, and then sees a broken
    /// pipe.
    pub(crate) fn carry(mut self, to: BorrowedFd<'_>, gate: &Gate) -> Result<()> {
        let (mut carried, mut failed) = (0, None);
        while carried < OPENING {
            let count = match self
                .reading
                .read(self.from.as_fd(), &mut self.buffer, STREAM)
            {
                Err(_) if self.is_all_written() => {
                    rest(self.function, self.from.as_fd(), &mut self.buffer)?
                }
                // libxl must not learn of the failure yet.
                Err(_) if !self.over.is_aborted() => {
                    thread::sleep(AGAIN);
                    continue;
                }
                count => count?,
            };
            if count == 0 {
                return failed.map_or(Ok(()), Err);
            }
            carried += count;
            if failed.is_none() {
                let result = self.writing.write_all(to, &self.buffer[..count], STREAM);
                failed = result.err().map(|unwritten| unwritten.error);
            }
        }
        gate.open();
        match failed {
            Some(error) => Err(error),
            None => self.carry_on(to),
        }
    }

    /// Forwards what follows the opening.
    fn carry_on(mut self, to: BorrowedFd<'_>) -> Result<()> {
        let mut moves = can_move_to(to);
        loop {
            let from = self.from.as_fd();
            match self.reading.wait(from, PollFlags::IN) {
                // libxl has nothing more to say, but others may keep the pipe open.
                Err(_) if self.is_all_written() => {
                    if !has_more(self.function, from)? {
                        return Ok(());
                    }
                }
                ready => ready?,
            }
            let count = if moves {
                self.writing.wait_for_it(to, PollFlags::OUT, STREAM)?;
                match move_pages(from, to, CARRIED) {
                    Ok(Pages::Moved(count)) => count,
                    Ok(Pages::NotNow) => continue,
                    Ok(Pages::Refused) => {
                        moves = false;
                        continue;
                    }
                    Err(errno) => return Err(failed(self.function, "write", STREAM, errno)),
                }
            } else {
                let count = read_ready(self.function, from, &mut self.buffer)?;
                let written = self.writing.write_all(to, &self.buffer[..count], STREAM);
                written.map_err(|unwritten| unwritten.error)?;
                count
            };
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Returns whether libxl has written everything, and it is to be forwarded.
    fn is_all_written(&self) -> bool {
        self.written.is_aborted() && !self.over.is_aborted()
    }
}

/// An abort handle, and the clock that it ends.
pub(crate) struct Until {
    pub(crate) handle: AbortHandle,
    clock: Clock,
}

impl Until {
    pub(crate) fn new() -> Self {
        let handle = AbortHandle::new();
        let clock = Clock::until(&handle);
        Self { handle, clock }
    }
}

#[cfg(fuzzing)]
pub(crate) fn opening() -> [u8; OPENING] {
    let mut opening = [0; OPENING];
    opening[..HEADER.len()].copy_from_slice(HEADER);
    opening[HEADER.len()..].copy_from_slice(&RECORD);
    opening
}

/// Returns whether there are bytes in a pipe, or its end.
fn has_more(function: &'static str, from: BorrowedFd<'_>) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(from, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ready = retry_on_intr(|| poll(&mut fds, Some(&at_once)));
    let ready = ready.map_err(|errno| Error::io(function, errno.into()))?;
    Ok(ready > 0)
}

/// Reads the bytes that are in a pipe already; 0 if there are none.
fn rest(function: &'static str, from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    if has_more(function, from)? {
        read_ready(function, from, buffer)
    } else {
        Ok(0)
    }
}

/// Reads from a pipe that polls as readable.
fn read_ready(function: &'static str, from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let count = retry_on_intr(|| rustix::io::read(from, &mut *buffer));
    count.map_err(|errno| Error::io(function, errno.into()))
}

/// Reads the first bytes of a stream, and fails if libxl would not understand them.
pub(crate) fn read_opening(
    function: &'static str,
    from: BorrowedFd<'_>,
    clock: &Clock,
) -> Result<[u8; OPENING]> {
    let mut opening = [0; OPENING];
    read_exact(
        function,
        from,
        &mut opening,
        "the start of the stream",
        clock,
    )?;
    let (header, record) = opening.split_at(HEADER.len());
    let text = if header[..8] != HEADER[..8] {
        "this is not the stream of a saved domain"
    } else if header != HEADER {
        "the stream is of a version or byte order that libxl does not read"
    } else if record != RECORD {
        "the stream does not begin with the memory of a domain"
    } else {
        return Ok(opening);
    };
    Err(Error::new(ErrorKind::Invalid, function).with_message(text))
}

/// Forwards a stream from its origin to libxl's pipe.
///
/// As with [`Outgoing`], everything that the system can refuse is acquired before libxl begins.
pub(crate) struct Incoming<'a> {
    function: &'static str,
    opening: [u8; OPENING],
    to: OwnedFd,
    writing: Waiter<'a>,
    reading: Waiter<'a>,
    buffer: Vec<u8>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(
        function: &'static str,
        opening: [u8; OPENING],
        to: OwnedFd,
        over: &'a Until,
    ) -> Result<Self> {
        let ours = fcntl_setpipe_size(&to, ONE_PAGE)
            // This end is nobody else's: libxl and its helper have the other one.
            .and_then(|_| fcntl_setfl(&to, OFlags::NONBLOCK));
        ours.map_err(|errno| Error::io(function, errno.into()))?;
        Ok(Self {
            function,
            opening,
            to,
            writing: Waiter::new(function, &over.clock)?,
            reading: Waiter::new(function, &over.clock)?,
            buffer: vec![0; CARRIED],
        })
    }

    /// Limits the time for which nothing comes from the other end.
    pub(crate) fn allowing(mut self, silence: Option<Silence<'a>>) -> Self {
        self.reading = self.reading.allowing(silence);
        self
    }

    /// Forwards until the stream ends or the forwarding is over, and closes the pipe. `came` is
    /// called with the number of bytes so far every few MiB.
    pub(crate) fn carry(
        mut self,
        from: BorrowedFd<'_>,
        gate: &Gate,
        came: impl Fn(u64),
    ) -> Result<()> {
        let write = |bytes: &[u8]| {
            let to = self.to.as_fd();
            let written = self.writing.write_all_to_own(to, bytes, STREAM);
            written.map_err(|unwritten| unwritten.error)
        };
        write(&self.opening)?;
        self.writing.wait(self.to.as_fd(), PollFlags::OUT)?;
        gate.open();
        // Only a matter of speed; the limit for all pipes may be reached.
        let _ = fcntl_setpipe_size(&self.to, CARRIED);
        let (mut bytes, mut told) = (0, 0);
        let mut moves = can_move_from(from);
        loop {
            let count = if moves {
                self.reading.wait_for_it(from, PollFlags::IN, STREAM)?;
                self.writing.wait(self.to.as_fd(), PollFlags::OUT)?;
                match move_pages(from, self.to.as_fd(), CARRIED) {
                    Ok(Pages::Moved(count)) => count,
                    Ok(Pages::NotNow) => continue,
                    Ok(Pages::Refused) => {
                        moves = false;
                        continue;
                    }
                    Err(errno) => return Err(failed(self.function, "read", STREAM, errno)),
                }
            } else {
                let count = self.reading.read(from, &mut self.buffer, STREAM)?;
                write(&self.buffer[..count])?;
                count
            };
            if count == 0 {
                return Ok(());
            }
            bytes += count as u64;
            if bytes - told >= TOLD {
                came(bytes);
                told = bytes;
            }
        }
    }
}

/// Starts a thread that forwards, within `scope`.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    function: &'static str,
    scope: &'scope Scope<'scope, '_>,
    carry: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    thread::Builder::new()
        .name("libxl-stream".into())
        .spawn_scoped(scope, carry)
        .map_err(|error| {
            let text = format!("no thread to carry {STREAM}: {error}");
            Error::io(function, io::Error::new(error.kind(), text))
        })
}

#[cfg(test)]
mod tests {
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
        let body = (0..3 * CARRIED + 1).map(|n| n as u8 ^ (n >> 8) as u8);
        opening().into_iter().chain(body).collect()
    }

    /// Has a stream go out to `to`, which is closed at the end.
    fn goes_out(to: impl AsFd + Send) -> crate::Result<()> {
        let ours = pipe("f").unwrap();
        let mut writer = std::fs::File::from(ours.writer);
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&stream()).unwrap());
            let (written, over) = (Until::new(), Until::new());
            let out = Outgoing::new("f", ours.reader, &written, &over).unwrap();
            out.carry(to.as_fd(), &Gate::default())
        })
    }

    #[test]
    fn a_pipe_and_a_file_get_the_same() {
        let theirs = pipe("f").unwrap();
        let mut reader = std::fs::File::from(theirs.reader);
        let read = thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            read
        });
        goes_out(theirs.writer).unwrap();
        assert!(read.join().unwrap() == stream());

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved");
        // The second refuses pages.
        for (append, before) in [(false, Vec::new()), (true, stream())] {
            let mut options = std::fs::File::options();
            let file = options.create(true).append(append).write(true).open(&path);
            goes_out(file.unwrap()).unwrap();
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
            let mut reader = std::fs::File::from(ours.reader);
            let over = Until::new();
            let read = thread::scope(|scope| {
                let read = scope.spawn(move || {
                    let mut read = Vec::new();
                    reader.read_to_end(&mut read).unwrap();
                    read
                });
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
}
