//! A handle that asks a running operation to stop, from any thread.

use std::{
    fmt,
    sync::{Arc, Weak, atomic::Ordering},
};

use crate::{
    sync::{AtomicBool, Mutex, MutexGuard, PoisonError},
    wake::Wake,
};

/// Aborts the operations it was given to ([`Operation::abort_with`](crate::Operation::abort_with)).
///
/// The handle stays pulled: an operation that starts later with the same handle is aborted at once,
/// so a request that arrives just before the operation is not lost. Use a new handle for new work.
#[derive(Clone, Default)]
pub struct AbortHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    aborted: AtomicBool,
    /// Waiters that check this handle and have to be woken.
    waiters: Mutex<Vec<Weak<dyn Wake>>>,
}

impl AbortHandle {
    /// A handle that has not been pulled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the operation to end.
    ///
    /// The operation ends as soon as libxl can leave it, with
    /// [`ErrorKind::Aborted`](crate::ErrorKind::Aborted), or with its result if it was just done.
    ///
    /// If a thread or a loop drives the context of the operation, libxl is called there; otherwise
    /// it is called on this thread.
    #[doc(alias = "libxl_ao_abort")]
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        // Not under the lock: a waiter may call libxl, and with it the program's logger.
        let waiters: Vec<_> = self.waiters().iter().filter_map(Weak::upgrade).collect();
        for waiter in waiters {
            waiter.wake();
        }
    }

    /// Returns true if [`abort`](Self::abort) was called.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.0.aborted.load(Ordering::SeqCst)
    }

    /// Has an abort wake `waiter` from now on. Called before the first check of
    /// [`Self::is_aborted`].
    pub(crate) fn attach<W: Wake + 'static>(&self, waiter: &Arc<W>) {
        let new: Weak<W> = Arc::downgrade(waiter);
        let mut waiters = self.waiters();
        waiters.retain(|known| {
            known.strong_count() > 0 && known.as_ptr().cast::<()>() != new.as_ptr().cast::<()>()
        });
        waiters.push(new);
    }

    fn waiters(&self) -> MutexGuard<'_, Vec<Weak<dyn Wake>>> {
        self.0
            .waiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("aborted", &self.is_aborted())
            .finish()
    }
}

#[cfg(all(libxl_loom, test))]
mod loom;
