//! A worker as the supervisor sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, unbounded};
use uuid::Uuid;

use super::live::live;
use super::shared::{Asked, STACK, Shared, thread_name};
use crate::agent::env::{Env, Report};
use crate::base::mailbox::{Mail, Mailbox, mailbox};
use crate::core::{Answer, Belief, Order, abort};
use crate::frontends::board;
use crate::frontends::inputs::Reading;

/// Environment variable of a simulation: number of workers for which there is no thread.
pub const VARIABLE: &str = "DOMAINMGR_SIMULATE_NO_THREADS";

static LACKING: AtomicU32 = AtomicU32::new(0);

/// Makes the start of the first `count` workers fail for lack of a thread.
pub fn lack_threads(count: u32) {
    LACKING.store(count, Ordering::SeqCst);
}

/// A reference to a worker for other threads. None of its calls blocks.
#[derive(Clone)]
pub struct Handle {
    pub(super) mailbox: Mailbox,
    pub(super) shared: Arc<Shared>,
    /// Number of the next order to any worker.
    numbers: Arc<AtomicU64>,
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
        Some(self.shared.belief())
    }

    /// Tells the worker that its belief is wrong. Never blocks.
    pub fn is_wrong(&self) {
        self.mailbox.post(Mail::RESYNC);
    }
}

impl board::Worker for Handle {
    fn order(&self, order: &Order, by: String) -> (u64, Receiver<Answer>) {
        // At most two answers come.
        let (answers, theirs) = unbounded();
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let asked = Asked {
            id,
            order: order.clone(),
            by,
            answers,
        };
        self.shared.orders().push_back(asked);
        self.mailbox.post(Mail::ORDER);
        self.shared.abort_if(|running| running.ends_with(order));
        (id, theirs)
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
        let numbers = env.records.order_numbers();
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
            handle: Handle {
                mailbox,
                shared,
                numbers,
            },
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
                self.handle
                    .shared
                    .abort_if(|running| abort::on_wish(&running.op, &wish));
            }
        }
    }

    /// Tells the worker to end, leaving the domain as it is.
    pub fn stop(&self) {
        self.post(Mail::STOP);
        self.handle
            .shared
            .abort_if(|running| abort::on_stop(&running.op));
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
