//! A worker as the supervisor sees it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use uuid::Uuid;

use super::live;
use super::orders::Asked;
use crate::core::{Belief, Op, abort};
use crate::env::{Env, Report};
use crate::inputs::Reading;
use crate::mailbox::{Mail, Mailbox, mailbox};
use crate::toolstack::AbortToken;

/// Stack of a thread of a worker, in bytes.
pub(super) const STACK: usize = 256 << 10;

/// Returns the name of the threads of a worker. It has at most 15 bytes.
pub(super) fn thread_name(key: Uuid) -> String {
    format!("dom-{}", &key.to_string()[..8])
}

/// Environment variable of a simulation: number of workers for which there is no thread.
pub const VARIABLE: &str = "DOMAINMGR_SIMULATE_NO_THREADS";

static LACKING: AtomicU32 = AtomicU32::new(0);

/// Makes the start of the first `count` workers fail for lack of a thread.
pub fn lack_threads(count: u32) {
    LACKING.store(count, Ordering::SeqCst);
}

/// State shared by a worker's thread and its handles.
#[derive(Default)]
pub(super) struct Shared {
    running: Mutex<Option<(Op, AbortToken)>>,
    belief: Mutex<Belief>,
    orders: Mutex<VecDeque<Asked>>,
}

impl Shared {
    pub(super) fn running(&self) -> MutexGuard<'_, Option<(Op, AbortToken)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn orders(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if an order that is still waiting makes `op` pointless.
    pub(super) fn orders_end(&self, op: &Op) -> bool {
        self.orders().iter().any(|asked| asked.ends(op))
    }

    pub(super) fn believe(&self, belief: Belief) {
        *self.belief.lock().unwrap_or_else(PoisonError::into_inner) = belief;
    }

    pub(super) fn abort_if(&self, rule: impl FnOnce(&Op) -> bool) {
        let token = match &*self.running() {
            Some((op, token)) if rule(op) => token.clone(),
            _ => return,
        };
        token.abort();
    }
}

/// A reference to a worker for other threads. None of its calls blocks.
#[derive(Clone)]
pub struct Handle {
    pub(super) mailbox: Mailbox,
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Returns the worker's belief about the domains in Xen; `None` while an operation is changing them.
    #[must_use]
    pub fn belief(&self) -> Option<Belief> {
        if self.shared.running().is_some() {
            return None;
        }
        let belief = self.shared.belief.lock();
        Some(belief.unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Tells the worker that its belief is wrong. Never blocks.
    pub fn is_wrong(&self) {
        self.mailbox.post(Mail::RESYNC);
    }
}

/// A running worker, as the supervisor sees it.
pub struct Worker {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts the worker of `key`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(env: Arc<Env>, key: Uuid) -> std::io::Result<Self> {
        let one_less = |count: u32| count.checked_sub(1);
        if LACKING
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
        {
            return Err(std::io::Error::other("simulated lack of threads"));
        }
        let (mailbox, inbox) = mailbox();
        let shared = Arc::new(Shared::default());
        mailbox.post(Mail::CONFIG);
        let theirs = (mailbox.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name(thread_name(key))
            .stack_size(STACK)
            .spawn(move || {
                let reports = env.reports.clone();
                live(&env, key, &inbox, &theirs.0, &theirs.1);
                // If nobody listens, the agent is ending anyway.
                let _ = reports.send(Report::Finished(key));
            })?;
        Ok(Self {
            handle: Handle { mailbox, shared },
            thread: Some(thread),
        })
    }

    /// Tells the worker to look at something again. Never blocks.
    pub fn post(&self, mail: Mail) {
        self.handle.mailbox.post(mail);
    }

    /// Tells the worker that its config has changed, and aborts an operation that the new wish makes pointless.
    pub fn config_changed(&self, env: &Env, key: Uuid) {
        self.post(Mail::CONFIG);
        let busy = self.handle.shared.running().is_some();
        if busy {
            if let Reading::Wish(wish) = env.inputs.read(key, env.clock.now().mono) {
                self.handle.shared.abort_if(|op| abort::on_wish(op, &wish));
            }
        }
    }

    /// Tells the worker to end, leaving the domain as it is.
    pub fn stop(&self) {
        self.post(Mail::STOP);
        self.handle.shared.abort_if(abort::on_stop);
    }

    /// Returns a reference to the worker for other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until the thread has ended, after the worker has reported its end.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // The worker catches its own panics.
            let _ = thread.join();
        }
    }

    /// Returns true if the worker's thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}
