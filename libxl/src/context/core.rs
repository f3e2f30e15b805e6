//! The parts of a context, and its teardown.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use libxl_sys as sys;

use super::sigchld::{OPEN, SigchldMode, keeping_a_foreign_action, opening};
use crate::{
    fork, log,
    logger::Logger,
    pump::{Moment, Pump},
    wake::Wake,
};

pub(crate) struct Core {
    pub(super) raw: NonNull<sys::libxl_ctx>,
    /// Held while libxl fills in its record of Xen's version, and while the record is read.
    pub(super) version: Mutex<()>,
    pub(super) logger: Logger,
    pub(super) pump: Arc<Pump>,
    /// Argument of libxl's disaster callback, from [`Arc::into_raw`].
    pub(super) disaster: NonNull<Pump>,
    pub(super) sigchld: SigchldMode,
}

// SAFETY: libxl.h, "libxl memory management": a context is thread-safe. The exceptions (registering
// callbacks, setting the SIGCHLD mode) happen before the value exists. Pump keeps the one-poller
// rule, and `version` is held around the one function that fills in a part of the context without
// its lock.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Core {
    /// As [`Pump::wait`], then passes libxl's log lines to the program's logger.
    pub(crate) fn wait(&self, since: Moment, deadline: Option<Instant>) -> io::Result<()> {
        let result = self.pump.wait(self.raw.as_ptr(), since, deadline);
        self.logger.flush();
        result
    }

    /// As [`Pump::dispatch`], then passes libxl's log lines to the program's logger.
    pub(crate) fn dispatch(&self) -> io::Result<()> {
        let result = self.pump.dispatch(self.raw.as_ptr());
        self.logger.flush();
        result
    }

    /// Aborts the operations whose deadline has passed or whose abort was requested.
    pub(crate) fn enforce(&self) {
        self.pump.enforce(self.raw.as_ptr());
        self.logger.flush();
    }

    /// The earliest deadline of the operations under way.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pump.next_deadline()
    }

    /// Has libxl look for its children that have ended, in [`SigchldMode::Mainloop`] only. In the
    /// other mode the call would make libxl end the process.
    pub(super) fn look_for_children(&self) {
        if self.sigchld == SigchldMode::Mainloop {
            // SAFETY: a live context, in the mode that this is for.
            self.pump
                .within(|| unsafe { sys::libxl_childproc_sigchld_occurred(self.raw.as_ptr()) });
            self.logger.flush();
        }
    }

    /// Aborts the abandoned operations and waits for their end. Returns false if that takes longer
    /// than `time`, or if waiting fails.
    fn quiesce(&self, time: Duration) -> bool {
        for (token, name) in self.pump.abandoned() {
            log::warn!("libxl: {name} was dropped while it ran, and is aborted with its context");
            self.pump.ask_for_end(token);
        }
        if self.pump.running() == 0 {
            // Without a look at the clock, which is a system call on many a host with Xen.
            return true;
        }
        let deadline = Instant::now() + time;
        while self.pump.running() > 0 {
            let now = self.pump.now();
            // No clone of the context is left through which the program could report that a child
            // has ended.
            self.look_for_children();
            let until = next_look(self.sigchld, Instant::now(), deadline);
            if Instant::now() >= deadline || self.wait(now, Some(until)).is_err() {
                return false;
            }
        }
        true
    }
}

impl Wake for Core {
    fn wake(&self) {
        self.pump.kick();
        if !self.pump.is_driven() {
            // Possibly no thread waits either. If one does, each operation is still aborted only
            // once.
            self.enforce();
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // libxl_ctx_free ends the process if an operation is under way. Every `Running` holds a
        // clone of the context, so any operation left has been abandoned by its caller.
        const TIME: Duration = Duration::from_secs(30);
        if !self.quiesce(TIME) {
            log::error!(
                "libxl: an abandoned operation has not ended within {TIME:?}: its context is leaked"
            );
            // Everything that the leaked context points to must stay alive: the memory of its
            // operations, which the pump holds, and the logger. The drop of a field cannot be
            // prevented, so the logger is replaced by a spare one.
            std::mem::forget(Arc::clone(&self.pump));
            if let Some(spare) = Logger::new(None) {
                std::mem::forget(std::mem::replace(&mut self.logger, spare));
                return;
            }
            std::process::abort();
        }
        {
            let _opening = opening();
            // SAFETY: the last owner; no operation, no event source and no child is left.
            keeping_a_foreign_action(|| unsafe {
                sys::libxl_ctx_free(self.raw.as_ptr());
            });
            OPEN.of(self.sigchld).fetch_sub(1, Ordering::SeqCst);
        }
        // SAFETY: from `Arc::into_raw` in `open`; the context that used it is gone.
        drop(unsafe { Arc::from_raw(self.disaster.as_ptr()) });
        self.logger.flush();
    }
}

/// Time at which a context that is being dropped looks for ended children again, at the latest.
fn next_look(mode: SigchldMode, now: Instant, deadline: Instant) -> Instant {
    const CHILDREN: Duration = Duration::from_millis(100);
    match mode {
        SigchldMode::SelectiveReap => deadline,
        SigchldMode::Mainloop => deadline.min(now + CHILDREN),
    }
}

/// State shared by the clones of a context. Dropping the last clone ends the context's own thread,
/// if it has one.
pub(super) struct Handle {
    pub(super) core: Arc<Core>,
    pub(super) driver: Mutex<Option<Arc<AtomicBool>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let driver = self.driver.get_mut();
        let driver = driver.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(stop) = driver.take() {
            // The thread is not joined: it may be waking a task that waits for this very thread.
            // The core is dropped by whichever of the two ends last.
            stop.store(true, Ordering::SeqCst);
            self.core.pump.kick();
        }
    }
}

/// A table of callbacks that libxl reads for as long as contexts exist.
pub(super) struct Table<T>(pub(super) T);

// SAFETY: never written to, and it holds only function pointers and integers.
unsafe impl<T> Sync for Table<T> {}

pub(super) static EVENTS: Table<sys::libxl_event_hooks> = Table(sys::libxl_event_hooks {
    // No event is delivered by a callback: all of them are fetched from the queue.
    event_occurs_mask: 0,
    event_occurs: None,
    // Without this, libxl ends the process.
    disaster: Some(disaster),
});

pub(super) static SELECTIVE_REAP: Table<sys::libxl_childproc_hooks> =
    Table(sys::libxl_childproc_hooks {
        chldowner: sys::libxl_sigchld_owner::libxl_sigchld_owner_libxl_always_selective_reap,
        fork_replacement: Some(fork::replacement),
        reaped_callback: None,
    });

pub(super) static MAINLOOP: Table<sys::libxl_childproc_hooks> = Table(sys::libxl_childproc_hooks {
    chldowner: sys::libxl_sigchld_owner::libxl_sigchld_owner_mainloop,
    fork_replacement: Some(fork::replacement),
    reaped_callback: None,
});

/// Records a disaster. Runs under libxl's lock and must not call libxl, so no code of the program
/// may run here.
unsafe extern "C" fn disaster(
    user: *mut c_void,
    _: sys::libxl_event_type,
    message: *const c_char,
    errnoval: c_int,
) {
    // A panic must not unwind through C. `fail` sets the flag before it wakes anybody.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: registered with a value that lives until the context is freed.
        let pump = unsafe { &*user.cast::<Pump>() };
        let message = if message.is_null() {
            "no message".into()
        } else {
            // SAFETY: not NULL: libxl passes a NUL-terminated string.
            unsafe { CStr::from_ptr(message) }.to_string_lossy()
        };
        let errno = io::Error::from_raw_os_error(errnoval);
        pump.fail(format!("{message}: {errno}"));
    }));
}

#[cfg(test)]
mod tests {
    use std::{
        ptr,
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::{SigchldMode, disaster, next_look, sys};
    use crate::pump::Pump;

    #[test]
    fn a_disaster_is_noted_and_wakes_whoever_waits() {
        let pump = Arc::new(Pump::new());
        let before = pump.now();
        // SAFETY: called as libxl calls it; the message may be NULL.
        unsafe {
            disaster(
                Arc::as_ptr(&pump).cast_mut().cast(),
                sys::libxl_event_type(0),
                ptr::null(),
                libc::EIO,
            );
        }
        assert!(pump.has_failed());
        let why = pump.failure().unwrap();
        assert!(why.starts_with("no message: "), "{why}");
        assert_ne!(pump.now(), before, "who waits since then looks again");
    }

    #[test]
    fn where_nobody_tells_of_children_they_are_looked_at() {
        let now = Instant::now();
        let (soon, late) = (
            now + Duration::from_millis(7),
            now + Duration::from_secs(30),
        );
        assert_eq!(next_look(SigchldMode::SelectiveReap, now, late), late);
        let next = next_look(SigchldMode::Mainloop, now, late);
        assert!(next > now && next <= now + Duration::from_millis(100));
        assert_eq!(next_look(SigchldMode::Mainloop, now, soon), soon);
    }
}
