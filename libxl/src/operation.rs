//! Operations that take time: one way to start, wait for, limit and abort all of them.
//!
//! Where libxl's function takes an `ao_how`, the method here returns an [`Operation`], which has not
//! begun. [`wait`](Operation::wait) does it and returns what came of it; [`start`](Operation::start)
//! begins it, so that several can be under way at once. It may have a deadline and an
//! [`AbortHandle`], which another thread pulls. Dropping a [`Running`] one lets it go on.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use libxl::{AbortHandle, Context, ErrorKind};
//!
//! let ctx = Context::open()?;
//! let stop = AbortHandle::new();
//! let domains: Vec<_> = ["web", "db"]
//!     .into_iter()
//!     .map(|name| ctx.domain_by_domid(ctx.name_to_domid(name)?))
//!     .collect::<libxl::Result<_>>()?;
//! // Both at once, on one context and without a thread.
//! let mut running = Vec::new();
//! for domain in &domains {
//!     let asked = domain.shutdown().deadline(Duration::from_secs(30)).abort_with(&stop);
//!     running.push((domain, asked.start()?));
//! }
//! for (domain, asked) in running {
//!     match asked.wait() {
//!         Err(error) if error.kind() == ErrorKind::TimedOut => domain.destroy().wait()?,
//!         result => result?,
//!     }
//! }
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! libxl makes progress only while somebody waits for something on the context, or a
//! [`Watcher`](crate::Watcher) is at work on it.

use std::{
    any::Any,
    ffi::c_int,
    fmt,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use libxl_sys as sys;

use crate::{
    AbortHandle, Context, DomId, Error, ErrorKind, Progress, Result,
    logger::Listener,
    pump::{Pump, Token},
};

/// What an operation does. The value stays at one address from `start` to `finish`, so that `start`
/// may give C pointers into it.
pub(crate) trait Call: Send {
    /// What the caller gets.
    type Output;

    /// The C function, for errors.
    fn function(&self) -> &'static str;

    /// The domain it is about, for errors. For a creation: the one that came to be, if any.
    fn domain(&self) -> Option<DomId>;

    /// Calls the C function with the `how` given, and returns what that returned.
    ///
    /// # Safety
    ///
    /// `ctx` and `how` are valid. Unless this fails, `self` stays where it is and is not touched
    /// until the operation is over.
    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int;

    /// The caller's result of an operation that ended with 0.
    fn succeed(self: Box<Self>, ctx: &Context) -> Result<Self::Output>;
}

/// How long an operation may take, and who may end it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    time: Option<Duration>,
    abort: Option<AbortHandle>,
}

impl Limits {
    /// No limits.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The operation is aborted when it has taken this long.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// The operation is aborted when `handle` is pulled.
    #[must_use]
    pub fn abort_with(mut self, handle: &AbortHandle) -> Self {
        self.abort = Some(handle.clone());
        self
    }

    /// What is further away than a clock can say is no deadline.
    fn deadline_from_now(&self) -> Option<Instant> {
        Instant::now().checked_add(self.time?)
    }
}

/// Closed while libxl would not survive an abort; see [`crate::stream::relay`].
#[derive(Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    /// Who waits for it.
    waiter: Mutex<Option<Arc<Pump>>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pump) = &*waiter {
            pump.kick();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    fn attach(&self, pump: &Arc<Pump>) {
        let mut waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        *waiter = Some(Arc::clone(pump));
    }
}

/// Limits that several steps share: the time runs from the making of this value.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    time: Duration,
    deadline: Option<Instant>,
    abort: Option<AbortHandle>,
}

impl Clock {
    pub(crate) fn start(limits: &Limits) -> Self {
        Self {
            time: limits.time.unwrap_or_default(),
            deadline: limits.deadline_from_now(),
            abort: limits.abort.clone(),
        }
    }

    /// No limits but this handle.
    pub(crate) fn until(handle: &AbortHandle) -> Self {
        Self::start(&Limits::none().abort_with(handle))
    }

    /// What is left of them, for the next step.
    pub(crate) fn rest(&self) -> Limits {
        Limits {
            time: self
                .deadline
                .map(|at| at.saturating_duration_since(Instant::now())),
            abort: self.abort.clone(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
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

/// An operation that has not begun: it does when [`wait`](Self::wait) or [`start`](Self::start) is
/// called.
#[must_use = "an operation does nothing until it is waited for or started"]
pub struct Operation<T: 'static> {
    ctx: Context,
    call: Box<dyn Call<Output = T>>,
    /// Runs first; see [`Self::after`].
    check: Option<Check>,
    limits: Limits,
    gate: Option<Arc<Gate>>,
}

type Check = Box<dyn FnOnce() -> Result<()> + Send>;

impl<T> Operation<T> {
    pub(crate) fn new(ctx: &Context, call: impl Call<Output = T> + 'static) -> Self {
        Self {
            ctx: ctx.clone(),
            call: Box::new(call),
            check: None,
            limits: Limits::none(),
            gate: None,
        }
    }

    /// The C function.
    pub(crate) fn function(&self) -> &'static str {
        self.call.function()
    }

    /// Holds back any abort until the gate is open.
    pub(crate) fn held_by(mut self, gate: &Arc<Gate>) -> Self {
        gate.attach(self.ctx.pump());
        self.gate = Some(Arc::clone(gate));
        self
    }

    /// Does it only if `check` succeeds at that time.
    pub(crate) fn after(mut self, check: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// Aborts the operation when it has taken this long; it then fails with
    /// [`ErrorKind::TimedOut`]. libxl leaves an operation at its next opportunity, which may be a
    /// little later.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.limits = self.limits.deadline(time);
        self
    }

    /// Aborts the operation when `handle` is pulled; it then fails with [`ErrorKind::Aborted`].
    pub fn abort_with(mut self, handle: &AbortHandle) -> Self {
        self.limits = self.limits.abort_with(handle);
        self
    }

    /// Does it, and waits for the end.
    ///
    /// # Errors
    ///
    /// Those of the operation, [`ErrorKind::TimedOut`] or [`ErrorKind::Aborted`].
    pub fn wait(self) -> Result<T> {
        self.start()?.wait()
    }

    /// Does it, calls `report` on this thread with every [`Progress`] that libxl makes, and waits
    /// for the end. Saves and restores report progress.
    ///
    /// libxl does not say whose progress it is: of two saves on one context each hears both. A
    /// panic of `report` aborts the operation and goes on when that has ended.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_with_progress(self, report: &mut dyn FnMut(&Progress)) -> Result<T> {
        match self.wait_despite_panics(report) {
            (_, Some(panic)) => resume_unwind(panic),
            (result, None) => result,
        }
    }

    /// As [`wait_with_progress`](Self::wait_with_progress), for who has something to tidy up before
    /// a panic of `report` may go on: returns what came of the operation nevertheless, and the panic.
    pub(crate) fn wait_despite_panics(
        self,
        report: &mut dyn FnMut(&Progress),
    ) -> (Result<T>, Option<Panic>) {
        let ctx = self.ctx.clone();
        let mut listening = Listening {
            listener: ctx.logger().listen(),
            ctx: &ctx,
            report,
            panic: None,
        };
        let result = self.start().and_then(|mut running| match running.0.take() {
            Some(started) => started.wait(Some(&mut listening)),
            None => unreachable!("just started"),
        });
        listening.tell();
        (result, listening.panic.take())
    }

    /// Begins it. libxl does a part of the work, sometimes most of it, before this returns.
    ///
    /// # Errors
    ///
    /// When libxl refuses the operation, or the abort handle has been pulled already.
    pub fn start(self) -> Result<Running<T>> {
        let Self {
            ctx,
            call,
            check,
            limits,
            gate,
        } = self;
        let deadline = limits.deadline_from_now();
        if let Some(abort) = &limits.abort {
            // In this order, so that an abort is either seen here or wakes the wait.
            abort.attach(ctx.pump());
            if abort.is_aborted() {
                return Err(Error::new(ErrorKind::Aborted, call.function())
                    .with_domain(call.domain())
                    .with_message("aborted before it began"));
            }
        }
        if let Some(check) = check {
            check()?;
        }
        let mark = ctx.log_mark();
        let token = Token::fresh();
        // From here on a raw pointer: C keeps one, and a Box that moves would invalidate it.
        let call = NonNull::from(Box::leak(call));
        let how = how(token);
        ctx.pump().starting();
        // SAFETY: the context is live. The call stays at its address: `Started` owns it, and gives
        // it to the pump if it is dropped before the operation is over.
        let rc = unsafe { (*call.as_ptr()).start(ctx.as_ptr(), &raw const how) };
        let started = Started {
            ctx,
            token,
            call,
            mark,
            deadline,
            limits,
            gate,
        };
        if rc == 0 {
            started.ctx.pump().started();
            Ok(Running(Some(started)))
        } else {
            // A refusal is final: no completion follows it.
            started.ctx.pump().refused();
            Err(started.fail(rc, None))
        }
    }
}

impl<T> fmt::Debug for Operation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("function", &self.call.function())
            .field("domain", &self.call.domain())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// An operation under way.
///
/// Dropping it lets the operation go on; its context sees to the memory.
pub struct Running<T: 'static>(Option<Started<T>>);

impl<T> Running<T> {
    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// As [`Operation::wait`].
    #[doc(alias = "libxl_event_check")]
    #[doc(alias = "libxl_osevent_beforepoll")]
    #[doc(alias = "libxl_osevent_afterpoll")]
    pub fn wait(mut self) -> Result<T> {
        match self.0.take() {
            Some(started) => started.wait(None),
            None => unreachable!("only `wait` and `drop` take it, and both end the value"),
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(started) = self.0.take() {
            started.abandon();
        }
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.0.as_ref().map(|started| started.token);
        f.debug_struct("Running")
            .field("token", &token)
            .finish_non_exhaustive()
    }
}

pub(crate) type Panic = Box<dyn Any + Send>;

/// Somebody who is told of progress.
struct Listening<'a> {
    ctx: &'a Context,
    listener: Listener,
    report: &'a mut dyn FnMut(&Progress),
    panic: Option<Panic>,
}

impl Listening<'_> {
    fn tell(&mut self) {
        for progress in self.ctx.logger().heard(&self.listener) {
            if self.panic.is_none() {
                // The operation goes on whatever happens here, so its end has to be waited for.
                let told = catch_unwind(AssertUnwindSafe(|| (self.report)(&progress)));
                self.panic = told.err();
            }
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.ctx.logger().stop_listening(&self.listener);
    }
}

/// Why we asked libxl to abort.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Deadline,
    Request,
}

struct Started<T: 'static> {
    ctx: Context,
    token: Token,
    /// From Box::leak; freed by `finish`, `fail` or the pump.
    call: NonNull<dyn Call<Output = T>>,
    mark: u64,
    deadline: Option<Instant>,
    limits: Limits,
    gate: Option<Arc<Gate>>,
}

// SAFETY: the call is Send by its trait, and this is its only owner on the Rust side.
unsafe impl<T: 'static> Send for Started<T> {}

impl<T> Started<T> {
    fn wait(self, mut listening: Option<&mut Listening<'_>>) -> Result<T> {
        let mut cause = None;
        loop {
            let now = self.ctx.pump().now();
            // Outside of libxl, which reports it with its locks held. Whoever polls the context
            // wakes this thread after every round, so nothing waits for long.
            if let Some(listening) = &mut listening {
                listening.tell();
            }
            if let Some(rc) = self.ctx.pump().take_result(self.token) {
                return self.finish(rc, cause);
            }
            if self.ctx.is_poisoned() {
                let error = Error::poisoned(self.function()).with_domain(self.domain());
                self.abandon();
                return Err(error);
            }
            if cause.is_none() {
                let panicked = listening.as_ref().is_some_and(|l| l.panic.is_some());
                cause = self.cause(panicked);
                if cause.is_some() {
                    self.abort();
                    continue;
                }
            }
            let deadline = self
                .deadline
                .filter(|_| cause.is_none() && self.may_be_aborted());
            if let Err(error) = self.ctx.pump().wait(self.ctx.as_ptr(), now, deadline) {
                let error = Error::io(self.function(), error).with_domain(self.domain());
                self.abandon();
                return Err(error);
            }
        }
    }

    fn may_be_aborted(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.is_open())
    }

    /// Whether it should be aborted by now, and can be.
    fn cause(&self, panicked: bool) -> Option<Cause> {
        if !self.may_be_aborted() {
            None
        } else if panicked
            || self
                .limits
                .abort
                .as_ref()
                .is_some_and(AbortHandle::is_aborted)
        {
            Some(Cause::Request)
        } else if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            Some(Cause::Deadline)
        } else {
            None
        }
    }

    fn abort(&self) {
        self.ctx.abort_operation(self.token);
    }

    /// Lets go of an operation that is not over.
    fn abandon(self) {
        // SAFETY: leaked in `Operation::start`; the pump keeps it until the operation is over.
        let call = unsafe { Box::from_raw(self.call.as_ptr()) };
        self.ctx.pump().abandon(self.token, Box::new(call));
    }

    fn finish(self, rc: c_int, cause: Option<Cause>) -> Result<T> {
        if rc != 0 {
            return Err(self.fail(rc, cause));
        }
        // SAFETY: leaked in `Operation::start`; the operation is over, so C has let go of it.
        let call = unsafe { Box::from_raw(self.call.as_ptr()) };
        call.succeed(&self.ctx)
    }

    fn fail(self, rc: c_int, cause: Option<Cause>) -> Error {
        let mut error = Error::from_code(self.function(), rc)
            .with_domain(self.domain())
            .with_log(self.ctx.log_since(self.mark));
        // libxl does not always say that it was an abort that it failed by.
        match cause {
            Some(Cause::Deadline) => {
                let time = self.limits.time.unwrap_or_default();
                error = error
                    .with_kind(ErrorKind::TimedOut)
                    .with_message(format!("took longer than {time:?} and was aborted"));
            }
            Some(Cause::Request) => {
                error = error
                    .with_kind(ErrorKind::Aborted)
                    .with_message("was aborted");
            }
            None => {}
        }
        // SAFETY: leaked in `Operation::start`; libxl refused the operation, or it is over.
        drop(unsafe { Box::from_raw(self.call.as_ptr()) });
        error
    }

    fn function(&self) -> &'static str {
        // SAFETY: valid until `finish`, `fail` or `abandon`; the method reads no field.
        unsafe { self.call.as_ref() }.function()
    }

    fn domain(&self) -> Option<DomId> {
        // SAFETY: as above. C may write a domid at any time during the operation, which is why
        // implementations read it through a raw pointer.
        unsafe { self.call.as_ref() }.domain()
    }
}

/// How libxl is to report the end: by an event with our token. A call without `how` would poll by
/// itself, and neither hear of an abort nor leave the context to others.
pub(crate) fn how(token: Token) -> sys::libxl_asyncop_how {
    sys::libxl_asyncop_how {
        callback: None,
        u: sys::libxl_asyncop_how__bindgen_ty_1 {
            for_event: ManuallyDrop::new(token.0),
        },
    }
}
