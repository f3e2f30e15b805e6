//! Driving a context from the program's own event loop.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
};

use super::connection::Context;
use crate::{Error, Result, log, pump::Descriptor};

/// Lets a program's own event loop drive a [`Context`].
///
/// The descriptor becomes readable when there is work: libxl has something to do, an operation has
/// begun or ended, or a deadline has passed. [`dispatch`](Self::dispatch) then does the work and
/// never waits. Wait for the descriptor to be readable (`POLLIN`), level-triggered or
/// edge-triggered.
///
/// The descriptor stays the same, and stays open, for as long as this value exists. It is
/// close-on-exec, and its status flags are not changed.
///
/// ```no_run
/// use std::os::fd::AsFd;
///
/// use libxl::{Context, DomId};
/// use rustix::event::{PollFd, PollFlags, poll};
///
/// let ctx = Context::open()?;
/// let events = ctx.event_loop()?;
/// let mut asked = ctx.domain_by_domid(DomId(7))?.shutdown().start()?;
/// loop {
///     if let Some(result) = asked.try_wait() {
///         break result?;
///     }
///     poll(&mut [PollFd::new(&events, PollFlags::IN)], None)?;
///     events.dispatch()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With tokio, use an `AsyncFd`; with mio, a `SourceFd`. While an `EventLoop` exists, a
/// [`Running`](crate::Running) that is awaited relies on it. Other threads may wait for operations
/// on the same context. If the `EventLoop` is dropped while operations are under way, a thread of
/// this crate drives them to their end.
#[doc(alias = "libxl_osevent_register_hooks")]
pub struct EventLoop {
    ctx: Context,
    /// `None` only while the value is dropped.
    descriptor: Option<Arc<Descriptor>>,
}

impl Context {
    /// Returns a descriptor through which the program's own loop drives this context. All values
    /// made by this method for one context share one descriptor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the descriptor cannot be created.
    pub fn event_loop(&self) -> Result<EventLoop> {
        let descriptor = self.pump().attach_loop();
        let descriptor = descriptor.map_err(|e| Error::io("epoll_create", e))?;
        Ok(EventLoop {
            ctx: self.clone(),
            descriptor: Some(descriptor),
        })
    }
}

impl EventLoop {
    /// Does all pending work without waiting. Tasks that await an operation are woken by this call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the descriptors cannot be polled;
    /// [`ErrorKind::NotAvailable`](crate::ErrorKind::NotAvailable) after
    /// [`Context::is_poisoned`].
    #[doc(alias = "libxl_osevent_afterpoll")]
    pub fn dispatch(&self) -> Result<()> {
        const FUNCTION: &str = "libxl_osevent_afterpoll";
        let done = self.ctx.core().dispatch();
        if self.ctx.is_poisoned() {
            return Err(Error::poisoned(FUNCTION));
        }
        done.map_err(|e| Error::io(FUNCTION, e))
    }

    /// The context that is driven.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    fn descriptor(&self) -> &Descriptor {
        match &self.descriptor {
            Some(descriptor) => descriptor,
            None => unreachable!("taken only by drop"),
        }
    }
}

impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor().as_fd()
    }
}

impl AsRawFd for EventLoop {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.descriptor = None;
        if self.ctx.pump().running() > 0 {
            if let Err(error) = self.ctx.drive() {
                log::error!("libxl: operations get on only while somebody waits: {error}");
            }
        }
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}
