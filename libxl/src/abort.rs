//! Asking a running operation to stop, from any thread.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::pump::Pump;

/// Aborts the operations it was given to ([`Operation::abort_with`](crate::Operation::abort_with)).
///
/// It stays pulled: an operation that starts later with the same handle is aborted at once, so a
/// request that arrives just before the operation is not lost. Use a new handle for new work.
#[derive(Clone, Default)]
pub struct AbortHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    aborted: AtomicBool,
    /// Those who wait for an operation with this handle and have to be woken.
    waiters: Mutex<Vec<Weak<Pump>>>,
}

impl AbortHandle {
    /// A handle that has not been pulled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an end. The operation returns as soon as libxl can leave it, with
    /// [`ErrorKind::Aborted`](crate::ErrorKind::Aborted), or with its result if it was just done.
    #[doc(alias = "libxl_ao_abort")]
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        // libxl is not called here: the thread that waits for the operation does that.
        let waiters = self
            .0
            .waiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for pump in waiters.iter().filter_map(Weak::upgrade) {
            pump.kick();
        }
    }

    /// Whether [`abort`](Self::abort) was called.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.0.aborted.load(Ordering::SeqCst)
    }

    /// From now on an abort wakes `pump`. Called before the first look at [`Self::is_aborted`].
    pub(crate) fn attach(&self, pump: &Arc<Pump>) {
        let mut waiters = self
            .0
            .waiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&Arc::downgrade(pump)));
        waiters.push(Arc::downgrade(pump));
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("aborted", &self.is_aborted())
            .finish()
    }
}
