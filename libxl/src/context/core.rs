//! What a context consists of, and how it ends.

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
    /// Held while libxl fills in what it knows of Xen's version, and while that is read.
    pub(super) version: Mutex<()>,
    pub(super) logger: Logger,
    pub(super) pump: Arc<Pump>,
    /// What libxl's disaster callback has; from [`Arc::into_raw`].
    pub(super) disaster: NonNull<Pump>,
    pub(super) sigchld: SigchldMode,
}

// SAFETY: libxl.h, "libxl memory management": a context is thread-safe. What is not (registering
// callbacks, the SIGCHLD mode) happens before the value exists, the one-poller rule is kept by Pump,
// and `version` is held around the one function that fills in a part of the context without its lock.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Core {
    /// As [`Pump::wait`]; then the program's logger gets what libxl has said.
    pub(crate) fn wait(&self, since: Moment, deadline: Option<Instant>) -> io::Result<()> {
        let result = self.pump.wait(self.raw.as_ptr(), since, deadline);
        self.logger.flush();
        result
    }

    /// As [`Pump::dispatch`], and likewise.
    pub(crate) fn dispatch(&self) -> io::Result<()> {
        let result = self.pump.dispatch(self.raw.as_ptr());
        self.logger.flush();
        result
    }

    /// Aborts what is to be aborted by now.
    pub(crate) fn enforce(&self) {
        self.pump.enforce(self.raw.as_ptr());
        self.logger.flush();
    }

    /// The earliest deadline of the operations under way.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pump.next_deadline()
    }

    /// Has libxl see which of its children have ended, if that is for the program to say. Asked in
    /// another mode, libxl ends the process.
    pub(super) fn look_for_children(&self) {
        if self.sigchld == SigchldMode::Mainloop {
            // SAFETY: a live context, in the mode that this is for.
            self.pump
                .within(|| unsafe { sys::libxl_childproc_sigchld_occurred(self.raw.as_ptr()) });
            self.logger.flush();
        }
    }

    /// Brings abandoned operations to their end; whether all of them got there.
    fn quiesce(&self, time: Duration) -> bool {
        for (token, name) in self.pump.abandoned() {
            log::warn!("libxl: {name} was dropped while it ran, and is aborted with its context");
            self.pump.ask_for_end(token);
        }
        let deadline = Instant::now() + time;
        while self.pump.running() > 0 {
            let now = self.pump.now();
            // Nobody has the context any more who could say that a child has ended.
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
            // Perhaps nobody waits either. If somebody does, each operation is aborted once all the
            // same.
            self.enforce();
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // libxl_ctx_free ends the process if an operation is under way. Every `Running` holds a
        // clone of the context, so what is left has been abandoned by its caller.
        const TIME: Duration = Duration::from_secs(30);
        if !self.quiesce(TIME) {
            log::error!(
                "libxl: an abandoned operation has not ended within {TIME:?}: its context is leaked"
            );
            // What libxl knows must live on with it: the memory of its operations, which the pump
            // has, and the logger. Drop of a field cannot be stopped, so it gets something else.
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
        // SAFETY: given away in `open`; the context that used it is gone.
        drop(unsafe { Arc::from_raw(self.disaster.as_ptr()) });
        self.logger.flush();
    }
}

/// When a context that is being given up is to look again, at the latest.
fn next_look(mode: SigchldMode, now: Instant, deadline: Instant) -> Instant {
    const CHILDREN: Duration = Duration::from_millis(100);
    match mode {
        SigchldMode::SelectiveReap => deadline,
        SigchldMode::Mainloop => deadline.min(now + CHILDREN),
    }
}

/// The handles of a context; with the last one its own thread ends, if it has one.
pub(super) struct Handle {
    pub(super) core: Arc<Core>,
    pub(super) driver: Mutex<Option<Arc<AtomicBool>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let driver = self.driver.get_mut();
        let driver = driver.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(stop) = driver.take() {
            // Not waited for: it may be waking a task that waits for this very thread. The core
            // ends with the later of the two.
            stop.store(true, Ordering::SeqCst);
            self.core.pump.kick();
        }
    }
}

/// A table of callbacks that libxl reads for as long as contexts exist.
pub(super) struct Table<T>(pub(super) T);

// SAFETY: never written to, and it holds nothing but function pointers and integers.
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

/// Must not call libxl, and runs under its lock: nothing of the program's may run in here.
unsafe extern "C" fn disaster(
    user: *mut c_void,
    _: sys::libxl_event_type,
    message: *const c_char,
    errnoval: c_int,
) {
    // A panic must not unwind through C; the flag comes first.
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
        let pump = Arc::new(Pump::new().unwrap());
        let before = pump.now();
        // SAFETY: as libxl calls it; there need not be a message.
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
