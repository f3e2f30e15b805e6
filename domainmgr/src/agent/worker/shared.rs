//! State that a worker's threads share with its handles.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;
use uuid::Uuid;

use crate::base::abort::AbortToken;
use crate::core::{Answer, Belief, Op, Order, abort};

/// Stack of a thread of a worker, in bytes.
pub(super) const STACK: usize = 256 << 10;

/// Returns the name of the threads of a worker. It has at most 15 bytes.
pub(super) fn thread_name(key: Uuid) -> String {
    format!("dom-{}", &key.to_string()[..8])
}

/// An order, and the channel for its answers.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) order: Order,
    pub(super) by: String,
    pub(super) answers: Sender<Answer>,
}

/// The operation under way.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) op: Op,
    pub(super) abort: AbortToken,
    /// The order whose cancelling ends the operation.
    pub(super) job: Option<u64>,
}

impl Running {
    /// Returns true if `order` makes the operation pointless.
    pub(super) fn ends_with(&self, order: &Order) -> bool {
        match order {
            Order::Cancel(job) => self.job == Some(*job),
            order => abort::on_order(&self.op, order),
        }
    }
}

/// State shared by a worker's thread and its handles.
#[derive(Default)]
pub(super) struct Shared {
    running: Mutex<Option<Running>>,
    belief: Mutex<Belief>,
    orders: Mutex<VecDeque<Asked>>,
}

impl Shared {
    pub(super) fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn orders(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if an order that is still waiting makes the operation pointless.
    pub(super) fn orders_end(&self, running: &Running) -> bool {
        let orders = self.orders();
        orders.iter().any(|asked| running.ends_with(&asked.order))
    }

    pub(super) fn belief(&self) -> Belief {
        let belief = self.belief.lock();
        belief.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn believe(&self, belief: Belief) {
        *self.belief.lock().unwrap_or_else(PoisonError::into_inner) = belief;
    }

    pub(super) fn abort_if(&self, rule: impl FnOnce(&Running) -> bool) {
        let token = match &*self.running() {
            Some(running) if rule(running) => running.abort.clone(),
            _ => return,
        };
        token.abort();
    }
}
