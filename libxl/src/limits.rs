//! The limits of an operation: a deadline, an abort handle, and the gate that holds both back.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    AbortHandle, Error, ErrorKind, Result,
    sync::{AtomicBool, Mutex, PoisonError},
    wake::Wake,
};

/// Limits of an operation: the time that it may take, the time for which the other end of a
/// connection may be silent, and a handle that aborts it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub(crate) time: Option<Duration>,
    pub(crate) silence: Option<Duration>,
    pub(crate) abort: Option<AbortHandle>,
}

impl Limits {
    /// No limits.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Aborts the operation when it has taken this long.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Aborts the operation when the other end of a connection has been silent for this long: it
    /// sends nothing of what is expected of it, or takes nothing of what is sent to it.
    ///
    /// While a guest's memory goes over and the guest may still run at the source, the other end has
    /// [`Limits::PATIENCE`] times as long. It may be waiting for memory, or for the guest.
    #[must_use]
    pub fn silence(mut self, time: Duration) -> Self {
        self.silence = Some(time);
        self
    }

    /// Factor for [`Limits::silence`] while nobody suffers from it.
    pub const PATIENCE: u32 = 10;

    /// Aborts the operation when `handle` is pulled.
    #[must_use]
    pub fn abort_with(mut self, handle: &AbortHandle) -> Self {
        self.abort = Some(handle.clone());
        self
    }

    /// Deadline counted from now; `None` also for a time that the clock cannot represent.
    pub(crate) fn deadline_from_now(&self) -> Option<Instant> {
        let time = self.time?;
        Instant::now().checked_add(time)
    }
}

/// Closed while libxl would not survive an abort; see [`crate::stream::relay`].
#[derive(Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    /// The waiter to wake when the gate opens.
    waiter: Mutex<Option<Weak<dyn Wake>>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        let waiter = waiter.as_ref().and_then(Weak::upgrade);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn attach<W: Wake + 'static>(&self, to: &Arc<W>) {
        let to: Weak<W> = Arc::downgrade(to);
        *self.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
    }
}

/// Limits that several steps share: the time runs from the creation of this value.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    time: Duration,
    deadline: Option<Instant>,
    silence: Option<Duration>,
    abort: Option<AbortHandle>,
}

impl Clock {
    pub(crate) fn start(limits: &Limits) -> Self {
        Self {
            time: limits.time.unwrap_or_default(),
            deadline: limits.deadline_from_now(),
            silence: limits.silence,
            abort: limits.abort.clone(),
        }
    }

    /// A clock without limits.
    pub(crate) fn none() -> Self {
        Self::start(&Limits::none())
    }

    /// A clock with no limit except this handle.
    pub(crate) fn until(handle: &AbortHandle) -> Self {
        Self::start(&Limits::none().abort_with(handle))
    }

    /// Remaining limits, for the next step.
    pub(crate) fn rest(&self) -> Limits {
        Limits {
            time: self
                .deadline
                .map(|at| at.saturating_duration_since(Instant::now())),
            silence: self.silence,
            abort: self.abort.clone(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Longest time for which the other end of a connection may be silent.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.silence
    }

    pub(crate) fn abort_handle(&self) -> Option<&AbortHandle> {
        self.abort.as_ref()
    }

    /// Fails when the limits are used up.
    pub(crate) fn check(&self, function: &'static str) -> Result<()> {
        if self.abort.as_ref().is_some_and(AbortHandle::is_aborted) {
            return Err(Error::new(ErrorKind::Aborted, function).with_message("aborted"));
        }
        if self.deadline.is_some_and(|at| Instant::now() >= at) {
            let text = format!("took longer than {:?} and was given up", self.time);
            return Err(Error::new(ErrorKind::TimedOut, function).with_message(text));
        }
        Ok(())
    }
}
