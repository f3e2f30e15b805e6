//! The contexts for operations that take time. Their number is bounded, however many domains there are.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libxl::{Context, Operation};

use super::translate::{error, translate};
use crate::base::queue::{Place, Queue};
use crate::toolstack::error::Result;
use crate::toolstack::operation::Limits;

/// Most contexts that are lent at once. A context takes some ten file descriptors, and a process may have 1024 by default.
const MOST: usize = 48;

/// Most contexts that are kept for the next operation.
const KEPT: usize = 4;

/// One context that all operations share whose steps are short, and others that are lent for one operation each.
///
/// libxl does each step of an operation under the lock of its context. So an operation with long steps, such as the build
/// of a domain, has a context of its own. Operations that wait most of the time for a guest, for xenstored, or for a child
/// process share one, and a thread of the `libxl` crate drives it.
pub(super) struct Contexts {
    shared: Mutex<Option<Context>>,
    idle: Mutex<Vec<Context>>,
    queue: Arc<Queue>,
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            shared: Mutex::default(),
            idle: Mutex::default(),
            queue: Arc::new(Queue::always(MOST)),
        }
    }
}

impl Contexts {
    /// Returns the context for operations with short steps. [`run`] runs them.
    pub(super) fn shared(&self) -> Result<Context> {
        let usable = |context: &&Context| !context.is_poisoned();
        if let Some(context) = locked(&self.shared).as_ref().filter(usable) {
            return Ok(context.clone());
        }
        // Opened without the lock: opening takes a while.
        let opened = Context::open().map_err(error)?;
        opened.drive().map_err(error)?;
        let mut slot = locked(&self.shared);
        if let Some(other) = slot.as_ref().filter(usable) {
            return Ok(other.clone());
        }
        let old = slot.replace(opened.clone());
        drop(slot);
        // Closing a context takes a while, too.
        drop(old);
        Ok(opened)
    }

    /// Returns the queue for contexts that are lent.
    pub(super) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Lends a context for one operation. Waits while too many are lent.
    pub(super) fn lend(self: &Arc<Self>, limits: &Limits) -> Result<Loan> {
        let place = self.queue.take(&limits.abort, limits.urgent)?;
        let idle = locked(&self.idle).pop();
        let context = match idle {
            Some(context) => context,
            None => Context::open().map_err(error)?,
        };
        Ok(Loan {
            context: Some(context),
            contexts: Arc::clone(self),
            _place: place,
        })
    }
}

/// A context that is lent until this is dropped.
pub(super) struct Loan {
    /// `None` only while this is dropped.
    context: Option<Context>,
    contexts: Arc<Contexts>,
    _place: Place,
}

impl Deref for Loan {
    type Target = Context;

    fn deref(&self) -> &Context {
        self.context.as_ref().expect("there until the drop")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(context) = self.context.take() else {
            return;
        };
        let mut idle = locked(&self.contexts.idle);
        if !context.is_poisoned() && idle.len() < KEPT {
            idle.push(context);
        } else {
            drop(idle);
            // Closing a context takes a while.
            drop(context);
        }
    }
}

/// A domain on a context that is lent.
pub(super) struct Lent {
    // Dropped in this order: the domain holds a clone of the context.
    domain: libxl::Domain,
    _loan: Loan,
}

impl Lent {
    pub(super) fn new(loan: Loan, id: libxl::DomainId) -> Self {
        Self {
            domain: loan.domain(id),
            _loan: loan,
        }
    }
}

impl Deref for Lent {
    type Target = libxl::Domain;

    fn deref(&self) -> &libxl::Domain {
        &self.domain
    }
}

/// Runs an operation on the shared context. This thread sleeps until the operation is over, whatever else happens on the
/// context.
pub(super) fn run(operation: Operation<()>, limits: &Limits) -> Result<()> {
    let running = operation
        .limits(&translate(limits))
        .start()
        .map_err(error)?;
    pollster::block_on(running).map_err(error)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
