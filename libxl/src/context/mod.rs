//! The context: a connection to Xen.

mod builder;
mod core;
mod driver;
mod event_loop;
mod sigchld;

use std::{
    ffi::c_int,
    fmt,
    sync::{Arc, MutexGuard, PoisonError},
};

use libxl_sys as sys;

use crate::{DomId, Error, ErrorKind, LogLine, Result, logger::Logger, pump::Pump, raw::List};

pub use builder::ContextBuilder;
pub(crate) use core::Core;
use core::Handle;
pub use event_loop::EventLoop;
use sigchld::OPEN;
pub use sigchld::SigchldMode;

/// A connection to Xen's toolstack library.
///
/// Cheap to clone, and may be used from many threads. An operation and its waiting go on one
/// context; a thread that does long operations is best served by a context of its own, which costs
/// a few file descriptors (about nine) and tens of KiB.
///
/// libxl ends the process when it runs out of memory or file descriptors, and when it finds itself
/// in a state that it holds to be impossible: a toolstack is best a process of its own. A program
/// that forks itself into the background opens its contexts after that.
#[derive(Clone)]
#[doc(alias = "libxl_ctx")]
#[doc(alias = "libxl_ctx_free")]
pub struct Context(Arc<Handle>);

impl Context {
    /// A context with the defaults.
    ///
    /// # Errors
    ///
    /// As [`ContextBuilder::open`].
    pub fn open() -> Result<Self> {
        Self::builder().open()
    }

    /// Sets up a context.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    /// To be called on every context after a SIGCHLD, in [`SigchldMode::Mainloop`]; not from a
    /// signal handler. In another mode libxl knows by itself, and this does nothing.
    #[doc(alias = "libxl_childproc_sigchld_occurred")]
    pub fn sigchld_occurred(&self) {
        self.0.core.look_for_children();
        self.pump().kick();
    }

    /// To be called in a child that was forked without an exec and goes on using Rust: gives up what
    /// the parent's contexts hold. In the child they must then neither be used nor dropped; it opens
    /// new ones. The parent's watchers are none of the child's: they hear of what it does to a domain
    /// as of a stranger's doing. No other thread of the parent may open or drop a context at the time
    /// of the fork: the child would wait for it for ever.
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
        // None of the parent's contexts is one of the child's.
        OPEN.forget();
    }

    /// Whether libxl has reported that its event system is beyond repair. Operations on this
    /// context fail from then on; open another one.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.pump().has_failed()
    }

    /// The C context, for functions of `libxl-sys` that this crate does not wrap. It stays valid as
    /// long as a clone of this `Context` lives.
    ///
    /// Whoever passes it to C promises what this crate relies on:
    ///
    /// * The context is not freed, and not polled: neither `libxl_event_*` nor `libxl_osevent_*` nor
    ///   `libxl_childproc_*` is called with it, nor are callbacks or hooks registered.
    /// * A function with an `ao_how` gets NULL for it, or a callback. This crate fetches all events of
    ///   the context, and frees those that are not its own.
    /// * An event source is not armed: its events would be freed.
    /// * No thread reads sound cards beside this crate: `libxl_device_vsnd_*` and
    ///   `libxl_retrieve_domain_configuration` are not called.
    /// * After a call that gets NULL for `ao_how`, [`sigchld_occurred`](Self::sigchld_occurred) is
    ///   called, in every mode: it has other threads look for what the call may have ended.
    ///
    /// What libxl logs in such a call reaches the program's logger with the next call of this crate.
    #[must_use]
    pub fn as_ptr(&self) -> *mut sys::libxl_ctx {
        self.0.core.raw.as_ptr()
    }

    /// The C context for one call of libxl. When that has returned, the program's logger gets what
    /// libxl has said: it may call this crate, and libxl must not be in the middle of something.
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

    /// What has been logged about an operation, in whatever thread.
    pub(crate) fn log_since(&self, mark: u64) -> Vec<LogLine> {
        self.0.core.logger.since(mark)
    }

    /// What has been logged about a call of this thread, which is over.
    pub(crate) fn own_log_since(&self, mark: u64) -> Vec<LogLine> {
        self.0.core.logger.own_since(mark)
    }

    pub(crate) fn logger(&self) -> &Logger {
        &self.0.core.logger
    }

    /// Runs a call that returns a libxl code at once, and makes an error of what is not 0.
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

    /// The same, of a call that returns a number, or a libxl code if that is negative.
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

    /// The same, of a call that returns a list and its length; NULL is an error, unless it left 0
    /// for the length and logged nothing in this thread: what another one meets with meanwhile says
    /// nothing about the list.
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
        // SAFETY: what a function of libxl returned together with the count, and what frees it.
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

    /// An error that says which feature of libxl is missing.
    #[allow(dead_code)] // Whether anything is missing depends on the headers.
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
