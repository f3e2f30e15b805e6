//! The config directory: which files are there, and which are known to be absent.

use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never};
use uuid::Uuid;

use super::main_loop::{MARKER, Supervisor};
use crate::agent::records::{self, Records};
use crate::base::dirs::Dirs;
use crate::base::mailbox::Mail;
use crate::base::store::{self, Named, Stamp};
use crate::frontends::inputs::{self, Home, Identity};

/// Returns the directory in which an absent file is a wish from the start.
///
/// It is the directory that held the files of all known domains, or the one that is `there`, if there is nothing to lose.
fn believed(
    dirs: &Dirs,
    records: &Records,
    there: Identity,
    nothing_to_lose: bool,
) -> Option<Identity> {
    if nothing_to_lose {
        return Some(there);
    }
    match &records.config_dir {
        Some(text) => inputs::from_text(text, records.boot()),
        // The domains were taken over from an agent that did not record the directory.
        None => {
            let names = store::list(&dirs.config).unwrap_or_default();
            let any = names
                .iter()
                .any(|name| matches!(store::key_of(name), Named::Key(_)));
            any.then_some(there)
        }
    }
}

impl Supervisor<'_> {
    pub(super) fn trust_from_the_start(&self) {
        let dirs = &self.options.dirs;
        if let Some(there) = Identity::of(&dirs.config) {
            let nothing = self.keys_left().is_empty();
            if let Some(dir) = believed(dirs, &self.env.records, there, nothing) {
                self.trust(dir);
            }
        }
    }

    /// Known keys of DomainConfigs that have no worker yet.
    fn keys_left(&self) -> Vec<Uuid> {
        let mut keys = self.env.records.keys();
        keys.retain(|key| self.env.inputs.home(*key) == Home::Eve);
        keys
    }

    /// Keys of DomainConfigs that have a worker.
    fn keys_at_work(&self) -> Vec<Uuid> {
        let keys = self.workers.keys().copied();
        keys.filter(|key| self.env.inputs.home(*key) == Home::Eve)
            .collect()
    }

    /// Takes an absent file in the config directory as a wish from now on. Returns true if this is new.
    pub(super) fn trust(&self, dir: Identity) -> bool {
        let news = self.env.inputs.eve.trust(dir);
        if news {
            let text = inputs::to_text(self.env.records.boot(), dir);
            // If this fails, the next agent knows less, and is more careful.
            drop(self.env.records.set(records::CONFIG_DIR, text));
        }
        news
    }

    /// Fires when a file is to be looked at again.
    pub(super) fn next_look(&self) -> Receiver<Instant> {
        self.look_again
            .values()
            .min()
            .map_or_else(never, |t| at(*t))
    }

    pub(super) fn schedule_look(&mut self, key: Uuid) {
        // A little later than necessary, so that the look is not just too early.
        let pause = self.env.clock.real(inputs::SETTLING) + Duration::from_millis(20);
        self.look_again.entry(key).or_insert(Instant::now() + pause);
    }

    pub(super) fn look_again(&mut self) {
        let now = Instant::now();
        let due: Vec<Uuid> = self
            .look_again
            .iter()
            .filter(|(_, t)| **t <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.look_again.remove(&key);
            let absent = store::stamp(&self.env.inputs.path_of(key)).is_none();
            match self.workers.get(&key) {
                // The absence is believed now, or the worker reports why it is not.
                Some(entry) if absent => entry.worker.config_changed(&self.env, key),
                // The file may describe another domain now.
                Some(entry) if self.env.inputs.home(key) != Home::Eve => {
                    entry.worker.config_changed(&self.env, key);
                }
                _ => self.look_at(&format!("{key}.json"), false),
            }
        }
    }

    /// Decides whether the absent files are known to be absent.
    pub(super) fn believe(&mut self, names: &[String]) {
        let Some(there) = Identity::of(&self.options.dirs.config) else {
            return;
        };
        let file = |key: &Uuid| names.contains(&format!("{key}.json"));
        let left = self.keys_left();
        let keys: Vec<Uuid> = self.keys_at_work();
        let all = keys.iter().all(file) && left.iter().all(file);
        let said = names.iter().any(|name| name == MARKER);
        if !(all || said) || !self.trust(there) {
            return;
        }
        log::info!(
            "{}: all files are there",
            self.options.dirs.config.display()
        );
        for key in keys.iter().filter(|key| !file(key)) {
            self.schedule_look(*key);
        }
        self.post_all(Mail::CONFIG);
    }

    /// Looks at the whole config directory.
    pub(super) fn scan(&mut self) {
        self.watching.refresh();
        let dir = &self.options.dirs.config;
        let names = match store::list(dir) {
            Ok(names) => names,
            Err(e) => {
                // An unreadable directory proves nothing: above all not that every config is gone.
                log::error!("{}: {e}", dir.display());
                if !std::mem::replace(&mut self.lost, true) {
                    self.post_all(Mail::CONFIG);
                }
                return;
            }
        };
        self.believe(&names);
        for name in &names {
            self.look_at(name, false);
        }
        if std::mem::take(&mut self.lost) {
            // A worker that looked for its file meanwhile has not found it, and the file may be the same as before.
            self.post_all(Mail::CONFIG);
        }
        let missing: Vec<Uuid> = self
            .workers
            .iter()
            .filter(|(key, entry)| entry.stamp.is_some() && !names.contains(&format!("{key}.json")))
            .map(|(key, _)| *key)
            .collect();
        for key in missing {
            self.look_at(&format!("{key}.json"), true);
        }
        // Only now is it known which keys have a file.
        self.start_orphans();
        if !std::mem::replace(&mut self.tidied, true) {
            self.tidy();
        }
    }

    /// Starts workers for keys whose config went away while no agent ran: their domains are brought down.
    ///
    /// This is tried more than once, as there may be no thread for one of them.
    fn start_orphans(&mut self) {
        for key in self.env.records.keys() {
            let there = match self.env.inputs.home(key) {
                Home::Eve => store::stamp(&self.options.dirs.config_of(key)).is_some(),
                // A file that is there may describe another domain by now.
                Home::Xl(_) => self.xl.as_ref().is_some_and(|t| t.file_of(key).is_some()),
                Home::Arrived => {
                    self.start_arrived(key);
                    true
                }
            };
            if !self.workers.contains_key(&key) && !there {
                let file = self.env.inputs.path_of(key);
                log::info!(key:% = key; "{}: gone, and its domain is known", file.display());
                self.start(key, None);
            }
        }
    }

    /// Starts the worker for a domain that comes from another host, or has come from there, if there is none yet.
    pub(super) fn start_arrived(&mut self, key: Uuid) {
        if !self.workers.contains_key(&key) {
            self.start(key, None);
        }
    }

    /// Removes the statuses and the reservations of domains that nobody knows any more.
    fn tidy(&self) {
        if self.env.records.damage().is_some() {
            return;
        }
        let left = self.env.records.keys();
        let known = |key: Uuid| self.workers.contains_key(&key) || left.contains(&key);
        self.env.adapters.keep_only(&known);
        let dir = &self.options.dirs.status;
        for name in store::list(dir).unwrap_or_default() {
            if let Named::Key(key) = store::key_of(&name) {
                if !known(key) {
                    let path = dir.join(name);
                    if let Err(e) = store::withdraw(&path) {
                        log::error!(key:% = key; "{}: {e}", path.display());
                    }
                }
            }
        }
    }

    pub(super) fn file_changed(&mut self, name: &str) {
        self.look_at(name, true);
        if name == MARKER {
            self.scan();
        }
    }

    /// Schedules a look at a new file: it may be another name of a complete file, and then no close follows.
    pub(super) fn file_created(&mut self, name: &str) {
        if let Named::Key(key) = store::key_of(name) {
            self.schedule_look(key);
        }
    }

    /// Looks at one file. With `changed`, the worker is told even if the file looks the same.
    pub(super) fn look_at(&mut self, name: &str, changed: bool) {
        let path = self.options.dirs.config.join(name);
        match store::key_of(name) {
            Named::Other => self.marker |= name == MARKER,
            Named::Bad(why) => {
                let stamp = store::stamp(&path);
                let known = self.bad.get(name).copied().flatten();
                if stamp.is_none() {
                    self.bad.remove(name);
                } else if stamp != known {
                    log::error!("{}: {why}; ignored", path.display());
                    self.bad.insert(name.to_owned(), stamp);
                }
            }
            Named::Key(key) => {
                let stamp = store::stamp(&path);
                if !self.is_eves(key, &path, stamp) {
                    return;
                }
                let now = self.env.clock.now().mono;
                self.env.inputs.eve.note(key, stamp.is_some(), now);
                if stamp.is_none() && self.workers.contains_key(&key) {
                    self.schedule_look(key);
                }
                match self.workers.get_mut(&key) {
                    Some(entry) if changed || entry.stamp != stamp => {
                        entry.stamp = stamp;
                        entry.worker.config_changed(&self.env, key);
                    }
                    Some(_) => {}
                    None if stamp.is_some() => self.start(key, stamp),
                    None => {}
                }
            }
        }
    }

    /// Returns true if a DomainConfig is the file that counts for its key. Of two files, the one that came first counts.
    fn is_eves(&self, key: Uuid, path: &Path, stamp: Option<Stamp>) -> bool {
        let other = match self.env.inputs.home(key) {
            Home::Eve => return true,
            _ if stamp.is_none() => return false,
            // Somebody describes a domain that came from another host.
            Home::Arrived => {
                self.env.inputs.settle(key, Home::Eve);
                return true;
            }
            Home::Xl(other) => other,
        };
        if store::stamp(&other).is_some() {
            log::error!(
                key:% = key; "{}: its domain has that uuid as well; {} is ignored",
                other.display(), path.display()
            );
            return false;
        }
        self.env.inputs.settle(key, Home::Eve);
        true
    }
}
