//! The operations of one context, and what libxl has reported. Pure: no system calls, and no calls
//! of libxl.

use std::{
    collections::{HashMap, HashSet},
    ffi::c_int,
    mem,
    sync::Arc,
    task::Waker,
    time::Instant,
};

use super::token::Token;
use crate::{AbortHandle, config::Disk, limits::Gate};

/// Memory that C still uses for an operation whose caller has gone away.
pub(crate) type Orphan = Box<dyn Send>;

/// Reason for which libxl is asked to abort an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Deadline,
    Request,
}

/// The limits of an operation, and what it needs while it runs.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Instant>,
    pub(crate) abort: Option<AbortHandle>,
    pub(crate) gate: Option<Arc<Gate>>,
    /// True if libxl reads sound cards during the operation; see [`crate::sound_cards`].
    pub(crate) reads_cards: bool,
}

/// An operation that has ended: libxl's code, and the cause of the abort, if there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) rc: c_int,
    pub(crate) cause: Option<Cause>,
}

/// One operation, from just before libxl gets it until its result is fetched.
struct Entry {
    terms: Terms,
    /// An abort was requested.
    asked: bool,
    /// Set once libxl has been asked to abort the operation.
    cause: Option<Cause>,
    result: Option<c_int>,
    waker: Option<Waker>,
    /// Set once nobody waits any more: the memory, and the name of the operation.
    left: Option<(Orphan, String)>,
}

impl Entry {
    fn may_be_aborted(&self) -> bool {
        let open = self.terms.gate.as_ref().is_none_or(|gate| gate.is_open());
        self.result.is_none() && self.cause.is_none() && open
    }

    fn why_abort(&self, now: impl Fn() -> Instant) -> Option<Cause> {
        let pulled = |abort: &AbortHandle| abort.is_aborted();
        if !self.may_be_aborted() {
            None
        } else if self.asked || self.terms.abort.as_ref().is_some_and(pulled) {
            Some(Cause::Request)
        } else if self
            .terms
            .deadline
            .is_some_and(|deadline| now() >= deadline)
        {
            Some(Cause::Deadline)
        } else {
            None
        }
    }
}

#[derive(Default)]
pub(super) struct Table {
    /// A thread is inside poll, or in libxl on behalf of it.
    pub(super) polling: bool,
    /// Number of threads that wait for the one that polls.
    pub(super) waiting: usize,
    /// Number of changes that a waiting thread may want to know about.
    pub(super) changes: u64,
    operations: HashMap<Token, Entry>,
    /// Watches whose event source has reported something.
    watch_events: HashSet<Token>,
    /// Ejects by event source. A guest may eject as often as it likes, and always leaves the same
    /// empty drive, so one is kept.
    ejects: HashMap<Token, Option<Disk>>,
    /// Tasks to wake, and memory to free, when no thread holds a lock or the turn.
    to_wake: Vec<Waker>,
    spent: Vec<Orphan>,
}

impl Table {
    /// Records an operation before libxl gets it: its end may be reported before the call returns.
    pub(super) fn begin(&mut self, token: Token, terms: Terms) {
        let entry = Entry {
            terms,
            asked: false,
            cause: None,
            result: None,
            waker: None,
            left: None,
        };
        self.operations.insert(token, entry);
    }

    /// Forgets an operation that libxl has refused. Returns true if it would have read sound cards.
    pub(super) fn refused(&mut self, token: Token) -> bool {
        let entry = self.operations.remove(&token);
        entry.is_some_and(|entry| entry.terms.reads_cards)
    }

    /// Records the end of an operation. Returns true if the operation read sound cards. Ends of
    /// unknown operations are ignored: they are not ours.
    pub(super) fn end(&mut self, token: Token, rc: c_int) -> bool {
        let Some(entry) = self.operations.get_mut(&token) else {
            return false;
        };
        self.changes += 1;
        if entry.result.is_some() {
            return false;
        }
        entry.result = Some(rc);
        let read_cards = entry.terms.reads_cards;
        self.to_wake.extend(entry.waker.take());
        if let Some((memory, _)) = entry.left.take() {
            self.spent.push(memory);
            self.operations.remove(&token);
        }
        read_cards
    }

    /// Fetches the result of an operation, once.
    pub(super) fn take(&mut self, token: Token) -> Option<Ended> {
        let entry = self.operations.get(&token)?;
        let (rc, cause) = (entry.result?, entry.cause);
        self.operations.remove(&token);
        Some(Ended { rc, cause })
    }

    /// Returns true if the operation is over and its result not yet fetched.
    pub(super) fn is_over(&self, token: Token) -> bool {
        let entry = self.operations.get(&token);
        entry.is_some_and(|entry| entry.result.is_some())
    }

    /// Has a task woken when the operation is over.
    pub(super) fn wake_at_end(&mut self, token: Token, waker: &Waker) {
        if let Some(entry) = self.operations.get_mut(&token) {
            match &mut entry.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// Wakes every task, so that it checks whether the context has failed.
    pub(super) fn wake_all(&mut self) {
        let wakers = self.operations.values_mut().filter_map(|e| e.waker.take());
        self.to_wake.extend(wakers);
    }

    /// Keeps `memory` until the operation is over; returns it if the operation is over already.
    pub(super) fn leave(&mut self, token: Token, memory: Orphan, name: String) -> Option<Orphan> {
        let entry = self.operations.get_mut(&token);
        let Some(entry) = entry.filter(|entry| entry.result.is_none()) else {
            self.operations.remove(&token);
            return Some(memory);
        };
        entry.waker = None;
        entry.left = Some((memory, name));
        None
    }

    /// The abandoned operations that are under way, and their names.
    pub(super) fn left(&self) -> Vec<(Token, String)> {
        let left = self.operations.iter();
        left.filter_map(|(token, entry)| Some((*token, entry.left.as_ref()?.1.clone())))
            .collect()
    }

    /// Requests the abort of an operation.
    pub(super) fn ask(&mut self, token: Token) {
        if let Some(entry) = self.operations.get_mut(&token) {
            entry.asked = true;
        }
    }

    /// The operations that have to be aborted by `now`, which is asked only if one has a deadline:
    /// reading the clock is a system call on many a host with Xen. Each is returned once.
    pub(super) fn due(&mut self, now: impl Fn() -> Instant) -> Vec<Token> {
        let mut due = Vec::new();
        for (token, entry) in &mut self.operations {
            if let Some(cause) = entry.why_abort(&now) {
                entry.cause = Some(cause);
                due.push(*token);
            }
        }
        due
    }

    /// The earliest deadline of the operations that can be aborted.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let running = self.operations.values();
        let open = running.filter(|entry| entry.may_be_aborted());
        open.filter_map(|entry| entry.terms.deadline).min()
    }

    /// Number of operations that are under way.
    pub(super) fn running(&self) -> usize {
        let entries = self.operations.values();
        entries.filter(|entry| entry.result.is_none()).count()
    }

    #[cfg_attr(all(libxl_loom, test), allow(dead_code))] // Models have no such events.
    pub(super) fn heard(&mut self, watch: Token) {
        self.watch_events.insert(watch);
        self.changes += 1;
    }

    pub(super) fn take_watch_events(&mut self) -> Vec<Token> {
        self.watch_events.drain().collect()
    }

    pub(super) fn expect_ejects(&mut self, token: Token) {
        self.ejects.insert(token, None);
    }

    pub(super) fn forget_ejects(&mut self, token: Token) {
        self.ejects.remove(&token);
    }

    #[cfg_attr(all(libxl_loom, test), allow(dead_code))]
    pub(super) fn ejected(&mut self, token: Token, disk: Disk) {
        if let Some(place) = self.ejects.get_mut(&token) {
            *place = Some(disk);
            self.changes += 1;
        }
    }

    pub(super) fn take_eject(&mut self, token: Token) -> Option<Disk> {
        self.ejects.get_mut(&token)?.take()
    }

    /// Takes the tasks to wake and the memory to free, outside of all locks.
    pub(super) fn settle(&mut self) -> (Vec<Waker>, Vec<Orphan>) {
        (mem::take(&mut self.to_wake), mem::take(&mut self.spent))
    }
}
