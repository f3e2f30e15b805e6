//! Reading and writing whole messages on any descriptor, with a deadline and an abort.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
    net::{SendFlags, send},
};

use crate::{Error, Result, limits::Clock, wake::Bell};

/// Number of bytes that a pipe takes without blocking when it polls as writable (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Way to write as much as possible without blocking, on a descriptor that polls as writable.
///
/// The descriptor may block, and may be shared: a big plain write would block for its rest,
/// whatever the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A socket is told with each write not to block.
    Socket,
    /// Writes to a disk block, as in any program. A pipe that nobody else writes to has been told
    /// not to block.
    AllAtOnce,
    /// No more than [`AT_ONCE`].
    Little,
}

impl Way {
    fn of(to: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let file = FileType::from_raw_mode(fstat(to)?.st_mode);
        Ok(match file {
            FileType::Socket => Self::Socket,
            FileType::RegularFile | FileType::BlockDevice => Self::AllAtOnce,
            _ => Self::Little,
        })
    }

    fn write_some(self, to: BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Socket => send(to, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Self::AllAtOnce => rustix::io::write(to, bytes),
            Self::Little => rustix::io::write(to, &bytes[..bytes.len().min(AT_ONCE)]),
        }
    }
}

/// A write that failed, and how much had been written by then.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) error: Error,
    pub(crate) written: usize,
}

/// Fills `buffer`. `what` names the data, for errors.
pub(crate) fn read_exact(
    function: &'static str,
    from: BorrowedFd<'_>,
    buffer: &mut [u8],
    what: &str,
    clock: &Clock,
) -> Result<()> {
    let waiter = Waiter::new(function, clock)?;
    let mut filled = 0;
    while filled < buffer.len() {
        let count = waiter.read(from, &mut buffer[filled..], what)?;
        if count == 0 {
            let text = if filled == 0 {
                format!("it ends where {what} should begin")
            } else {
                format!("it ends within {what}")
            };
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
            return Err(Error::io(function, error));
        }
        filled += count;
    }
    Ok(())
}

/// Writes all of `bytes`.
pub(crate) fn write_all(
    function: &'static str,
    to: BorrowedFd<'_>,
    bytes: &[u8],
    what: &str,
    clock: &Clock,
) -> Result<(), Unwritten> {
    Waiter::new(function, clock)
        .map_err(|error| Unwritten { error, written: 0 })?
        .write_all(to, bytes, what)
}

fn failed(function: &'static str, verb: &str, what: &str, errno: Errno) -> Error {
    let error = io::Error::from(errno);
    Error::io(
        function,
        io::Error::new(error.kind(), format!("cannot {verb} {what}: {error}")),
    )
}

/// Waits for descriptors within the limits of a clock.
pub(crate) struct Waiter<'a> {
    function: &'static str,
    clock: &'a Clock,
    /// Woken by the clock's abort handle.
    wake: Option<Arc<Bell>>,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(function: &'static str, clock: &'a Clock) -> Result<Self> {
        let wake = match clock.abort_handle() {
            Some(handle) => {
                let wake = Arc::new(Bell::new().map_err(|e| Error::io(function, e))?);
                handle.attach(&wake);
                Some(wake)
            }
            None => None,
        };
        Ok(Self {
            function,
            clock,
            wake,
        })
    }

    /// Waits until `fd` is ready, or its other end is gone.
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, flags: PollFlags) -> Result<()> {
        loop {
            // After attaching the bell, so that an abort is either seen here or ends the poll.
            self.clock.check(self.function)?;
            let mut fds = vec![PollFd::from_borrowed_fd(fd, flags)];
            if let Some(wake) = &self.wake {
                fds.push(PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN));
            }
            let left = self.clock.deadline().map(|at| {
                let left = at.saturating_duration_since(Instant::now());
                Timespec::try_from(left).unwrap_or(Timespec {
                    tv_sec: i64::MAX,
                    tv_nsec: 0,
                })
            });
            match poll(&mut fds, left.as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io(self.function, errno.into())),
            }
        }
    }

    /// Reads the available bytes; 0 at the end.
    pub(super) fn read(
        &self,
        from: BorrowedFd<'_>,
        buffer: &mut [u8],
        what: &str,
    ) -> Result<usize> {
        loop {
            self.wait(from, PollFlags::IN)?;
            match rustix::io::read(from, &mut *buffer) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(failed(self.function, "read", what, errno)),
            }
        }
    }

    /// Writes all of `bytes`.
    pub(super) fn write_all(
        &self,
        to: BorrowedFd<'_>,
        bytes: &[u8],
        what: &str,
    ) -> Result<(), Unwritten> {
        let way = Way::of(to).map_err(|errno| Unwritten {
            error: failed(self.function, "write", what, errno),
            written: 0,
        })?;
        self.write_all_so(way, to, bytes, what)
    }

    /// Writes all of `bytes` to a pipe that does not block, and that nobody else writes to.
    pub(super) fn write_all_to_own(
        &self,
        to: BorrowedFd<'_>,
        bytes: &[u8],
        what: &str,
    ) -> Result<(), Unwritten> {
        self.write_all_so(Way::AllAtOnce, to, bytes, what)
    }

    fn write_all_so(
        &self,
        way: Way,
        to: BorrowedFd<'_>,
        bytes: &[u8],
        what: &str,
    ) -> Result<(), Unwritten> {
        let mut written = 0;
        while written < bytes.len() {
            let unwritten = |error| Unwritten { error, written };
            self.wait(to, PollFlags::OUT).map_err(unwritten)?;
            match way.write_some(to, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => {
                    return Err(unwritten(failed(self.function, "write", what, errno)));
                }
            }
        }
        Ok(())
    }
}

/// The two directions to the other end of a migration. They may be one socket.
#[derive(Debug)]
pub(crate) struct Wire {
    function: &'static str,
    /// Name of the other end, for errors.
    peer: &'static str,
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Wire {
    pub(crate) fn new(
        function: &'static str,
        peer: &'static str,
        reader: OwnedFd,
        writer: OwnedFd,
    ) -> Self {
        Self {
            function,
            peer,
            reader,
            writer,
        }
    }

    pub(crate) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    pub(crate) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Reads a message, and fails if it is not this one.
    pub(crate) fn expect(&self, message: &[u8], what: &str, clock: &Clock) -> Result<()> {
        let mut read = vec![0; message.len()];
        self.read(&mut read, what, clock)?;
        if read == message {
            return Ok(());
        }
        let text = format!(
            "{} sent {:?} instead of {what}",
            self.peer,
            String::from_utf8_lossy(&read)
        );
        Err(Error::io(
            self.function,
            io::Error::new(io::ErrorKind::InvalidData, text),
        ))
    }

    pub(crate) fn read(&self, buffer: &mut [u8], what: &str, clock: &Clock) -> Result<()> {
        let what = format!("{what} from {}", self.peer);
        read_exact(self.function, self.reader(), buffer, &what, clock)
    }

    pub(crate) fn send(&self, message: &[u8], what: &str, clock: &Clock) -> Result<(), Unwritten> {
        let what = format!("{what} to {}", self.peer);
        write_all(self.function, self.writer(), message, &what, clock)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::Shutdown,
        os::{fd::AsFd, unix::net::UnixStream},
        thread,
        time::Duration,
    };

    use super::{Wire, read_exact, write_all};
    use crate::{AbortHandle, ErrorKind, Limits, limits::Clock};

    fn pair() -> (UnixStream, Wire) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reader = theirs.try_clone().unwrap().into();
        (ours, Wire::new("test", "the other", reader, theirs.into()))
    }

    fn clock(limits: &Limits) -> Clock {
        Clock::start(limits)
    }

    #[test]
    fn a_message_may_come_in_pieces() {
        let (mut ours, wire) = pair();
        let writing = thread::spawn(move || {
            for byte in b"ready" {
                ours.write_all(&[*byte]).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        wire.expect(b"ready", "word", &clock(&Limits::none()))
            .unwrap();
        writing.join().unwrap();
    }

    #[test]
    fn another_message_is_quoted() {
        let (mut ours, wire) = pair();
        ours.write_all(b"sorry").unwrap();
        let error = wire
            .expect(b"ready", "word", &clock(&Limits::none()))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "test: the other sent \"sorry\" instead of word"
        );
    }

    #[test]
    fn the_end_is_an_error() {
        let (mut ours, wire) = pair();
        ours.write_all(b"rea").unwrap();
        drop(ours);
        let error = wire
            .expect(b"ready", "word", &clock(&Limits::none()))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "test: it ends within word from the other"
        );
    }

    #[test]
    fn silence_ends_at_the_deadline_and_by_an_abort() {
        let (_ours, wire) = pair();
        let limits = Limits::none().deadline(Duration::from_millis(10));
        let error = wire.expect(b"ready", "word", &clock(&limits)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);

        let abort = AbortHandle::new();
        let limits = Limits::none().abort_with(&abort);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| wire.expect(b"ready", "word", &clock(&limits)));
            thread::sleep(Duration::from_millis(20));
            abort.abort();
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Aborted);
        });
    }

    #[test]
    fn a_write_says_how_far_it_came() {
        let (ours, wire) = pair();
        let limits = Limits::none().deadline(Duration::from_millis(10));
        let unwritten = wire
            .send(&vec![0; 16 << 20], "a lot", &clock(&limits))
            .unwrap_err();
        assert_eq!(unwritten.error.kind(), ErrorKind::TimedOut);
        assert!(unwritten.written > 0);
        ours.shutdown(Shutdown::Both).unwrap();
        let unwritten = wire
            .send(b"go", "word", &clock(&Limits::none()))
            .unwrap_err();
        assert_eq!(
            (unwritten.error.kind(), unwritten.written),
            (ErrorKind::Io, 0)
        );
    }

    #[test]
    fn descriptors_that_do_not_block_are_waited_for() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let bytes = vec![7; 4 << 20];
        thread::scope(|scope| {
            let none = clock(&Limits::none());
            let reading = scope.spawn({
                let none = none.clone();
                let length = bytes.len();
                move || {
                    let mut read = vec![0; length];
                    read_exact("test", theirs.as_fd(), &mut read, "bytes", &none).map(|()| read)
                }
            });
            write_all("test", ours.as_fd(), &bytes, "bytes", &none).unwrap();
            assert_eq!(reading.join().unwrap().unwrap(), bytes);
        });
    }
}
