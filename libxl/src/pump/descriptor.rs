//! One descriptor for everything that a context waits for, so that a program's own loop can drive it.
//!
//! It is an epoll instance with three members: a bell, a timer, and another epoll instance that has
//! libxl's descriptors. The latter is made anew after every round: libxl closes descriptors and
//! opens others under the same number without notice, and a descriptor that was closed here may
//! live on in a child that libxl has forked, where an epoll instance that once had it would report
//! it for ever.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::epoll,
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::wake::Bell;

/// Data of the epoll entries, which nobody reads.
const NO_DATA: epoll::EventData = epoll::EventData::new_u64(0);

#[derive(Debug)]
pub(crate) struct Descriptor {
    outer: OwnedFd,
    bell: Bell,
    timer: OwnedFd,
    libxls: Mutex<Option<OwnedFd>>,
}

impl Descriptor {
    pub(super) fn new() -> io::Result<Self> {
        let outer = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Bell::new()?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&outer, &bell, NO_DATA, epoll::EventFlags::IN)?;
        epoll::add(&outer, &timer, NO_DATA, epoll::EventFlags::IN)?;
        Ok(Self {
            outer,
            bell,
            timer,
            libxls: Mutex::new(None),
        })
    }

    /// Makes the descriptor readable until the next dispatch.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    pub(super) fn silence(&self) {
        self.bell.silence();
    }

    /// Makes the descriptor readable when one of `fds` is ready for its `events`, or at `until`.
    /// Replaces what was set before.
    pub(super) fn wait_for(
        &self,
        fds: impl Iterator<Item = (RawFd, i16)>,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let new = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut at_once = false;
        for (fd, events) in fds {
            // SAFETY: libxl has just named it as open. It is only passed to the kernel, which
            // reports an error if another thread's call of libxl has closed it since.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let events = u32::try_from(events).unwrap_or(0);
            match epoll::add(
                &new,
                fd,
                NO_DATA,
                epoll::EventFlags::from_bits_retain(events),
            ) {
                Ok(()) => {}
                // A file, which cannot be waited for: it is always ready.
                Err(Errno::PERM) => at_once = true,
                // Closed by another thread's call since: the next round gets the present ones.
                Err(Errno::BADF | Errno::EXIST) => at_once = true,
                Err(errno) => return Err(errno.into()),
            }
        }
        let libxls = self.libxls.lock();
        let mut libxls = libxls.unwrap_or_else(PoisonError::into_inner);
        epoll::add(&self.outer, &new, NO_DATA, epoll::EventFlags::IN)?;
        if let Some(old) = libxls.replace(new) {
            // Closing the old instance would not be enough where a forked child has it, too.
            epoll::delete(&self.outer, &old)?;
        }
        self.set_timer(if at_once { Some(Instant::now()) } else { until })
    }

    /// Leaves polling to another thread, which rings when it has done a round. Otherwise the
    /// descriptor would stay readable for as long as that thread polls.
    pub(super) fn wait_for_nothing(&self) -> io::Result<()> {
        self.wait_for(std::iter::empty(), None)
    }

    fn set_timer(&self, at: Option<Instant>) -> io::Result<()> {
        const OFF: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let left = at.map(|at| at.saturating_duration_since(Instant::now()));
        // Zero would turn the timer off.
        let left = left.map(|left| left.max(Duration::from_nanos(1)));
        let it_value = left.map_or(OFF, |left| {
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            })
        });
        let time = Itimerspec {
            it_interval: OFF,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time)?;
        Ok(())
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outer.as_fd()
    }
}
