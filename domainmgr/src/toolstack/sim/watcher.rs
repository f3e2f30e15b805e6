//! Watches on domains, modelled on libxl's watcher.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::guest::Millis;
use super::model::Model;
use crate::spec::ShutdownReason;
use crate::toolstack::domain::{DomainId, Life};
use crate::toolstack::session::Wake;

/// Interval at which the watcher looks at a suspended domain in the beginning, because a resume is not announced.
const SUSPENDED: Millis = 1000;
/// Time after which the intervals grow …
const EAGER: Millis = 60_000;
/// … up to this interval.
const RESYNC: Millis = 30_000;

/// The watched domains.
#[derive(Default)]
pub(super) struct Watcher {
    watched: BTreeMap<u64, Watched>,
    next: u64,
}

struct Watched {
    id: DomainId,
    wake: Wake,
    source: u64,
    suspended: Option<Suspended>,
}

/// Times of a domain that was suspended when last looked at.
#[derive(Clone, Copy)]
struct Suspended {
    since: Millis,
    next_look: Millis,
}

impl Suspended {
    fn looked(since: Millis, now: Millis) -> Self {
        let been = now.saturating_sub(since);
        let pause = if been < EAGER {
            SUSPENDED
        } else {
            (been / 60).clamp(SUSPENDED, RESYNC)
        };
        Self {
            since,
            next_look: now + pause,
        }
    }
}

impl Watcher {
    /// Watches a domain.
    pub(super) fn add(&mut self, xen: &mut Model, id: DomainId, wake: Wake) -> u64 {
        let number = self.next;
        self.next += 1;
        let watched = Watched {
            id,
            wake,
            source: xen.arm(id.domid),
            suspended: None,
        };
        self.watched.insert(number, watched);
        number
    }

    /// Ends a watch. The callback is returned, to be dropped where its owner cannot be waiting for the simulation.
    pub(super) fn remove(&mut self, xen: &mut Model, number: u64) -> Option<Wake> {
        let watched = self.watched.remove(&number)?;
        xen.disarm(watched.source);
        Some(watched.wake)
    }

    /// Returns the time at which a suspended domain is looked at again.
    pub(super) fn next_look(&self) -> Option<Millis> {
        let suspended = self.watched.values().filter_map(|w| w.suspended);
        suspended.map(|s| s.next_look).min()
    }

    /// Runs the watcher once it has been woken, and returns the callbacks to call.
    ///
    /// The watcher takes the reports of the sources, arms new sources for domains that may report again, and checks whether
    /// suspended domains have been resumed.
    pub(super) fn look(&mut self, xen: &mut Model) -> Vec<Wake> {
        let reported = xen.take_reported();
        let orphans = xen.take_orphans();
        let now = xen.now();
        let mut wakes = Vec::new();
        for watched in self.watched.values_mut() {
            if orphans.contains(&watched.id) {
                wakes.push(Arc::clone(&watched.wake));
            }
            let heard = reported.contains(&watched.source);
            let before = watched.suspended;
            if !heard && before.is_none_or(|s| s.next_look > now) {
                continue;
            }
            let life = xen.info(watched.id).map(|s| s.life);
            let suspended = life == Some(Life::Shutdown(ShutdownReason::SUSPEND));
            if heard || !suspended {
                wakes.push(Arc::clone(&watched.wake));
            }
            watched.suspended = suspended.then(|| {
                let since = before.map_or(now, |s| s.since);
                Suspended::looked(since, now)
            });
            if heard && (suspended || matches!(life, Some(Life::Running | Life::Paused))) {
                let new = xen.arm(watched.id.domid);
                xen.disarm(watched.source);
                watched.source = new;
            }
        }
        wakes
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A host with one domain, which is watched and suspended.
    fn suspended() -> (Model, Watcher, DomainId) {
        let mut xen = Model::new(64);
        let uuid = Uuid::from_u128(1);
        let domid = xen.outsider(uuid, "a", None);
        let id = DomainId { domid, uuid };
        let mut watcher = Watcher::default();
        watcher.add(&mut xen, id, Arc::new(|| {}));
        assert!(watcher.look(&mut xen).is_empty());
        xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
        assert_eq!(watcher.look(&mut xen).len(), 1);
        (xen, watcher, id)
    }

    #[test]
    fn a_suspended_domain_is_looked_at_ever_more_seldom() {
        let (mut xen, mut watcher, id) = suspended();
        let mut pauses = Vec::new();
        let mut wanted = [0, 59, 120, 600, 86_400].into_iter().peekable();
        let since = xen.now();
        while let Some(&seconds) = wanted.peek() {
            let next = watcher.next_look().unwrap();
            if xen.now() - since >= seconds * 1000 {
                pauses.push((next - xen.now()) / 1000);
                wanted.next();
            }
            xen.advance(next);
            assert!(watcher.look(&mut xen).is_empty(), "nothing has changed");
        }
        assert_eq!(pauses, [1, 1, 2, 10, 30]);
        // A resume by somebody else, which is not announced.
        xen.resume(id).unwrap();
        assert!(watcher.look(&mut xen).is_empty());
        xen.advance(xen.now() + RESYNC);
        assert_eq!(watcher.look(&mut xen).len(), 1);
        assert_eq!(watcher.next_look(), None);
    }

    #[test]
    fn one_that_is_suspended_once_more_is_news_again() {
        let (mut xen, mut watcher, id) = suspended();
        xen.advance(3_600_000);
        watcher.look(&mut xen);
        xen.resume(id).unwrap();
        xen.advance(xen.now() + RESYNC);
        watcher.look(&mut xen);
        xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
        assert_eq!(watcher.look(&mut xen).len(), 1);
        assert_eq!(watcher.next_look(), Some(xen.now() + SUSPENDED));
    }
}
