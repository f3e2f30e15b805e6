//! Domains that come from other hosts: those on their way, and what became of them.
//!
//! A source that has given a guest away and has heard nothing asks later what became of it. What is answered has to be true for
//! good: a guest that runs here must not be resumed there, and one that never runs here has to be.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::base::abort::AbortToken;
use crate::core::Landed;
use crate::toolstack::Arriving;

/// Number of migrations that are remembered.
const REMEMBERED: usize = 1024;

/// Fate of a domain that was to come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs here, or has run here.
    Runs,
    /// It does not run here, and never will.
    Never,
    /// Neither is certain yet.
    Pending,
}

/// A domain that a worker is to receive.
struct Waiting {
    arriving: Option<Box<dyn Arriving>>,
    abort: AbortToken,
}

#[derive(Default)]
struct State {
    /// Domains on their way, by the numbers of their migrations.
    waiting: HashMap<Uuid, Waiting>,
    /// Knowledge of the workers.
    landed: HashMap<Uuid, Landed>,
    /// Domains that have come, the newest last.
    past: VecDeque<Uuid>,
}

/// All migrations to this host.
#[derive(Default)]
pub struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").finish_non_exhaustive()
    }
}

impl Arrivals {
    /// Migrations of which an earlier run of the agent has left `text`.
    #[must_use]
    pub fn new(text: Option<&str>) -> Self {
        let words = text.unwrap_or_default().split(' ');
        let past = words.filter_map(|word| word.parse().ok()).collect();
        Self {
            state: Mutex::new(State {
                past,
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a domain until its worker takes it. `abort` ends its transfer. Returns false if the number is known already.
    #[must_use]
    pub fn put(&self, token: Uuid, arriving: Box<dyn Arriving>, abort: AbortToken) -> bool {
        let mut state = self.state();
        if state.fate(token) != Fate::Never {
            return false;
        }
        let arriving = Some(arriving);
        state.waiting.insert(token, Waiting { arriving, abort });
        true
    }

    /// Returns the domain that the worker is to receive, and the token that ends its transfer.
    #[must_use]
    pub fn take(&self, token: Uuid) -> Option<(Box<dyn Arriving>, AbortToken)> {
        let mut state = self.state();
        let waiting = state.waiting.get_mut(&token)?;
        Some((waiting.arriving.take()?, waiting.abort.clone()))
    }

    /// Returns the token that ends the transfer.
    #[must_use]
    pub fn abort_of(&self, token: Uuid) -> Option<AbortToken> {
        let state = self.state();
        state
            .waiting
            .get(&token)
            .map(|waiting| waiting.abort.clone())
    }

    /// The migration has come to its end, one way or the other, and its worker has said which.
    pub fn over(&self, token: Uuid) {
        let waiting = self.state().waiting.remove(&token);
        self.changed.notify_all();
        // Refuses the domain, if nobody has taken it.
        drop(waiting);
    }

    /// Takes note of what a worker knows, instead of what it knew before. Returns the text to remember, if that has changed.
    pub fn note(
        &self,
        before: Option<(Uuid, Landed)>,
        now: Option<(Uuid, Landed)>,
    ) -> Option<String> {
        if before == now {
            return None;
        }
        let mut state = self.state();
        if let Some((token, _)) = before {
            state.landed.remove(&token);
        }
        let mut news = false;
        if let Some((token, landed)) = now {
            state.landed.insert(token, landed);
            news = landed == Landed::Runs && !state.past.contains(&token);
            if news {
                state.past.push_back(token);
            }
            while state.past.len() > REMEMBERED {
                state.past.pop_front();
            }
        }
        self.changed.notify_all();
        news.then(|| {
            let words: Vec<String> = state.past.iter().map(Uuid::to_string).collect();
            words.join(" ")
        })
    }

    /// Returns what became of a migration. One that can still come to nothing is ended: its source does not wait for it any more.
    #[must_use]
    pub fn fate(&self, token: Uuid, patience: Duration) -> Fate {
        if let Some(abort) = self.abort_of(token) {
            abort.abort();
        }
        let pending = |state: &mut State| state.fate(token) == Fate::Pending;
        let waited = self
            .changed
            .wait_timeout_while(self.state(), patience, pending);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.fate(token)
    }
}

impl State {
    fn fate(&self, token: Uuid) -> Fate {
        match self.landed.get(&token) {
            Some(Landed::Runs) => Fate::Runs,
            Some(Landed::Pending) => Fate::Pending,
            None if self.past.contains(&token) => Fate::Runs,
            None if self.waiting.contains_key(&token) => Fate::Pending,
            None => Fate::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    #[test]
    fn what_was_answered_stays_true() {
        let arrivals = Arrivals::new(None);
        let fate = |arrivals: &Arrivals, token| arrivals.fate(token, Duration::ZERO);
        assert_eq!(fate(&arrivals, A), Fate::Never);
        let pending = Some((A, Landed::Pending));
        assert_eq!(arrivals.note(None, pending), None);
        assert_eq!(fate(&arrivals, A), Fate::Pending);
        let runs = Some((A, Landed::Runs));
        let text = arrivals.note(pending, runs);
        assert_eq!(text.as_deref(), Some(A.to_string().as_str()));
        assert_eq!(fate(&arrivals, A), Fate::Runs);
        // Also once its key is forgotten, and by another run of the agent.
        assert_eq!(arrivals.note(runs, None), None);
        assert_eq!(fate(&arrivals, A), Fate::Runs);
        let next = Arrivals::new(text.as_deref());
        assert_eq!((fate(&next, A), fate(&next, B)), (Fate::Runs, Fate::Never));
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let arrivals = Arrivals::new(None);
        let mut text = None;
        for n in 0..REMEMBERED as u128 + 5 {
            text = arrivals.note(None, Some((Uuid::from_u128(n), Landed::Runs)));
        }
        let next = Arrivals::new(text.as_deref());
        assert_eq!(next.state().past.len(), REMEMBERED);
    }
}
