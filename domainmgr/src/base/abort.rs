//! Aborting an operation from another thread.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Inner {
    aborted: bool,
    hooks: Vec<Hook>,
}

/// A request to end one operation early. Clones share one state, and an aborted token stays aborted.
#[derive(Clone, Default)]
pub struct AbortToken(Arc<Mutex<Inner>>);

impl AbortToken {
    /// Creates a token that has not been aborted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the operation to end. The operation may still succeed.
    pub fn abort(&self) {
        let hooks = {
            let mut inner = self.lock();
            inner.aborted = true;
            std::mem::take(&mut inner.hooks)
        };
        for hook in hooks {
            hook();
        }
    }

    /// Returns true once [`AbortToken::abort`] has been called.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    /// Runs `hook` once, when the token is aborted, or immediately if it already is.
    pub fn on_abort(&self, hook: impl FnOnce() + Send + 'static) {
        let mut inner = self.lock();
        if inner.aborted {
            drop(inner);
            hook();
        } else {
            inner.hooks.push(Box::new(hook));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AbortToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AbortToken")
            .field(&self.is_aborted())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn hooks_run_once_whether_set_before_or_after() {
        let runs = Arc::new(AtomicUsize::new(0));
        let token = AbortToken::new();
        for late in [false, true] {
            if late {
                token.clone().abort();
            }
            let runs = Arc::clone(&runs);
            token.on_abort(move || {
                runs.fetch_add(1, Ordering::SeqCst);
            });
        }
        token.abort();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
