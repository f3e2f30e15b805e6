//! The order in which domains start: each waits for those that it needs, and then for those of higher priority.
//!
//! A domain counts as long as it is about to start. One that is not to run, or whose boot has failed for good, is not
//! waited for. So the order is kept whenever several domains are to start, above all when the host has booted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::base::mailbox::{Mail, Mailbox};

/// Number of domains that are named to people.
const NAMED: usize = 3;

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
    /// Those that were told to wait.
    waiting: BTreeMap<Uuid, Mailbox>,
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

    /// Forgets a domain whose worker has ended.
    pub fn forget(&self, key: Uuid) {
        self.show(key, None);
        self.state().waiting.remove(&key);
    }

    /// Returns the domains that start before this one, for people; `None` if its turn has come. Otherwise `mailbox` gets
    /// [`Mail::FREED`] when that is so.
    pub fn ask(&self, key: Uuid, mailbox: &Mailbox) -> Option<String> {
        let mut state = self.state();
        let first = state.first(key);
        match first {
            Some(_) => drop(state.waiting.insert(key, mailbox.clone())),
            None => drop(state.waiting.remove(&key)),
        }
        first
    }
}

impl State {
    /// Calls those whose turn has come.
    fn call(&mut self) {
        if self.waiting.is_empty() || !self.is_open() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (key, mailbox) in waiting {
            if self.is_ready(key) {
                mailbox.post(Mail::FREED);
            } else {
                self.waiting.insert(key, mailbox);
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
        // What has not been shown as starting is in nobody's way, nor has it to wait.
        !starting.contains_key(&key) || ready.get_or_insert_with(|| next(starting)).contains(&key)
    }

    fn first(&mut self, key: Uuid) -> Option<String> {
        if !self.is_open() {
            return Some("domains whose files have not been read yet".to_owned());
        }
        if self.is_ready(key) {
            return None;
        }
        let (own, ready) = (self.starting.get(&key)?, self.ready.as_ref()?);
        let others = self.starting.iter().filter(|(other, _)| **other != key);
        // Those that it needs are named, or else those whose turn it is.
        let needed = others.clone().filter(|(_, other)| other.is_needed_by(own));
        let mut named: Vec<&Start> = needed.map(|(_, start)| start).collect();
        if named.is_empty() {
            let before = others.filter(|(other, _)| ready.contains(other));
            named = before.map(|(_, start)| start).collect();
        }
        let names = named.iter().take(NAMED);
        let names: Vec<&str> = names
            .filter_map(|s| s.names.first().map(String::as_str))
            .collect();
        let more = named.len() - names.len();
        let more = (more > 0).then(|| format!(" and {more} more"));
        Some(names.join(", ") + more.as_deref().unwrap_or_default())
    }
}

impl Start {
    fn is_needed_by(&self, other: &Self) -> bool {
        other.after.iter().any(|name| self.names.contains(name))
    }
}

/// Returns the domains whose turn it is: of those that need no other, the ones with the highest priority. If all need each
/// other in a circle, all of them.
fn next(starting: &BTreeMap<Uuid, Start>) -> BTreeSet<Uuid> {
    let names: HashSet<&str> = starting
        .values()
        .flat_map(|start| start.names.iter().map(String::as_str))
        .collect();
    let waits = |start: &Start| {
        let needed = start.after.iter();
        let mut needed = needed.filter(|name| !start.names.contains(name));
        needed.any(|name| names.contains(name.as_str()))
    };
    let free: Vec<_> = starting.iter().filter(|(_, start)| !waits(start)).collect();
    let highest = free.iter().map(|(_, start)| start.priority).max();
    match highest {
        None => starting.keys().copied().collect(),
        Some(highest) => free
            .iter()
            .filter(|(_, start)| start.priority == highest)
            .map(|(key, _)| **key)
            .collect(),
    }
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

    /// All that are to start, and the names of those whose turn it is, one round after the other.
    fn rounds(all: Vec<(Uuid, Start)>) -> Vec<Vec<String>> {
        let mut starting: BTreeMap<_, _> = all.into_iter().collect();
        let mut rounds = Vec::new();
        while !starting.is_empty() {
            let ready = next(&starting);
            let begun = ready.iter().filter_map(|key| starting.remove(key));
            let mut names: Vec<String> = begun.map(|start| start.names[1].clone()).collect();
            names.sort();
            rounds.push(names);
        }
        rounds
    }

    #[test]
    fn without_wishes_all_start_side_by_side() {
        assert_eq!(
            rounds(vec![start("a", 0, &[]), start("b", 0, &[])]),
            [["a", "b"]]
        );
        assert_eq!(rounds(Vec::new()), [[""; 0]; 0]);
    }

    #[test]
    fn what_others_need_starts_first_and_priority_decides_among_the_rest() {
        let all = vec![
            start("db", 0, &[]),
            start("web", 10, &["db", "cache.1"]),
            start("cache", -5, &["db.1", "cache"]),
            start("batch", -1, &["gone"]),
            start("mail", 10, &[]),
        ];
        assert_eq!(
            rounds(all),
            [
                vec!["mail"],
                vec!["db"],
                vec!["batch"],
                vec!["cache"],
                vec!["web"]
            ]
        );
    }

    #[test]
    fn a_circle_starts_side_by_side() {
        let all = vec![
            start("a", 0, &["b"]),
            start("b", 5, &["a"]),
            start("c", -9, &[]),
        ];
        assert_eq!(rounds(all), [vec!["c"], vec!["a", "b"]]);
    }

    fn is_called(inbox: &Inbox) -> bool {
        inbox.take().has(Mail::FREED)
    }

    #[test]
    fn who_waits_is_called_when_the_turn_has_come() {
        let turns = Turns::default();
        let (of_web, web) = mailbox();
        let (of_db, db) = mailbox();
        for name in ["db", "web"] {
            turns.expect(key(name));
        }
        let show = |(key, start)| turns.show(key, Some(start));
        show(start("web", 0, &["db"]));
        let unread = "domains whose files have not been read yet";
        assert_eq!(turns.ask(key("web"), &of_web).as_deref(), Some(unread));
        turns.open();
        assert_eq!(turns.ask(key("web"), &of_web).as_deref(), Some(unread));
        // Its need is known by now.
        show(start("db", 0, &[]));
        assert!(!is_called(&web));
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
        let (of_last, _inbox) = mailbox();
        for name in ["a", "b", "c", "d", "e"] {
            let (key, start) = start(name, 1, &[]);
            turns.show(key, Some(start));
        }
        let (last, wish) = start("last", 0, &[]);
        turns.show(last, Some(wish));
        let first = turns.ask(last, &of_last).unwrap();
        assert!(first.ends_with(" and 2 more"), "{first}");
        assert_eq!(first.matches(".1").count(), 3, "{first}");
    }
}
