//! Operations under way.

use std::{
    any::Any,
    ffi::c_int,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::NonNull,
    task::{Poll, Waker},
    time::Duration,
};

use super::call::{Call, Hold};
use crate::{
    Context, DomId, Error, ErrorKind, Progress, Result,
    logger::Listener,
    pump::{Cause, Ended, Token},
};

/// An operation under way.
///
/// The operation can be waited for ([`wait`](Self::wait)), looked at
/// ([`try_wait`](Self::try_wait)), awaited (it is a [`Future`]), and [aborted](Self::abort).
///
/// Dropping this value leaves the operation to the context: it goes on as long as a clone of the
/// context exists, and is then aborted, with a warning in the log. [`detach`](Self::detach) lets it
/// go on to its end.
#[must_use = "an operation that is dropped is aborted with its context; `detach` lets it go on"]
pub struct Running<T: 'static>(Option<Started<T>>);

impl<T> Running<T> {
    pub(super) fn new(started: Started<T>) -> Self {
        Self(Some(started))
    }

    /// Waits for the end of the operation.
    ///
    /// # Errors
    ///
    /// As [`Operation::wait`](super::Operation::wait);
    /// [`ErrorKind::Invalid`] if [`try_wait`](Self::try_wait) has returned the result already.
    #[doc(alias = "libxl_event_check")]
    #[doc(alias = "libxl_osevent_beforepoll")]
    #[doc(alias = "libxl_osevent_afterpoll")]
    pub fn wait(mut self) -> Result<T> {
        match self.0.take() {
            Some(started) => started.wait(None),
            None => Err(Error::new(ErrorKind::Invalid, "libxl_event_check")
                .with_message("the result of this operation has been returned already")),
        }
    }

    /// Returns the result if the operation is over, without waiting for the end.
    ///
    /// Does pending work on the context, unless another thread is doing it. Returns `None` if the
    /// operation is not over, or its result has been returned already.
    pub fn try_wait(&mut self) -> Option<Result<T>> {
        let started = self.0.take()?;
        if !started.is_over() {
            if let Err(error) = started.ctx.core().dispatch() {
                return Some(started.give_up(Error::io("libxl_event_check", error)));
            }
        }
        match started.try_finish() {
            Ok(result) => Some(result),
            Err(started) => {
                self.0 = Some(started);
                None
            }
        }
    }

    /// Returns true if the operation is over; [`wait`](Self::wait) then returns at once.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(Started::is_over)
    }

    /// Requests an abort, whoever drives the context. The operation then fails with
    /// [`ErrorKind::Aborted`], unless it was just done.
    #[doc(alias = "libxl_ao_abort")]
    pub fn abort(&self) {
        if let Some(started) = &self.0 {
            started.abort();
        }
    }

    /// Lets the operation go on to its end, and the context with it, although nobody waits. The
    /// limits still apply. The result is in the log only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if there is no thread to drive the context; the operation is then treated
    /// as if dropped.
    pub fn detach(mut self) -> Result<()> {
        let Some(started) = self.0.take() else {
            return Ok(());
        };
        let driven = started.ctx.drive();
        if driven.is_ok() {
            let ctx = started.ctx.clone();
            started.leave(Some(Box::new(ctx)));
        } else {
            started.leave(None);
        }
        driven
    }
}

/// Completes when the operation is over. Dropping the future does not abort the operation.
///
/// Unless a loop or a thread already drives the context, this starts a thread that does
/// ([`Context::drive`]).
impl<T> Future for Running<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let Some(started) = self.0.take() else {
            return Poll::Ready(Err(Error::new(ErrorKind::Invalid, "libxl_event_check")
                .with_message("the result of this operation has been returned already")));
        };
        if let Err(error) = started.ctx.drive() {
            return Poll::Ready(started.give_up(error));
        }
        // Before the look at the result: an end in between wakes the task.
        started.wake_at_end(task.waker());
        match started.try_finish() {
            Ok(result) => Poll::Ready(result),
            Err(started) => {
                self.0 = Some(started);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(started) = self.0.take() {
            started.leave(None);
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

/// A callback that receives progress reports.
pub(super) struct Listening<'a> {
    pub(super) ctx: &'a Context,
    pub(super) listener: Listener,
    pub(super) report: &'a mut dyn FnMut(&Progress),
    pub(super) panic: Option<Panic>,
}

impl Listening<'_> {
    pub(super) fn tell(&mut self) {
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

pub(super) struct Started<T: 'static> {
    pub(super) ctx: Context,
    pub(super) token: Token,
    /// From Box::leak; freed by `finish`, `fail` or the pump.
    pub(super) call: NonNull<dyn Call<Output = T>>,
    pub(super) hold: Option<Hold>,
    pub(super) mark: u64,
    /// Duration of the deadline, for the error.
    pub(super) time: Duration,
}

// SAFETY: the call is Send by its trait, and this is its only owner on the Rust side.
unsafe impl<T: 'static> Send for Started<T> {}

/// The memory of an operation that nobody waits for. The fields are dropped in this order.
struct Left<T: 'static>(
    #[allow(dead_code)] Box<dyn Call<Output = T>>,
    #[allow(dead_code)] Option<Hold>,
    #[allow(dead_code)] Option<Hold>,
);

impl<T> Started<T> {
    pub(super) fn wait(mut self, mut listening: Option<&mut Listening<'_>>) -> Result<T> {
        let mut asked = false;
        loop {
            let now = self.ctx.pump().now();
            // Outside of libxl, which reports progress with its locks held. The thread that polls
            // the context wakes this thread after every round, so no report waits for long.
            if let Some(listening) = &mut listening {
                listening.tell();
                if listening.panic.is_some() && !asked {
                    asked = true;
                    self.abort();
                    continue;
                }
            }
            self = match self.try_finish() {
                Ok(result) => return result,
                Err(started) => started,
            };
            if let Err(error) = self.ctx.core().wait(now, None) {
                let error = Error::io(self.function(), error);
                return self.give_up(error);
            }
        }
    }

    /// Returns the result if the operation is over, or an error if the events of the context have
    /// failed; otherwise returns `self`.
    fn try_finish(self) -> Result<Result<T>, Self> {
        if let Some(ended) = self.ctx.pump().take_result(self.token) {
            return Ok(self.finish(ended));
        }
        if self.ctx.is_poisoned() {
            let error = Error::poisoned(self.function());
            return Ok(self.give_up(error));
        }
        Err(self)
    }

    fn is_over(&self) -> bool {
        self.ctx.pump().is_over(self.token)
    }

    fn abort(&self) {
        self.ctx.pump().ask_for_end(self.token);
        self.ctx.core().enforce();
    }

    fn wake_at_end(&self, waker: &Waker) {
        self.ctx.pump().wake_at_end(self.token, waker);
    }

    /// Leaves an operation that is not over, because of `error`.
    fn give_up(self, error: Error) -> Result<T> {
        let error = error.with_domain(self.domain());
        self.leave(None);
        Err(error)
    }

    /// Lets go of an operation that may not be over; `also` is kept until it is.
    fn leave(self, also: Option<Hold>) {
        let name = match self.domain() {
            Some(domain) => format!("{} of domain {domain}", self.function()),
            None => self.function().to_owned(),
        };
        // SAFETY: leaked in `Operation::start`; the pump keeps it until the operation is over.
        let call = unsafe { Box::from_raw(self.call.as_ptr()) };
        let left = Left(call, self.hold, also);
        self.ctx.pump().abandon(self.token, Box::new(left), name);
    }

    fn finish(self, ended: Ended) -> Result<T> {
        if ended.rc != 0 {
            return Err(self.fail(ended.rc, ended.cause));
        }
        // SAFETY: leaked in `Operation::start`; the operation is over, so C has let go of it.
        let call = unsafe { Box::from_raw(self.call.as_ptr()) };
        call.succeed(&self.ctx)
    }

    pub(super) fn fail(self, rc: c_int, cause: Option<Cause>) -> Error {
        let mut error = Error::from_code(self.function(), rc)
            .with_domain(self.domain())
            .with_log(self.ctx.log_since(self.mark));
        // libxl's code does not always show that an abort was the cause of the failure.
        match cause {
            Some(Cause::Deadline) => {
                let time = self.time;
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
        let call = unsafe { Box::from_raw(self.call.as_ptr()) };
        match cause {
            Some(_) => error,
            None => call.explain(&self.ctx, error),
        }
    }

    fn function(&self) -> &'static str {
        // SAFETY: valid until `finish`, `fail` or `leave`; the method reads no field.
        unsafe { self.call.as_ref() }.function()
    }

    fn domain(&self) -> Option<DomId> {
        // SAFETY: as above. C may write a domid at any time during the operation, which is why
        // implementations read it through a raw pointer.
        unsafe { self.call.as_ref() }.domain()
    }
}
