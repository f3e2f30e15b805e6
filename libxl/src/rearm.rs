//! The watchers of the process. Any function that may leave a domain resumed rearms all of them
//! through this module.
//!
//! The module is below both domains and the watcher, so that neither depends on the other.

use std::sync::{Arc, Weak};

use crate::{DomainId, per_process::PerProcess};

/// A watcher, as domains see it.
pub(crate) trait Rearm: Send + Sync {
    /// Replaces the event sources of a domain, and has its state read.
    fn rearm(&self, id: DomainId);

    /// Notes that a domain has gone on since its state was read last.
    fn went_on(&self, id: DomainId);

    /// Notes that a domain is suspended: it may run again by the time that its state is read.
    fn is_suspended(&self, id: DomainId);
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

/// As [`rearm`], for a domain that has gone on.
///
/// If the domain has shut down again for the same reason when its state is read, both the resume
/// and the shutdown are reported.
pub(crate) fn went_on(id: DomainId) {
    for watcher in watchers() {
        watcher.went_on(id);
        watcher.rearm(id);
    }
}

/// To be called before a suspended domain is resumed, so that the suspend is reported too, however
/// late the watcher reads the state.
pub(crate) fn is_suspended(id: DomainId) {
    for watcher in watchers() {
        watcher.is_suspended(id);
    }
}

fn watchers() -> Vec<Arc<dyn Rearm>> {
    let watchers = WATCHERS.lock();
    watchers.iter().filter_map(Weak::upgrade).collect()
}
