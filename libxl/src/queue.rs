//! A bounded queue from threads that must not wait to one reader, which may block, poll a descriptor, or
//! be a task.

use std::{
    collections::VecDeque,
    io, mem,
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, Waker},
    time::Instant,
};

use once_cell::sync::OnceCell;

use crate::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    wake::Bell,
};

/// Reason why a read of the queue found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Empty {
    /// Nothing is there yet.
    Yet,
    /// Nothing will come any more.
    ForEver,
}

/// The longest time to wait for an item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    None,
    Until(Instant),
    Endless,
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Made at the first request for a descriptor. It is rung while there is something to read.
    bell: OnceCell<Bell>,
}

struct State<T> {
    items: VecDeque<T>,
    /// Largest number of items beside those that are restated.
    capacity: usize,
    /// Number of items at the front that repeat the present, see [`Queue::push_or_restate`].
    restated: usize,
    /// Number of items that were lost before they were read.
    missed: u64,
    /// The writer has gone.
    closed: bool,
    /// The reader has gone.
    abandoned: bool,
    task: Option<Waker>,
}

impl<T> State<T> {
    fn is_full(&self) -> bool {
        self.items.len() >= self.capacity + self.restated
    }

    fn pop(&mut self) -> Option<T> {
        self.restated = self.restated.saturating_sub(1);
        self.items.pop_front()
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                capacity,
                restated: 0,
                missed: 0,
                closed: false,
                abandoned: false,
                task: None,
            }),
            changed: Condvar::new(),
            bell: OnceCell::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // The state is consistent between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an item. A full queue loses its oldest one.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.state();
        let lost = if state.is_full() {
            state.missed += 1;
            state.pop()
        } else {
            None
        };
        state.items.push_back(item);
        self.tell(state);
        drop(lost);
    }

    /// Appends an item. In a full queue all items, including this one, give way to items that
    /// restate the present.
    ///
    /// `level` makes the new items from the number of items missed so far. They do not count for
    /// the capacity, and are not missed when they are replaced.
    pub(crate) fn push_or_restate(&self, item: T, level: impl FnOnce(u64) -> VecDeque<T>) {
        let mut state = self.state();
        let mut lost = VecDeque::new();
        if state.is_full() {
            let unread = state.items.len() - state.restated + 1;
            state.missed += u64::try_from(unread).unwrap_or(u64::MAX);
            let level = level(state.missed);
            state.restated = level.len();
            lost = mem::replace(&mut state.items, level);
        } else {
            state.items.push_back(item);
        }
        self.tell(state);
        drop(lost);
    }

    /// Fills an empty queue with items that restate the present.
    pub(crate) fn begin_with(&self, level: VecDeque<T>) {
        let mut state = self.state();
        state.restated = level.len();
        state.items = level;
        self.tell(state);
    }

    /// Ends the queue: no more items will come, and those in the queue can still be read.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.tell(state);
    }

    /// Wakes the reader.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>) {
        // Under the lock, so that a reader that silences the bell has seen what it was rung for.
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
        let task = state.task.take();
        drop(state);
        self.changed.notify_all();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Notes that the reader has gone: further items are dropped with the queue.
    pub(crate) fn abandon(&self) {
        self.state().abandoned = true;
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    pub(crate) fn missed(&self) -> u64 {
        self.state().missed
    }

    /// Takes the oldest item.
    pub(crate) fn take(&self, patience: Patience) -> Result<T, Empty> {
        let mut state = self.filled(patience)?;
        let item = state.pop().ok_or(Empty::Yet)?;
        self.taken(&state);
        Ok(item)
    }

    /// Takes all items, of which there is at least one.
    pub(crate) fn take_all(&self, patience: Patience) -> Result<VecDeque<T>, Empty> {
        let mut state = self.filled(patience)?;
        let items = mem::take(&mut state.items);
        state.restated = 0;
        self.taken(&state);
        Ok(items)
    }

    /// Takes the oldest item, for a task. A task that finds none is woken when another try is
    /// worthwhile.
    pub(crate) fn poll_take(&self, task: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.state();
        if let Some(item) = state.pop() {
            self.taken(&state);
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        match &mut state.task {
            Some(known) => known.clone_from(task.waker()),
            none => *none = Some(task.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits until the queue has an item.
    fn filled(&self, patience: Patience) -> Result<MutexGuard<'_, State<T>>, Empty> {
        let mut state = self.state();
        loop {
            if !state.items.is_empty() {
                return Ok(state);
            }
            if state.closed {
                return Err(Empty::ForEver);
            }
            state = match patience {
                Patience::None => return Err(Empty::Yet),
                Patience::Endless => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
                Patience::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Empty::Yet);
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Silences the bell if the last item was taken and more may come.
    fn taken(&self, state: &State<T>) {
        if let Some(bell) = self.bell.get() {
            if state.items.is_empty() && !state.closed {
                bell.silence();
            }
        }
    }

    /// A descriptor that is readable while there is something to take, or nothing will come any more.
    pub(crate) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(bell) = self.bell.get() {
            return Ok(bell.as_fd());
        }
        let bell = self.bell.get_or_try_init(Bell::new)?;
        // From here on a push finds the bell. Earlier items ring it here.
        let state = self.state();
        if !state.items.is_empty() || state.closed {
            bell.ring();
        }
        Ok(bell.as_fd())
    }
}

#[cfg(all(libxl_loom, test))]
mod loom;
