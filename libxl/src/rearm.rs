//! The watchers of the process. Any function that may leave a domain resumed rearms all of them
//! through this module.
//!
//! The module is below both domains and the watcher, so that neither depends on the other.

use std::sync::{Arc, Weak};

use crate::{DomainId, ShutdownReason, per_process::PerProcess};

/// A watcher, as domains see it.
pub(crate) trait Rearm: Send + Sync {
    /// Replaces the event sources of a domain, and has its state read.
    fn rearm(&self, id: DomainId);

    /// Notes that a domain has stopped for this reason and is about to go on.
    fn is_stopped(&self, id: DomainId, reason: ShutdownReason);

    /// Notes that a domain has gone on.
    fn went_on(&self, id: DomainId);
}

/// All watchers of the process, so that a resume reaches each of them. A forked child must not use
/// its parent's watchers, whose contexts it has given up.
static WATCHERS: PerProcess<Vec<Weak<dyn Rearm>>> = PerProcess::new(Vec::new());

/// Adds a watcher, for as long as it lives.
pub(crate) fn register<W: Rearm + 'static>(watcher: &Arc<W>) {
    let watcher: Weak<W> = Arc::downgrade(watcher);
    let mut watchers = WATCHERS.lock();
    watchers.retain(|known| known.strong_count() > 0);
    watchers.push(watcher);
}

/// Replaces the event sources of a domain in every watcher of the process, and has its state read.
/// To be called after anything that may have resumed the domain.
pub(crate) fn rearm(id: DomainId) {
    for watcher in watchers() {
        watcher.rearm(id);
    }
}

/// To be called before a domain goes on that has stopped for `reason`, so that the stop is reported
/// too, however late the watcher reads the state.
pub(crate) fn is_stopped(id: DomainId, reason: ShutdownReason) {
    for watcher in watchers() {
        watcher.is_stopped(id, reason);
    }
}

/// As [`rearm`], for a domain that has gone on after [`is_stopped`].
///
/// If the domain has stopped again for the same reason when its state is read, both the resume and
/// the second stop are reported.
pub(crate) fn went_on(id: DomainId) {
    for watcher in watchers() {
        watcher.went_on(id);
        watcher.rearm(id);
    }
}

fn watchers() -> Vec<Arc<dyn Rearm>> {
    let watchers = WATCHERS.lock();
    watchers.iter().filter_map(Weak::upgrade).collect()
}
