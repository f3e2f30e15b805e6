//! The connection itself, and the ways in which the rest of this crate calls libxl through it.

use std::{
    ffi::c_int,
    fmt,
    sync::{Arc, MutexGuard, PoisonError},
};

use libxl_sys as sys;

use super::{
    core::{Core, Handle},
    sigchld::OPEN,
};
use crate::{DomId, Error, ErrorKind, LogLine, Result, logger::Logger, pump::Pump, raw::List};

/// A connection to Xen's toolstack library.
///
/// Cheap to clone and usable from many threads. An operation runs, and is waited for, on one
/// context. A thread that runs long operations should have a context of its own, which costs about
/// nine file descriptors and tens of KiB.
///
/// libxl ends the process when it runs out of memory or file descriptors, and when it finds a state
/// that it considers impossible. A toolstack should therefore be a process of its own. A program
/// that forks into the background opens its contexts after the fork.
#[derive(Clone)]
#[doc(alias = "libxl_ctx")]
#[doc(alias = "libxl_ctx_free")]
pub struct Context(pub(super) Arc<Handle>);

impl Context {
    /// Tells libxl that a SIGCHLD has arrived.
    ///
    /// In [`SigchldMode::Mainloop`](super::SigchldMode::Mainloop) the program calls this on every
    /// context after a SIGCHLD, but not from a signal handler. In the other mode libxl notices
    /// SIGCHLD itself, and the call only wakes threads that wait on the context.
    #[doc(alias = "libxl_childproc_sigchld_occurred")]
    pub fn sigchld_occurred(&self) {
        self.0.core.look_for_children();
        self.pump().kick();
    }

    /// Releases what the parent's contexts hold, in a child that was forked without an exec.
    ///
    /// For children that go on using Rust. The child must then neither use nor drop the parent's
    /// contexts, and opens new ones. The parent's watchers do not belong to the child: they learn
    /// of the child's actions on a domain as of those of any other program. No other thread of the
    /// parent may open or drop a context at the time of the fork: the child would wait for it for
    /// ever.
    ///
    /// # Safety
    ///
    /// The caller is the only thread of a child that was just forked, and drops no context,
    /// operation or watch that it has inherited: this one is forgotten.
    #[doc(alias = "libxl_postfork_child_noexec")]
    pub unsafe fn postfork_child_noexec(self) {
        // SAFETY: a context of the parent's, in a child with one thread.
        unsafe { sys::libxl_postfork_child_noexec(self.as_ptr()) };
        std::mem::forget(self);
        // The parent's contexts do not count as open in the child.
        OPEN.forget();
    }

    /// Returns true if libxl has reported that its event system is beyond repair. Operations on
    /// this context fail from then on; open another one.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.pump().has_failed()
    }

    /// Returns the C context, for functions of `libxl-sys` that this crate does not wrap. The
    /// pointer stays valid as long as a clone of this `Context` lives.
    ///
    /// Code that passes the pointer to C must keep the rules that this crate relies on:
    ///
    /// * The context is not freed, and not polled: neither `libxl_event_*` nor `libxl_osevent_*` nor
    ///   `libxl_childproc_*` is called with it, nor are callbacks or hooks registered.
    /// * A function with an `ao_how` gets NULL for it, or a callback. This crate fetches all events of
    ///   the context, and frees those that are not its own.
    /// * An event source is not armed: its events would be freed.
    /// * Only this crate reads sound cards: `libxl_device_vsnd_*` and
    ///   `libxl_retrieve_domain_configuration` are not called.
    /// * After a call that gets NULL for `ao_how`, [`sigchld_occurred`](Self::sigchld_occurred) is
    ///   called, in every mode, so that other threads look for operations that the call may have
    ///   ended.
    ///
    /// Lines that libxl logs in such a call reach the program's logger with the next call of this
    /// crate.
    #[must_use]
    pub fn as_ptr(&self) -> *mut sys::libxl_ctx {
        self.0.core.raw.as_ptr()
    }

    /// The C context for one call of libxl.
    ///
    /// The program's logger receives libxl's log lines when the guard is dropped, after the call:
    /// the logger may call this crate, and libxl must not be in the middle of a call then.
    pub(crate) fn enter(&self) -> Entered<'_> {
        Entered(&self.0.core)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(crate) fn version_lock(&self) -> MutexGuard<'_, ()> {
        let version = &self.0.core.version;
        version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pump(&self) -> &Arc<Pump> {
        &self.0.core.pump
    }

    pub(crate) fn log_mark(&self) -> u64 {
        self.0.core.logger.mark()
    }

    /// Lines logged since `mark` by any thread, for an operation.
    pub(crate) fn log_since(&self, mark: u64) -> Vec<LogLine> {
        self.0.core.logger.since(mark)
    }

    /// Lines logged since `mark` by this thread, for a call that has returned.
    pub(crate) fn own_log_since(&self, mark: u64) -> Vec<LogLine> {
        self.0.core.logger.own_since(mark)
    }

    pub(crate) fn logger(&self) -> &Logger {
        &self.0.core.logger
    }

    /// Runs a synchronous libxl call, and turns a code other than 0 into an error.
    pub(crate) fn call(
        &self,
        function: &'static str,
        domain: Option<DomId>,
        call: impl FnOnce(*mut sys::libxl_ctx) -> c_int,
    ) -> Result<()> {
        let mark = self.log_mark();
        let rc = call(self.enter().ptr());
        match rc {
            0 => Ok(()),
            rc => Err(Error::from_code(function, rc)
                .with_domain(domain)
                .with_log(self.own_log_since(mark))),
        }
    }

    /// As [`call`](Self::call), for a function that returns a number, or a negative libxl code.
    pub(crate) fn number(
        &self,
        function: &'static str,
        domain: Option<DomId>,
        call: impl FnOnce(*mut sys::libxl_ctx) -> c_int,
    ) -> Result<u32> {
        let mark = self.log_mark();
        let result = call(self.enter().ptr());
        u32::try_from(result).map_err(|_| {
            Error::from_code(function, result)
                .with_domain(domain)
                .with_log(self.own_log_since(mark))
        })
    }

    /// As [`call`](Self::call), for a function that returns a list and its length.
    ///
    /// NULL is an error, unless the length is 0 and this thread has logged nothing. Lines of other
    /// threads say nothing about the list.
    pub(crate) fn list<T>(
        &self,
        function: &'static str,
        domain: Option<DomId>,
        call: impl FnOnce(*mut sys::libxl_ctx, *mut c_int) -> *mut T,
        free: fn(*mut T, c_int),
    ) -> Result<Option<List<T>>> {
        let mark = self.log_mark();
        let mut count = 0;
        let at = call(self.enter().ptr(), &raw mut count);
        // SAFETY: the array and count that a function of libxl returned, and the function that
        // frees the array.
        if let Some(list) = unsafe { List::take(at, count, free) } {
            return Ok(Some(list));
        }
        let log = self.own_log_since(mark);
        if count == 0 && log.is_empty() {
            return Ok(None);
        }
        Err(Error::new(ErrorKind::Failed, function)
            .with_domain(domain)
            .with_message("libxl gave no list")
            .with_log(log))
    }

    /// The error for a function that this libxl lacks; names the missing feature.
    #[allow(dead_code)] // Unused with headers that have every feature.
    pub(crate) fn lacks(function: &'static str, feature: &str) -> Error {
        Error::new(ErrorKind::Unsupported, function).with_message(format!(
            "libxl {} does not have {function} (LIBXL_HAVE_{})",
            crate::BUILT_FOR,
            feature.to_uppercase()
        ))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("raw", &self.0.core.raw)
            .finish_non_exhaustive()
    }
}

/// The C context during one call; see [`Context::enter`].
pub(crate) struct Entered<'a>(&'a Core);

impl Entered<'_> {
    pub(crate) fn ptr(&self) -> *mut sys::libxl_ctx {
        self.0.raw.as_ptr()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.logger.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::Context;
    use crate::{ErrorKind, Operation, Running};

    #[test]
    fn contexts_and_operations_cross_threads() {
        fn send_and_sync<T: Send + Sync>() {}
        fn send<T: Send>() {}
        send_and_sync::<Context>();
        send::<Operation<()>>();
        send::<Running<()>>();
    }

    #[test]
    fn without_xen_the_error_says_what_it_takes() {
        if std::path::Path::new("/proc/xen/capabilities").exists() {
            return; // On a Xen host the live tests open contexts.
        }
        let error = Context::open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAvailable);
        assert!(error.to_string().contains("root in dom0"), "{error}");
        assert!(!error.log().is_empty(), "libxl logs why");
    }
}
