//! The last published status of each domain, for clients that ask for it and clients that watch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use uuid::Uuid;

use crate::core::{Answer, Order};
use crate::frontends::eve::DomainStatus;

/// Maximum number of changes that are queued for one watcher.
const QUEUE: usize = 1024;

/// The worker of a domain, as far as a frontend needs it.
pub trait Worker: fmt::Debug + Send + Sync {
    /// Gives the worker an order in the name of `by`, and aborts an operation that the order makes pointless. Never blocks.
    ///
    /// The last answer is one that is not [`Answer::Accepted`]. If the worker ends first, there is no such answer.
    /// Returns the number of the order, which no other order of this agent has.
    #[must_use]
    fn order(&self, order: &Order, by: String) -> (u64, Receiver<Answer>);
}

/// A message to a watcher.
#[derive(Clone, Debug)]
pub enum Change {
    /// New status of a domain.
    Status(Arc<DomainStatus>),
    /// The domain of this key is gone for good.
    Gone(Uuid),
    /// Number of changes that were dropped because the queue was full.
    Missed(u64),
}

#[derive(Debug)]
struct Listener {
    only: Option<Uuid>,
    queue: Sender<Change>,
    missed: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    statuses: BTreeMap<Uuid, Arc<DomainStatus>>,
    workers: BTreeMap<Uuid, Arc<dyn Worker>>,
    listeners: Vec<Listener>,
}

/// The statuses of all domains, and the workers that take orders for them.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<State>,
    /// Notified when a status that was not there is, and when a worker has ended.
    shown: Condvar,
}

/// A subscription to changes, with the queue of undelivered ones.
#[derive(Debug)]
pub struct Watcher {
    queue: Receiver<Change>,
    missed: Arc<AtomicU64>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the worker for `key`, which takes orders.
    pub fn open(&self, key: Uuid, worker: Arc<dyn Worker>) {
        self.state().workers.insert(key, worker);
    }

    /// Removes the worker for `key`, which has ended, and the status of its domain.
    pub fn close(&self, key: Uuid) {
        let mut state = self.state();
        state.workers.remove(&key);
        if state.statuses.remove(&key).is_some() {
            state.tell(key, &Change::Gone(key));
        }
        self.shown.notify_all();
    }

    /// Publishes the status of a domain.
    pub fn show(&self, key: Uuid, status: DomainStatus) {
        let mut state = self.state();
        if state.statuses.get(&key).is_some_and(|old| **old == status) {
            return;
        }
        let status = Arc::new(status);
        if state.statuses.insert(key, Arc::clone(&status)).is_none() {
            self.shown.notify_all();
        }
        state.tell(key, &Change::Status(status));
    }

    /// Returns the status of every domain.
    #[must_use]
    pub fn all(&self) -> Vec<(Uuid, Arc<DomainStatus>)> {
        let state = self.state();
        let all = state.statuses.iter();
        all.map(|(key, status)| (*key, Arc::clone(status)))
            .collect()
    }

    /// Returns the status of one domain.
    #[must_use]
    pub fn one(&self, key: Uuid) -> Option<Arc<DomainStatus>> {
        self.state().statuses.get(&key).cloned()
    }

    /// Returns whether every domain has a status. Workers publish theirs one by one after the start of the agent.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state().is_complete()
    }

    /// Waits until every domain has a status, for this long at most, and returns whether that is so.
    #[must_use]
    pub fn wait_until_complete(&self, patience: Duration) -> bool {
        let lacks = |state: &mut State| !state.is_complete();
        let waited = self.shown.wait_timeout_while(self.state(), patience, lacks);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_complete()
    }

    /// The worker for `key`, which takes orders.
    #[must_use]
    pub fn worker(&self, key: Uuid) -> Option<Arc<dyn Worker>> {
        self.state().workers.get(&key).cloned()
    }

    /// The status of every domain, or of the one with this key, and a subscription to changes after that.
    #[must_use]
    pub fn watch(&self, only: Option<Uuid>) -> (Vec<Arc<DomainStatus>>, Watcher) {
        let (tx, queue) = bounded(QUEUE);
        let missed = Arc::new(AtomicU64::new(0));
        let mut state = self.state();
        // Removes listeners that have gone and have had no change since.
        let listens = |l: &Listener| Arc::strong_count(&l.missed) > 1;
        state.listeners.retain(listens);
        state.listeners.push(Listener {
            only,
            queue: tx,
            missed: Arc::clone(&missed),
        });
        let known = state.statuses.iter();
        let known = known.filter(|(key, _)| only.is_none_or(|only| only == **key));
        let known = known.map(|(_, status)| Arc::clone(status)).collect();
        (known, Watcher { queue, missed })
    }
}

impl State {
    fn is_complete(&self) -> bool {
        let mut keys = self.workers.keys();
        keys.all(|key| self.statuses.contains_key(key))
    }

    /// Queues a change for each listener that wants it. Never waits.
    fn tell(&mut self, key: Uuid, change: &Change) {
        self.listeners.retain(|listener| {
            if listener.only.is_some_and(|only| only != key) {
                // A listener that has gone is removed at its next change.
                return true;
            }
            match listener.queue.try_send(change.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    listener.missed.fetch_add(1, Ordering::SeqCst);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
    }
}

impl Watcher {
    /// Returns the queue of changes, for a caller that need not learn of dropped ones.
    #[must_use]
    pub fn queue(&self) -> &Receiver<Change> {
        &self.queue
    }

    /// Returns the next change; `None` if there is none within `patience`.
    #[must_use]
    pub fn next(&self, patience: Duration) -> Option<Change> {
        // Dropped changes are newer than queued ones.
        if self.queue.is_empty() {
            let missed = self.missed.swap(0, Ordering::SeqCst);
            if missed > 0 {
                return Some(Change::Missed(missed));
            }
        }
        self.queue.recv_timeout(patience).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    fn status(restarts: u32) -> DomainStatus {
        DomainStatus {
            restarts,
            ..DomainStatus::default()
        }
    }

    fn said(watcher: &Watcher) -> Vec<String> {
        let next = || watcher.next(Duration::ZERO);
        std::iter::from_fn(next)
            .map(|change| match change {
                Change::Status(status) => status.restarts.to_string(),
                Change::Gone(key) => format!("gone {:x}", key.as_u128()),
                Change::Missed(count) => format!("missed {count}"),
            })
            .collect()
    }

    #[test]
    fn a_watcher_hears_what_is_and_what_changes() {
        let board = Board::default();
        board.show(A, status(1));
        let (known, all) = board.watch(None);
        let (none, one) = board.watch(Some(B));
        assert_eq!((known.len(), none.len()), (1, 0));
        board.show(A, status(1));
        board.show(A, status(2));
        board.show(B, status(3));
        board.close(A);
        board.close(A);
        assert_eq!(said(&all), ["2", "3", "gone a"]);
        assert_eq!(said(&one), ["3"]);
        assert_eq!(board.all().len(), 1);
    }

    #[derive(Debug)]
    struct Deaf;

    impl Worker for Deaf {
        fn order(&self, _: &Order, _: String) -> (u64, Receiver<Answer>) {
            (0, bounded(0).1)
        }
    }

    #[test]
    fn workers_that_have_shown_nothing_yet_are_waited_for() {
        let long = Duration::from_secs(60);
        let board = Board::default();
        assert!(board.wait_until_complete(Duration::ZERO));
        board.open(A, Arc::new(Deaf));
        board.open(B, Arc::new(Deaf));
        board.show(A, status(1));
        assert!(!board.wait_until_complete(Duration::from_millis(10)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| board.wait_until_complete(long));
            board.show(B, status(2));
            assert!(waiting.join().unwrap());
        });
        board.open(Uuid::max(), Arc::new(Deaf));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| board.wait_until_complete(long));
            board.close(Uuid::max());
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn whoever_does_not_listen_keeps_nobody_waiting_and_is_told() {
        let board = Board::default();
        let (_, slow) = board.watch(None);
        let count = u32::try_from(QUEUE).unwrap() + 7;
        for n in 0..count {
            board.show(A, status(n));
        }
        let said = said(&slow);
        assert_eq!(said.len(), QUEUE + 1);
        assert_eq!(said.last().unwrap(), "missed 7");
        board.show(A, status(count));
        assert_eq!(self::said(&slow), [count.to_string()]);
        drop(slow);
        board.show(A, status(0));
        assert!(board.state().listeners.is_empty());
        // Watchers that come and go while nothing changes do not accumulate either.
        for _ in 0..100 {
            drop(board.watch(Some(B)));
        }
        assert_eq!(board.state().listeners.len(), 1);
    }
}
