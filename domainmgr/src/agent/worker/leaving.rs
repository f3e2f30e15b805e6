//! The end of a key: everything that belongs to the key is removed, and only then is the key forgotten.

use super::events;
use super::run::{Run, WRITE_AGAIN};
use crate::base::crash_points;
use crate::base::store;
use crate::core::Facts;
use crate::host::cloudinit;
use crate::host::disks;

impl Run<'_> {
    /// Removes everything about the key. Returns false if the worker is to end before the key is forgotten.
    pub(super) fn clean_up(&mut self) -> bool {
        self.watch = None;
        // As long as the journal knows the key, the next agent knows that something is left to be done.
        let mut said = String::new();
        while let Err(why) = self.remove_files() {
            if why != said {
                log::error!(key:% = self.key; "{why}; it is forgotten once that is gone");
                self.publish_left(&why);
                said = why;
            }
            if !self.pause(WRITE_AGAIN) {
                return false;
            }
        }
        if !self.forget() {
            return false;
        }
        *self.memory = None;
        crash_points::point("before the status is removed");
        let status = self.env.dirs.status_of(self.key);
        if let Err(e) = store::withdraw(&status) {
            log::error!(key:% = self.key; "{}: {e}", status.display());
        }
        self.env.register.forget(self.key);
        self.disown();
        self.env.metrics.forget(self.key);
        self.env.inputs.forget(self.key);
        log::info!(key:% = self.key; "removed");
        true
    }

    /// Removes the files of the key. Some hold secrets, and nobody else knows any of them.
    fn remove_files(&self) -> Result<(), String> {
        crash_points::point("before the copies are removed");
        // A guest that has moved uses its disks elsewhere.
        if !self.facts.as_ref().is_some_and(Facts::has_moved) {
            disks::discard_all(&self.env.dirs.copies, self.key)
                .map_err(|e| format!("a copy cannot be removed: {e}"))?;
        }
        crash_points::point("before the cfg is removed");
        self.env.cfgs.remove_but(self.key, None)?;
        crash_points::point("before what was saved is removed");
        let saved = self.env.dirs.saved_of(self.key);
        store::remove(&saved).map_err(|e| format!("{}: {e}", saved.display()))?;
        crash_points::point("before the cloud-init disk is removed");
        let seed = cloudinit::path(&self.env.dirs.seeds(), self.key);
        store::remove(&seed).map_err(|e| format!("{}: {e}", seed.display()))
    }

    /// Removes the key from the journal, however many attempts that takes. Returns false if the worker is to end first.
    fn forget(&self) -> bool {
        let now = self.env.clock.now().wall;
        let last = self.facts.as_ref().map(|facts| facts.removed(now));
        let last = last.as_ref().map(events::row).unwrap_or_default();
        while let Some(ticket) = self.env.records.remove(self.key, last.clone()) {
            match ticket.wait() {
                Ok(()) => break,
                Err(e) => log::error!(key:% = self.key; "it cannot be forgotten: {e}"),
            }
            if !self.pause(WRITE_AGAIN) {
                return false;
            }
        }
        true
    }

    /// Publishes the reason why something of the key is still there.
    fn publish_left(&mut self, why: &str) {
        let now = self.env.clock.now().wall;
        if let Some(facts) = self.facts.clone().filter(Facts::publishable) {
            self.publish(&facts.faulted(why.to_owned(), now));
        }
    }
}
