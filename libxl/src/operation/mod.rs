//! Operations that take time: one way to start, wait for, limit and abort all of them.
//!
//! A method whose libxl function takes an `ao_how` returns an [`Operation`], which has not begun.
//! [`wait`](Operation::wait) runs the operation and returns its result; [`start`](Operation::start)
//! begins it, so that several can be under way at once. An operation may have a deadline and an
//! [`AbortHandle`], which another thread pulls; both work whether or not anybody waits. A
//! [`Running`] operation can be waited for, tried, awaited, aborted, or
//! [detached](Running::detach).
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
//! libxl makes progress only while somebody drives the context: a thread that waits on the context,
//! an event loop of the program ([`Context::event_loop`]), or a thread of this crate
//! ([`Context::drive`]), which awaiting and detaching start.

mod alarm;
mod call;
mod running;

use std::{fmt, panic::resume_unwind, ptr::NonNull, sync::Arc, time::Duration};

use crate::{
    AbortHandle, Context, Error, ErrorKind, Progress, Result,
    limits::Gate,
    pump::{Terms, Token, how},
};

pub use crate::limits::Limits;
pub(crate) use call::Call;
pub use running::Running;

use call::Hold;
use running::{Listening, Panic, Started};

/// An operation that has not begun. [`wait`](Self::wait) or [`start`](Self::start) begins it.
#[must_use = "an operation does nothing until it is waited for or started"]
pub struct Operation<T: 'static> {
    ctx: Context,
    call: Box<dyn Call<Output = T>>,
    /// Check that runs first; see [`Self::after`].
    check: Option<Check>,
    limits: Limits,
    gate: Option<Arc<Gate>>,
}

type Check = Box<dyn FnOnce() -> Result<Option<Hold>> + Send>;

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

    /// Name of the C function.
    pub(crate) fn function(&self) -> &'static str {
        self.call.function()
    }

    /// Holds back any abort until the gate is open.
    pub(crate) fn held_by(mut self, gate: &Arc<Gate>) -> Self {
        gate.attach(self.ctx.core());
        self.gate = Some(Arc::clone(gate));
        self
    }

    /// Begins the operation only if `check` succeeds at that time.
    pub(crate) fn after(mut self, check: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        self.check = Some(Box::new(|| check().map(|()| None)));
        self
    }

    /// As [`after`](Self::after), and keeps the value of `check` until the operation is over,
    /// whoever waits for it.
    pub(crate) fn holding<H: Send + 'static>(
        mut self,
        check: impl FnOnce() -> Result<H> + Send + 'static,
    ) -> Self {
        self.check = Some(Box::new(|| {
            check().map(|hold| -> Option<Hold> { Some(Box::new(hold)) })
        }));
        self
    }

    /// Replaces the limits.
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = limits.clone();
        self
    }

    /// Aborts the operation when it has taken this long; it then fails with
    /// [`ErrorKind::TimedOut`].
    ///
    /// libxl leaves an operation at its next opportunity, which may be a little later.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.limits = self.limits.deadline(time);
        self
    }

    /// Aborts the operation when `handle` is pulled; it then fails with [`ErrorKind::Aborted`].
    pub fn abort_with(mut self, handle: &AbortHandle) -> Self {
        self.limits = self.limits.abort_with(handle);
        self
    }

    /// Runs the operation and waits for its end.
    ///
    /// # Errors
    ///
    /// The errors of the operation, [`ErrorKind::TimedOut`] or [`ErrorKind::Aborted`]; [`ErrorKind::Io`], before it begins, if the
    /// process may not open a file descriptor.
    pub fn wait(self) -> Result<T> {
        self.begin()?.wait(None)
    }

    /// Runs the operation, calls `report` on this thread with every [`Progress`] that libxl makes,
    /// and waits for the end.
    ///
    /// Saves and restores report progress. libxl does not identify the operation: of two saves on
    /// one context each receives the reports of both. A panic of `report` aborts the operation, and
    /// goes on when the operation has ended.
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

    /// As [`wait_with_progress`](Self::wait_with_progress), but returns a panic of `report` beside
    /// the result.
    ///
    /// For callers that have to clean up before the panic goes on.
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
        let result = self
            .begin()
            .and_then(|started| started.wait(Some(&mut listening)));
        listening.tell();
        (result, listening.panic.take())
    }

    /// Begins the operation. libxl does a part of the work, sometimes most of it, before this
    /// returns.
    ///
    /// # Errors
    ///
    /// When libxl refuses the operation, or the abort handle has been pulled already;
    /// [`ErrorKind::Io`] if the operation has a deadline and the thread that enforces it cannot be
    /// created, or if the process may not open a file descriptor.
    pub fn start(self) -> Result<Running<T>> {
        let deadline = self.limits.deadline_from_now();
        if let Some(at) = deadline.filter(|_| !self.ctx.pump().is_driven()) {
            // Before the operation begins: one that cannot be limited must not begin.
            alarm::set(at, self.ctx.core())?;
        }
        self.begin().map(Running::new)
    }

    fn begin(self) -> Result<Started<T>> {
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
            abort.attach(ctx.core());
            if abort.is_aborted() {
                return Err(Error::new(ErrorKind::Aborted, call.function())
                    .with_domain(call.domain())
                    .with_message("aborted before it began"));
            }
        }
        let hold = match check {
            Some(check) => check()?,
            None => None,
        };
        // Before the operation begins: one that cannot be waited for must not begin.
        let bell = ctx.pump().bell();
        bell.map_err(|e| Error::io(call.function(), e))?;
        let mark = ctx.log_mark();
        let token = Token::fresh();
        let terms = Terms {
            deadline,
            abort: limits.abort,
            gate,
            reads_cards: call.reads_cards(),
        };
        // From here on a raw pointer: C keeps one, and a Box that moves would invalidate it.
        let call = NonNull::from(Box::leak(call));
        let how = how(token);
        ctx.pump().starting(token, terms);
        let entered = ctx.enter();
        // SAFETY: the context is live. The call stays at its address: `Started` owns it, and gives
        // it to the pump if it is dropped before the operation is over.
        let rc = ctx
            .pump()
            .within(|| unsafe { (*call.as_ptr()).start(entered.ptr(), &raw const how) });
        if rc == 0 {
            ctx.pump().started();
        } else {
            // A refusal is final: no completion follows it.
            ctx.pump().refused(token);
        }
        drop(entered);
        let started = Started {
            ctx,
            token,
            call,
            hold,
            mark,
            time: limits.time.unwrap_or_default(),
        };
        if rc == 0 {
            Ok(started)
        } else {
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
