//! Reading and writing whole messages on any descriptor, with a deadline and an abort.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::waiter::{Unwritten, Waiter};
use crate::{Error, Result, limits::Clock};

/// Fills `buffer`. `what` names the data, for errors.
pub(crate) fn read_exact(
    function: &'static str,
    from: BorrowedFd<'_>,
    buffer: &mut [u8],
    what: &str,
    clock: &Clock,
) -> Result<()> {
    let waiter = Waiter::for_the_other_end(function, clock)?;
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
    Waiter::for_the_other_end(function, clock)
        .map_err(|error| Unwritten { error, written: 0 })?
        .write_all(to, bytes, what)
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
        time::{Duration, Instant},
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
    fn silence_ends_when_it_has_lasted_too_long() {
        let (mut ours, wire) = pair();
        let limits = Limits::none().silence(Duration::from_millis(400));
        let heard = |bytes: &[u8]| wire.expect(bytes, "word", &clock(&limits));
        let begin = Instant::now();
        let error = heard(b"ready").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() >= Duration::from_millis(400));
        let text = error.to_string();
        assert!(
            text.starts_with("test: nothing of word from the other came for "),
            "{text}"
        );
        // One that says something now and then is not silent. All of it takes longer than the silence may.
        let talking = thread::spawn(move || {
            for byte in b"slow, but steady" {
                thread::sleep(Duration::from_millis(50));
                ours.write_all(&[*byte]).unwrap();
            }
        });
        heard(b"slow, but steady").unwrap();
        talking.join().unwrap();
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
