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
    time::{Duration, Instant},
};

use rustix::{
    event::PollFlags,
    fs::{OFlags, fcntl_setfl},
    io::retry_on_intr,
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
};

use super::{
    pace::{Pace, room},
    pages::Pages,
    waiter::{Silence, Waiter, failed, is_ready},
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

/// Number of bytes forwarded at once, and the size of our pipes. This is the most that Linux allows
/// everybody.
const CARRIED: usize = 1 << 20;
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
        let mut pages = Pages::to(to);
        let mut pace = Pace::new(Instant::now());
        loop {
            let from = self.from.as_fd();
            match self.reading.wait(from, PollFlags::IN) {
                // libxl has nothing more to say, but others may keep the pipe open.
                Err(_) if self.is_all_written() => {
                    if !is_ready(self.function, from, PollFlags::IN)? {
                        return Ok(());
                    }
                }
                ready => ready?,
            }
            let count = if pages.can_move() {
                self.writing.wait_for_it(to, PollFlags::OUT, STREAM)?;
                let moved = pages.move_some(from, to, CARRIED);
                let moved = moved.map_err(|errno| failed(self.function, "write", STREAM, errno))?;
                let Some(count) = moved else { continue };
                count
            } else {
                let count = read_ready(self.function, from, &mut self.buffer)?;
                let written = self.writing.write_all(to, &self.buffer[..count], STREAM);
                written.map_err(|unwritten| unwritten.error)?;
                count
            };
            if count == 0 {
                return Ok(());
            }
            gather(&mut pace, count, from, to);
        }
    }

    /// Returns whether libxl has written everything, and it is to be forwarded.
    fn is_all_written(&self) -> bool {
        self.written.is_aborted() && !self.over.is_aborted()
    }
}

/// Lets more gather, after a piece of `bytes` bytes.
fn gather(pace: &mut Pace, bytes: usize, from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    if let Some(time) = pace.after(bytes, Instant::now(), || room(from, to)) {
        thread::sleep(time);
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

/// Reads the bytes that are in a pipe already; 0 if there are none.
fn rest(function: &'static str, from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    if is_ready(function, from, PollFlags::IN)? {
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
        let mut pages = Pages::from(from);
        let mut pace = Pace::new(Instant::now());
        loop {
            let count = if pages.can_move() {
                self.reading.wait_for_it(from, PollFlags::IN, STREAM)?;
                self.writing.wait(self.to.as_fd(), PollFlags::OUT)?;
                let moved = pages.move_some(from, self.to.as_fd(), CARRIED);
                let moved = moved.map_err(|errno| failed(self.function, "read", STREAM, errno))?;
                let Some(count) = moved else { continue };
                count
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
            gather(&mut pace, count, from, self.to.as_fd());
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
mod tests;
