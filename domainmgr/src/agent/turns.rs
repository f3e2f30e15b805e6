//! The order in which domains start: each waits for those that it needs, and then for those of higher priority.
//!
//! A domain counts as long as it is about to start. One that is not to run, or whose boot has failed for good, is not
//! waited for. So the order is kept whenever several domains are to start, above all when the host has booted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::base::mailbox::{Mail, Mailbox};
use crate::spec::host_order::{Member, first_to_start};

/// Number of domains that are named to people.
const NAMED: usize = 3;

/// Number of domains that are a crowd.
const CROWD: usize = 8;

/// A domain that is about to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Names that others know it by; the first is for people.
    pub names: Vec<String>,
    /// Those with a higher priority start earlier.
    pub priority: i32,
    /// Names of the domains that it needs. They start earlier, whatever the priorities are.
    pub after: Vec<String>,
}

/// The domains that are about to start.
#[derive(Debug, Default)]
pub struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Domains whose files were there when the agent started, and whose workers have not shown yet what is to become of them.
    unread: BTreeSet<Uuid>,
    /// All those are known.
    open: bool,
    starting: BTreeMap<Uuid, Start>,
    /// Those that were told to wait, and the domains that were named to them.
    waiting: BTreeMap<Uuid, (Mailbox, Vec<Uuid>)>,
    /// Those whose turn it is; `None` if it is not known at present.
    ready: Option<BTreeSet<Uuid>>,
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a domain that has a file. At the start of the agent, nobody's turn comes before its worker has shown what
    /// is to become of it.
    pub fn expect(&self, key: Uuid) {
        let mut state = self.state();
        if !state.open {
            state.unread.insert(key);
        }
    }

    /// Takes note that all files that were there are known.
    pub fn open(&self) {
        let mut state = self.state();
        state.open = true;
        state.call();
    }

    /// No longer waits for workers that have shown nothing since the start of the agent.
    pub fn expect_no_more(&self) {
        let mut state = self.state();
        if !state.unread.is_empty() {
            state.unread.clear();
            state.call();
        }
    }

    /// Shows whether the domain is about to start.
    pub fn show(&self, key: Uuid, start: Option<Start>) {
        let mut state = self.state();
        let read = state.unread.remove(&key);
        let same = state.starting.get(&key) == start.as_ref();
        if !same {
            state.ready = None;
            match start {
                Some(start) => drop(state.starting.insert(key, start)),
                None => drop(state.starting.remove(&key)),
            }
        }
        if read || !same {
            state.call();
        }
    }

    /// Returns whether many domains start side by side, or may do so.
    pub fn is_crowded(&self) -> bool {
        let state = self.state();
        state.unread.len() + state.starting.len() >= CROWD + state.waiting.len()
    }

    /// Forgets a domain whose worker has ended.
    pub fn forget(&self, key: Uuid) {
        self.show(key, None);
        self.state().waiting.remove(&key);
    }

    /// Returns the domains that start before this one, for people; `None` if its turn has come. The text is empty if not all
    /// files have been read yet. `mailbox` gets [`Mail::FREED`] when the answer would be another.
    pub fn ask(&self, key: Uuid, mailbox: &Mailbox) -> Option<String> {
        let mut state = self.state();
        state.waiting.remove(&key);
        if state.is_open() && state.is_ready(key) {
            return None;
        }
        let mut first = state.first(key);
        let more = first.len() > NAMED;
        first.truncate(NAMED);
        let text = state.in_words(&first, more);
        state.waiting.insert(key, (mailbox.clone(), first));
        Some(text)
    }
}

impl State {
    /// Calls those whose turn has come, and those that wait for others now.
    fn call(&mut self) {
        if self.waiting.is_empty() || !self.is_open() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (key, (mailbox, first)) in waiting {
            let same = first.iter().all(|one| self.starting.contains_key(one));
            if same && !first.is_empty() && !self.is_ready(key) {
                self.waiting.insert(key, (mailbox, first));
            } else {
                mailbox.post(Mail::FREED);
            }
        }
    }

    fn is_open(&self) -> bool {
        self.open && self.unread.is_empty()
    }

    fn is_ready(&mut self, key: Uuid) -> bool {
        let Self {
            starting, ready, ..
        } = self;
        // A domain that has not been shown as starting is in nobody's way, and need not wait.
        !starting.contains_key(&key) || ready.get_or_insert_with(|| next(starting)).contains(&key)
    }

    /// Returns the domains that start before this one: those that it needs, or else those whose turn it is; none if they are not
    /// known yet.
    fn first(&self, key: Uuid) -> Vec<Uuid> {
        let (true, Some(own), Some(ready)) = (self.is_open(), self.starting.get(&key), &self.ready)
        else {
            return Vec::new();
        };
        let needed = self
            .starting
            .iter()
            .filter(|(_, other)| other.is_needed_by(own));
        let needed: Vec<Uuid> = needed
            .map(|(other, _)| *other)
            .filter(|other| *other != key)
            .collect();
        if needed.is_empty() {
            ready.iter().copied().collect()
        } else {
            needed
        }
    }

    fn in_words(&self, first: &[Uuid], more: bool) -> String {
        let names = first
            .iter()
            .filter_map(|key| self.starting.get(key)?.names.first());
        let names: Vec<&str> = names.map(String::as_str).collect();
        names.join(", ") + if more { " and others" } else { "" }
    }
}

impl Start {
    fn is_needed_by(&self, other: &Self) -> bool {
        other.after.iter().any(|name| self.names.contains(name))
    }
}

/// Returns the domains whose turn it is. Names those that need each other in a circle.
fn next(starting: &BTreeMap<Uuid, Start>) -> BTreeSet<Uuid> {
    let keys: Vec<Uuid> = starting.keys().copied().collect();
    let members: Vec<Member<'_>> = starting
        .values()
        .map(|start| Member {
            names: start.names.iter().map(String::as_str).collect(),
            priority: start.priority,
            after: &start.after,
        })
        .collect();
    let mut found = BTreeSet::new();
    for group in first_to_start(&members) {
        if group.members.len() > 1 {
            let names = group
                .members
                .iter()
                .filter_map(|at| members[*at].names.first());
            let names: Vec<&str> = names.copied().collect();
            log::warn!(
                "these need each other (After), and start side by side: {}",
                names.join(", ")
            );
        }
        found.extend(group.members.iter().map(|at| keys[*at]));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::mailbox::{Inbox, mailbox};

    fn key(name: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }

    fn start(name: &str, priority: i32, after: &[&str]) -> (Uuid, Start) {
        let start = Start {
            names: vec![format!("{name}.1"), name.to_owned()],
            priority,
            after: after.iter().map(|name| (*name).to_owned()).collect(),
        };
        (key(name), start)
    }

    fn is_called(inbox: &Inbox) -> bool {
        inbox.take().has(Mail::FREED)
    }

    #[test]
    fn who_waits_is_called_when_the_turn_has_come() {
        let turns = Turns::default();
        let (of_web, web) = mailbox();
        let (of_db, db) = mailbox();
        for name in ["db", "web", "down"] {
            turns.expect(key(name));
        }
        let show = |(key, start)| turns.show(key, Some(start));
        show(start("web", 0, &["db"]));
        let unread = "";
        assert_eq!(turns.ask(key("web"), &of_web).as_deref(), Some(unread));
        turns.open();
        assert_eq!(turns.ask(key("web"), &of_web).as_deref(), Some(unread));
        show(start("db", 0, &[]));
        assert_eq!(turns.ask(key("db"), &of_db).as_deref(), Some(unread));
        turns.show(key("down"), None);
        // One to start, and one to learn for whom it waits.
        assert!(is_called(&db) && is_called(&web));
        assert_eq!(turns.ask(key("web"), &of_web).as_deref(), Some("db.1"));
        assert_eq!(turns.ask(key("db"), &of_db), None);
        // The database runs, or its boot has failed.
        turns.show(key("db"), None);
        assert!(is_called(&web) && !is_called(&db));
        assert_eq!(turns.ask(key("web"), &of_web), None);
        turns.show(key("web"), None);
        assert!(!is_called(&web), "it has had its turn");
    }

    #[test]
    fn nobody_waits_for_one_that_is_gone_or_shows_nothing() {
        let turns = Turns::default();
        turns.expect(key("stuck"));
        turns.open();
        let (of_web, web) = mailbox();
        let (_, mut wish) = start("web", 0, &["db"]);
        turns.show(key("web"), Some(wish.clone()));
        assert!(turns.ask(key("web"), &of_web).is_some());
        turns.expect_no_more();
        assert!(is_called(&web));
        assert_eq!(turns.ask(key("web"), &of_web), None);
        // It came later than the start of the agent, so nobody waits for its file.
        turns.expect(key("late"));
        let (late, of_late) = start("db", 0, &[]);
        turns.show(late, Some(of_late));
        assert_eq!(turns.ask(key("web"), &of_web).as_deref(), Some("db.1"));
        turns.forget(late);
        assert!(is_called(&web));
        // The wish for an order is given up.
        let (db, of_db) = start("db", 0, &[]);
        turns.show(db, Some(of_db));
        assert!(turns.ask(key("web"), &of_web).is_some());
        wish.after.clear();
        turns.show(key("web"), Some(wish));
        assert!(is_called(&web));
    }

    #[test]
    fn only_some_are_named() {
        let turns = Turns::default();
        turns.open();
        let (of_last, inbox) = mailbox();
        for name in ["a", "b", "c", "d", "e"] {
            let (key, start) = start(name, 1, &[]);
            turns.show(key, Some(start));
        }
        let (last, wish) = start("last", 0, &[]);
        turns.show(last, Some(wish));
        let first = turns.ask(last, &of_last).unwrap();
        assert!(first.ends_with(" and others"), "{first}");
        let named: Vec<&str> = first
            .split([',', ' '])
            .filter(|w| w.contains('.'))
            .collect();
        assert_eq!(named.len(), 3, "{first}");
        // Another one is named as soon as the first of these has started.
        let (one, _) = start(named[0].trim_end_matches(".1"), 1, &[]);
        turns.show(one, None);
        assert!(is_called(&inbox));
        let now = turns.ask(last, &of_last).unwrap();
        assert!(!now.contains(named[0]), "{now}");
    }
}
