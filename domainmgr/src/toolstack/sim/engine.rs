//! The model in motion: a thread lets time pass, and callers wait as long as real operations take.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::guest::Millis;
use super::model::Model;
use super::saved::save;
use super::watcher::Watcher;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::operation::Limits;

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) start: Instant,
    /// Simulated time at `start`.
    pub(super) offset: Millis,
    pub(super) speed: u32,
    pub(super) file: Option<PathBuf>,
}

pub(super) struct State {
    pub(super) model: Model,
    pub(super) watcher: Watcher,
}

pub(super) fn pass_time(shared: &Weak<Shared>) {
    // Longest wait before the thread checks whether the simulation still exists.
    let look_up = Duration::from_secs(60);
    while let Some(shared) = shared.upgrade() {
        let mut state = shared.lock();
        let now = shared.now();
        state.model.advance(now);
        state = shared.deliver(state);
        let due = [state.model.next_due(), state.watcher.next_look()]
            .into_iter()
            .flatten()
            .min();
        let wait = due.map_or(look_up, |due| {
            shared.real(due.saturating_sub(now)).min(look_up)
        });
        // A millisecond more, so that the thread never wakes just before something is due.
        let _unused = shared
            .changed
            .wait_timeout(state, wait + Duration::from_millis(1))
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Millis {
        let real = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.offset
            .saturating_add(real.saturating_mul(self.speed.into()))
    }

    fn real(&self, span: Millis) -> Duration {
        Duration::from_millis(span) / self.speed
    }

    /// Calls the watches of everything that happened, with the lock released.
    fn deliver<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.model.has_fired() {
            if let Some(file) = &self.file {
                save(file, &state.model);
            }
        }
        let State { model, watcher } = &mut *state;
        let wakes = watcher.look(model);
        if wakes.is_empty() {
            return state;
        }
        drop(state);
        for wake in wakes {
            wake();
        }
        self.lock()
    }

    /// Applies `act` to the model at the present time.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut Model) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        state.model.advance(self.now());
        let result = act(&mut state.model);
        if let Some(file) = &self.file {
            save(file, &state.model);
        }
        let state = self.deliver(state);
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Waits for `span` of simulated time.
    pub(super) fn wait(self: &Arc<Self>, span: Millis, limits: &Limits) -> Result<()> {
        let weak = Arc::downgrade(self);
        limits.abort.on_abort(move || {
            if let Some(shared) = weak.upgrade() {
                // Under the lock, so that no thread is between its check and its wait.
                drop(shared.lock());
                shared.changed.notify_all();
            }
        });
        let begin = self.now();
        let allowed = limits.deadline.map_or(Millis::MAX, |d| {
            u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
        });
        let mut state = self.lock();
        loop {
            if limits.abort.is_aborted() {
                return Err(Error::new(ErrorKind::Aborted, "aborted"));
            }
            let passed = self.now().saturating_sub(begin);
            if passed >= span.min(allowed) {
                break;
            }
            let rest = self.real(span.min(allowed) - passed) + Duration::from_millis(1);
            state = self
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        if span > allowed {
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!("not done after {} s", allowed / 1000),
            ));
        }
        Ok(())
    }
}
