//! Waiting for a descriptor, within limits.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::{Errno, retry_on_intr},
    net::{SendFlags, send},
};

use crate::{Error, ErrorKind, Limits, Result, limits::Clock, wake::Bell};

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

/// Returns whether a descriptor is ready, or its other end is gone.
pub(super) fn is_ready(
    function: &'static str,
    fd: BorrowedFd<'_>,
    flags: PollFlags,
) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ready = retry_on_intr(|| poll(&mut fds, Some(&at_once)));
    let ready = ready.map_err(|errno| Error::io(function, errno.into()))?;
    Ok(ready > 0)
}

/// A write that failed, and how much had been written by then.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) error: Error,
    pub(crate) written: usize,
}

pub(super) fn failed(function: &'static str, verb: &str, what: &str, errno: Errno) -> Error {
    let error = io::Error::from(errno);
    Error::io(
        function,
        io::Error::new(error.kind(), format!("cannot {verb} {what}: {error}")),
    )
}

/// Time for which the other end of a connection may be silent.
#[derive(Clone, Copy)]
pub(crate) struct Silence<'a> {
    time: Duration,
    /// Returns true as long as nobody suffers from the silence.
    is_harmless: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Silence<'a> {
    /// The silence that this clock allows, if it sets a limit.
    pub(crate) fn of(clock: &Clock, is_harmless: &'a (dyn Fn() -> bool + Sync)) -> Option<Self> {
        let time = clock.silence()?;
        Some(Self { time, is_harmless })
    }

    /// Returns true if the other end has been silent for too long.
    fn is_too_long(&self, since: Instant) -> bool {
        let silent = since.elapsed();
        let most = self.time.saturating_mul(Limits::PATIENCE);
        silent >= most || silent >= self.time && !(self.is_harmless)()
    }
}

/// Waits for descriptors within the limits of a clock.
pub(crate) struct Waiter<'a> {
    function: &'static str,
    clock: &'a Clock,
    silence: Option<Silence<'a>>,
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
            silence: None,
            wake,
        })
    }

    /// A waiter that allows the other end no more silence than the clock does.
    pub(crate) fn for_the_other_end(function: &'static str, clock: &'a Clock) -> Result<Self> {
        let waiter = Self::new(function, clock)?;
        Ok(waiter.allowing(Silence::of(clock, &|| false)))
    }

    /// Limits the silence of the other end.
    pub(crate) fn allowing(self, silence: Option<Silence<'a>>) -> Self {
        Self { silence, ..self }
    }

    /// Waits until `fd` is ready, or its other end is gone.
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, flags: PollFlags) -> Result<()> {
        self.wait_while(fd, flags, |_| Ok(()))
    }

    /// As [`wait`](Self::wait), for something that the other end has to do.
    pub(super) fn wait_for_it(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        what: &str,
    ) -> Result<()> {
        let Some(silence) = self.silence else {
            return self.wait(fd, flags);
        };
        self.clock.check(self.function)?;
        // Nearly always it is, and reading the clock is a system call on many a host with Xen.
        if is_ready(self.function, fd, flags)? {
            return Ok(());
        }
        let since = Instant::now();
        self.wait_while(fd, flags, |next| {
            if silence.is_too_long(since) {
                let did = if flags == PollFlags::IN {
                    "came"
                } else {
                    "was taken"
                };
                let text = format!("nothing of {what} {did} for {:.0?}", since.elapsed());
                return Err(Error::new(ErrorKind::TimedOut, self.function).with_message(text));
            }
            // Asked again after as long a time, in case that the silence does harm by then.
            let again = Instant::now().checked_add(silence.time);
            *next = [*next, again].into_iter().flatten().min();
            Ok(())
        })
    }

    /// Waits until `fd` is ready. `may_go_on` is called before each wait, and may bring its end
    /// forward.
    fn wait_while(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        may_go_on: impl Fn(&mut Option<Instant>) -> Result<()>,
    ) -> Result<()> {
        loop {
            // After attaching the bell, so that an abort is either seen here or ends the poll.
            self.clock.check(self.function)?;
            let mut end = self.clock.deadline();
            may_go_on(&mut end)?;
            let mut fds = vec![PollFd::from_borrowed_fd(fd, flags)];
            if let Some(wake) = &self.wake {
                fds.push(PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN));
            }
            let left = end.map(|at| {
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
            self.wait_for_it(from, PollFlags::IN, what)?;
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
            let ready = self.wait_for_it(to, PollFlags::OUT, what);
            ready.map_err(unwritten)?;
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

#[cfg(test)]
mod tests {
    use std::{
        os::{fd::AsFd, unix::net::UnixStream},
        sync::atomic::{AtomicU32, Ordering},
        time::{Duration, Instant},
    };

    use super::{Silence, Waiter};
    use crate::{ErrorKind, Limits, limits::Clock};

    #[test]
    fn silence_is_borne_for_longer_while_it_is_harmless() {
        let (to, _takes_nothing) = UnixStream::pair().unwrap();
        let asked = AtomicU32::new(0);
        let is_harmless = || asked.fetch_add(1, Ordering::SeqCst) < 3;
        let clock = Clock::start(&Limits::none().silence(Duration::from_millis(20)));
        let begun = Instant::now();
        let waiter = Waiter::new("f", &clock).unwrap();
        let waiter = waiter.allowing(Silence::of(&clock, &is_harmless));
        // More than the socket holds.
        let failed = waiter.write_all(to.as_fd(), &vec![7; 16 << 20], "much");
        assert_eq!(failed.unwrap_err().error.kind(), ErrorKind::TimedOut);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        assert!(begun.elapsed() >= Duration::from_millis(80));
    }
}
