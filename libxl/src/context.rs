//! The context: a connection to Xen, and everything that must be set up before it can be shared.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{self, NonNull},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use libxl_sys as sys;

use crate::{
    Error, ErrorKind, LogLine, Result, fork,
    logger::Logger,
    operation::how,
    pump::{Pump, Token},
    raw::List,
};

/// Who deals with SIGCHLD. libxl forks: to create, destroy, save and restore, for hotplug scripts.
/// All contexts of a process must use the same mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigchldMode {
    /// libxl installs a handler and reaps its own children only. The program must not handle
    /// SIGCHLD itself; [`std::process`] is fine.
    #[default]
    SelectiveReap,
    /// The program handles SIGCHLD and calls [`Context::sigchld_occurred`] on every context.
    Mainloop,
}

/// Sets up a [`Context`]. What libxl only allows before first use can only be said here.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ContextBuilder {
    log_level: Option<log::LevelFilter>,
    sigchld: SigchldMode,
}

impl ContextBuilder {
    /// From which level up libxl's log lines go to the [`log`] crate, with target `libxl`. Default:
    /// what [`log::max_level`] says when the context is opened. Warnings and errors are always
    /// kept for [`Error::log`].
    ///
    /// The program's logger runs in the middle of libxl, which holds its locks: it must not call
    /// this crate. If it panics, that goes no further; the next error quotes it.
    pub fn log_level(mut self, level: log::LevelFilter) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Who deals with SIGCHLD. Default: libxl, selectively.
    pub fn sigchld(mut self, mode: SigchldMode) -> Self {
        self.sigchld = mode;
        self
    }

    /// Opens the context.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAvailable`] when Xen cannot be reached: not running on Xen, not in dom0, not
    /// root, or xenstored is not running. [`ErrorKind::Unsupported`] when the program has a SIGCHLD
    /// handler of its own and the mode is [`SigchldMode::SelectiveReap`]: libxl would end the
    /// process. [`ErrorKind::Invalid`] when a context in the other mode is open.
    #[doc(alias = "libxl_ctx_alloc")]
    #[doc(alias = "libxl_childproc_setmode")]
    #[doc(alias = "libxl_event_register_callbacks")]
    pub fn open(self) -> Result<Context> {
        const FUNCTION: &str = "libxl_ctx_alloc";
        let level = self.log_level.unwrap_or_else(log::max_level);
        let logger = Logger::new(level).ok_or_else(|| Error::new(ErrorKind::NoMemory, FUNCTION))?;
        let pump = Arc::new(Pump::new().map_err(|e| Error::io(FUNCTION, e))?);

        // It also changes the process-wide SIGCHLD handler: one at a time.
        let _opening = opening();
        OPEN.check(self.sigchld)?;
        if self.sigchld == SigchldMode::SelectiveReap {
            check_sigchld()?;
        }
        let disaster = NonNull::from(Box::leak(Box::new(Disaster {
            happened: AtomicBool::new(false),
            pump: Arc::clone(&pump),
        })));
        let mut raw = ptr::null_mut();
        // SAFETY: a place for the context; the logger outlives it, see `Inner::drop`.
        let rc = unsafe { sys::libxl_ctx_alloc(&raw mut raw, version(), 0, logger.as_ptr()) };
        let raw = match NonNull::new(raw) {
            Some(raw) if rc == 0 => raw,
            _ => {
                // SAFETY: leaked above, and nobody came to know it.
                drop(unsafe { Box::from_raw(disaster.as_ptr()) });
                return Err(Error::from_code(FUNCTION, rc)
                    .with_kind(ErrorKind::NotAvailable)
                    .with_message(
                        "Xen cannot be reached: this needs root in dom0 of a Xen host with \
                         xenstored running",
                    )
                    .with_log(logger.since(0)));
            }
        };
        let children: &'static _ = match self.sigchld {
            SigchldMode::SelectiveReap => &SELECTIVE_REAP,
            SigchldMode::Mainloop => &MAINLOOP,
        };
        // SAFETY: nobody else knows the context yet, it has no children and no event source; both
        // tables are static, and `disaster` lives until the context is freed.
        unsafe {
            sys::libxl_event_register_callbacks(
                raw.as_ptr(),
                &raw const EVENTS.0,
                disaster.as_ptr().cast(),
            );
            sys::libxl_childproc_setmode(raw.as_ptr(), &raw const children.0, ptr::null_mut());
        }
        if cfg!(any(target_arch = "arm", target_arch = "aarch64")) {
            // There libxl looks at the version by itself, when it builds a domain, and finds it filled
            // in. Elsewhere only `version_info` does, which spares a context the hypercalls.
            // SAFETY: a live context that nobody else knows.
            unsafe { sys::libxl_get_version_info(raw.as_ptr()) };
        }
        OPEN.of(self.sigchld).fetch_add(1, Ordering::SeqCst);
        Ok(Context(Arc::new(Inner {
            raw,
            version: Mutex::default(),
            logger,
            pump,
            disaster,
            sigchld: self.sigchld,
        })))
    }
}

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
pub struct Context(Arc<Inner>);

struct Inner {
    raw: NonNull<sys::libxl_ctx>,
    /// Held while libxl fills in what it knows of Xen's version, and while that is read.
    version: Mutex<()>,
    logger: Logger,
    pump: Arc<Pump>,
    /// What libxl's disaster callback has; from Box::leak.
    disaster: NonNull<Disaster>,
    sigchld: SigchldMode,
}

/// Whether libxl's event system has failed, and who has to know.
struct Disaster {
    happened: AtomicBool,
    pump: Arc<Pump>,
}

// SAFETY: libxl.h, "libxl memory management": a context is thread-safe. What is not (registering
// callbacks, the SIGCHLD mode) happens before the value exists, the one-poller rule is kept by Pump,
// and `version` is held around the one function that fills in a part of the context without its lock.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

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
        self.0.look_for_children();
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
        // SAFETY: valid as long as `Inner` is.
        unsafe { self.0.disaster.as_ref() }
            .happened
            .load(Ordering::SeqCst)
    }

    /// The C context, for functions of `libxl-sys` that this crate does not wrap. It stays valid as
    /// long as a clone of this `Context` lives. Do not free it, and do not poll it.
    #[must_use]
    pub fn as_ptr(&self) -> *mut sys::libxl_ctx {
        self.0.raw.as_ptr()
    }

    pub(crate) fn version_lock(&self) -> MutexGuard<'_, ()> {
        let version = &self.0.version;
        version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pump(&self) -> &Arc<Pump> {
        &self.0.pump
    }

    pub(crate) fn log_mark(&self) -> u64 {
        self.0.logger.mark()
    }

    /// What has been logged about an operation, in whatever thread.
    pub(crate) fn log_since(&self, mark: u64) -> Vec<LogLine> {
        self.0.logger.since(mark)
    }

    /// What has been logged about a call of this thread, which is over.
    pub(crate) fn own_log_since(&self, mark: u64) -> Vec<LogLine> {
        self.0.logger.own_since(mark)
    }

    pub(crate) fn logger(&self) -> &Logger {
        &self.0.logger
    }

    /// Runs a call that returns a libxl code at once, and makes an error of what is not 0.
    pub(crate) fn call(
        &self,
        function: &'static str,
        domain: Option<crate::DomId>,
        call: impl FnOnce(*mut sys::libxl_ctx) -> c_int,
    ) -> Result<()> {
        let mark = self.log_mark();
        match call(self.as_ptr()) {
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
        domain: Option<crate::DomId>,
        call: impl FnOnce(*mut sys::libxl_ctx) -> c_int,
    ) -> Result<u32> {
        let mark = self.log_mark();
        let result = call(self.as_ptr());
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
        domain: Option<crate::DomId>,
        call: impl FnOnce(*mut sys::libxl_ctx, *mut c_int) -> *mut T,
        free: fn(*mut T, c_int),
    ) -> Result<Option<List<T>>> {
        let mark = self.log_mark();
        let mut count = 0;
        let at = call(self.as_ptr(), &raw mut count);
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

    pub(crate) fn abort_operation(&self, token: Token) {
        self.0.abort_operation(token);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("raw", &self.0.raw)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn abort_operation(&self, token: Token) {
        let how = how(token);
        // SAFETY: a live context; `how` is only compared. "Not found" means that the operation has
        // just ended, which is what we are after.
        unsafe { sys::libxl_ao_abort(self.raw.as_ptr(), &raw const how) };
        // It may have ended the operation in here, and wakes nobody who waits for something else.
        self.pump.kick();
    }

    /// Has libxl see which of its children have ended, if that is for the program to say. Asked in
    /// another mode, libxl ends the process.
    fn look_for_children(&self) {
        if self.sigchld == SigchldMode::Mainloop {
            // SAFETY: a live context, in the mode that this is for.
            unsafe { sys::libxl_childproc_sigchld_occurred(self.raw.as_ptr()) };
        }
    }

    /// Brings abandoned operations to their end; whether all of them got there.
    fn quiesce(&self, time: Duration) -> bool {
        for token in self.pump.abandoned() {
            self.abort_operation(token);
        }
        let deadline = Instant::now() + time;
        while self.pump.running() > 0 {
            let now = self.pump.now();
            // Nobody has the context any more who could say that a child has ended.
            self.look_for_children();
            let until = next_look(self.sigchld, Instant::now(), deadline);
            if Instant::now() >= deadline
                || self.pump.wait(self.raw.as_ptr(), now, Some(until)).is_err()
            {
                return false;
            }
        }
        true
    }
}

impl Drop for Inner {
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
            if let Some(spare) = Logger::new(log::LevelFilter::Off) {
                std::mem::forget(std::mem::replace(&mut self.logger, spare));
                return;
            }
            std::process::abort();
        }
        let _opening = opening();
        // SAFETY: the last owner; no operation, no event source and no child is left.
        unsafe { sys::libxl_ctx_free(self.raw.as_ptr()) };
        // SAFETY: leaked in `open`; the context that used it is gone.
        drop(unsafe { Box::from_raw(self.disaster.as_ptr()) });
        OPEN.of(self.sigchld).fetch_sub(1, Ordering::SeqCst);
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

/// Held while a context opens or closes.
fn opening() -> MutexGuard<'static, ()> {
    static OPENING: Mutex<()> = Mutex::new(());
    OPENING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many contexts of the process are open in each mode. Changed while [`opening`] is held.
static OPEN: Open = Open {
    selective_reap: AtomicUsize::new(0),
    mainloop: AtomicUsize::new(0),
};

struct Open {
    selective_reap: AtomicUsize,
    mainloop: AtomicUsize,
}

impl Open {
    fn of(&self, mode: SigchldMode) -> &AtomicUsize {
        match mode {
            SigchldMode::SelectiveReap => &self.selective_reap,
            SigchldMode::Mainloop => &self.mainloop,
        }
    }

    /// libxl's handler and the program's cannot both be installed, and libxl ends the process when
    /// it finds another one in place of its own.
    fn check(&self, wanted: SigchldMode) -> Result<()> {
        let other = match wanted {
            SigchldMode::SelectiveReap => SigchldMode::Mainloop,
            SigchldMode::Mainloop => SigchldMode::SelectiveReap,
        };
        if self.of(other).load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Invalid, "libxl_childproc_setmode").with_message(format!(
                "a context with SigchldMode::{other:?} is open: all of a process must use the same"
            )),
        )
    }

    fn forget(&self) {
        self.selective_reap.store(0, Ordering::SeqCst);
        self.mainloop.store(0, Ordering::SeqCst);
    }
}

fn version() -> c_int {
    c_int::try_from(sys::LIBXL_VERSION).unwrap_or(0)
}

/// Fails if libxl would find a handler in place that is neither the default nor its own.
fn check_sigchld() -> Result<()> {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks for the present action only.
    let rc = unsafe { libc::sigaction(libc::SIGCHLD, ptr::null(), now.as_mut_ptr()) };
    if rc != 0 {
        return Err(Error::io("sigaction", std::io::Error::last_os_error()));
    }
    // SAFETY: filled in by the call above, and any bit pattern would be valid.
    let handler = unsafe { now.assume_init() }.sa_sigaction;
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN || is_libxls(handler) {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Unsupported, "libxl_childproc_setmode").with_message(
            "this program has a SIGCHLD handler, beside which libxl would end the process: \
         remove it, or use SigchldMode::Mainloop",
        ),
    )
}

/// Whether a signal handler is code of libxl's library: that of another context.
fn is_libxls(handler: usize) -> bool {
    let mut here = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    let mut there = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    let libxl = sys::libxl_ctx_alloc as *const c_void;
    // SAFETY: dladdr takes any address and fills in a structure whose fields may all be zero.
    unsafe {
        libc::dladdr(libxl, here.as_mut_ptr()) != 0
            && libc::dladdr(ptr::with_exposed_provenance(handler), there.as_mut_ptr()) != 0
            && here.assume_init().dli_fbase == there.assume_init().dli_fbase
    }
}

/// A table of callbacks that libxl reads for as long as contexts exist.
struct Table<T>(T);

// SAFETY: never written to, and it holds nothing but function pointers and integers.
unsafe impl<T> Sync for Table<T> {}

static EVENTS: Table<sys::libxl_event_hooks> = Table(sys::libxl_event_hooks {
    // No event is delivered by a callback: all of them are fetched from the queue.
    event_occurs_mask: 0,
    event_occurs: None,
    // Without this, libxl ends the process.
    disaster: Some(disaster),
});

static SELECTIVE_REAP: Table<sys::libxl_childproc_hooks> = Table(sys::libxl_childproc_hooks {
    chldowner: sys::libxl_sigchld_owner::libxl_sigchld_owner_libxl_always_selective_reap,
    fork_replacement: Some(fork::replacement),
    reaped_callback: None,
});

static MAINLOOP: Table<sys::libxl_childproc_hooks> = Table(sys::libxl_childproc_hooks {
    chldowner: sys::libxl_sigchld_owner::libxl_sigchld_owner_mainloop,
    fork_replacement: Some(fork::replacement),
    reaped_callback: None,
});

/// Must not call libxl. Sets the flag that whoever waits on the context looks at, and wakes them.
unsafe extern "C" fn disaster(
    user: *mut c_void,
    _: sys::libxl_event_type,
    message: *const c_char,
    errnoval: c_int,
) {
    // A panic must not unwind through C; the flag comes first.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: registered with a value that lives until the context is freed.
        let disaster = unsafe { &*user.cast::<Disaster>() };
        disaster.happened.store(true, Ordering::SeqCst);
        disaster.pump.kick();
        let message = if message.is_null() {
            "no message".into()
        } else {
            // SAFETY: not NULL: libxl passes a NUL-terminated string.
            unsafe { CStr::from_ptr(message) }.to_string_lossy()
        };
        let errno = std::io::Error::from_raw_os_error(errnoval);
        log::error!(target: "libxl", "disaster: {message}: {errno}");
    }));
}

#[cfg(test)]
mod tests {
    use std::{
        ptr,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        time::{Duration, Instant},
    };

    use super::{
        Context, Disaster, Open, SigchldMode, check_sigchld, disaster, is_libxls, next_look, sys,
    };
    use crate::{ErrorKind, Operation, Running, pump::Pump};

    #[test]
    fn contexts_and_operations_cross_threads() {
        fn send_and_sync<T: Send + Sync>() {}
        fn send<T: Send>() {}
        send_and_sync::<Context>();
        send::<Operation<()>>();
        send::<Running<()>>();
    }

    #[test]
    fn a_disaster_is_noted_and_wakes_whoever_waits() {
        let pump = Arc::new(Pump::new().unwrap());
        let value = Disaster {
            happened: AtomicBool::new(false),
            pump: Arc::clone(&pump),
        };
        let before = pump.now();
        // SAFETY: as libxl calls it; there need not be a message.
        unsafe {
            disaster(
                (&raw const value).cast_mut().cast(),
                sys::libxl_event_type(0),
                ptr::null(),
                libc::EIO,
            );
        }
        assert!(value.happened.load(Ordering::SeqCst));
        assert_ne!(pump.now(), before, "who waits since then looks again");
    }

    #[test]
    fn a_process_has_one_way_with_sigchld() {
        let open = Open {
            selective_reap: AtomicUsize::new(0),
            mainloop: AtomicUsize::new(0),
        };
        open.check(SigchldMode::Mainloop).unwrap();
        open.of(SigchldMode::SelectiveReap)
            .fetch_add(1, Ordering::SeqCst);
        open.check(SigchldMode::SelectiveReap).unwrap();
        let error = open.check(SigchldMode::Mainloop).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("SigchldMode::SelectiveReap is open"),
            "{error}"
        );
        open.forget();
        open.check(SigchldMode::Mainloop).unwrap();
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

    #[test]
    fn the_default_sigchld_action_is_accepted() {
        check_sigchld().unwrap();
        assert!(!is_libxls(0x1000));
    }
}
