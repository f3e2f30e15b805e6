//! The directory of xl configs.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::main_loop::Supervisor;
use crate::agent::records;
use crate::base::mailbox::Mail;
use crate::base::store;
use crate::frontends::inputs::{self, Home, Identity};
use crate::frontends::xl::Change;

/// Pause after a change of a file, as changes of other files often follow.
const GATHER: Duration = Duration::from_millis(50);

impl Supervisor<'_> {
    /// Returns the keys that are described by xl configs, as far as is known.
    fn keys_of_xl(&self) -> Vec<Uuid> {
        let left = self.env.records.keys();
        let all = self.workers.keys().copied().chain(left);
        all.filter(|key| matches!(self.env.inputs.home(*key), Home::Xl(_)))
            .collect()
    }

    /// Tells the table what an earlier run of the agent has found in the files.
    pub(super) fn expect_xl(&mut self) {
        let keys = self.keys_of_xl();
        let Some(table) = &mut self.xl else { return };
        for key in keys {
            if let Home::Xl(path) = self.env.inputs.home(key) {
                table.expect(&path, key);
            }
        }
    }

    /// Trusts a directory, in which an absent file is then a wish from the start.
    ///
    /// It is the directory that was trusted last, or the one that is there, if there is nothing to lose.
    pub(super) fn trust_xl_from_the_start(&self) {
        let Some(there) = self.xl.as_ref().and_then(|table| Identity::of(table.dir())) else {
            return;
        };
        let records = &self.env.records;
        if self.keys_of_xl().is_empty() {
            self.trust_xl(there);
        } else if let Some(text) = &records.xl_dir {
            if let Some(dir) = inputs::from_text(text, records.boot()) {
                self.trust_xl(dir);
            }
        }
    }

    fn trust_xl(&self, dir: Identity) -> bool {
        let source = self.env.inputs.xl.as_ref();
        let news = source.is_some_and(|source| source.trust(dir));
        if news {
            let text = inputs::to_text(self.env.records.boot(), dir);
            // If this fails, the next agent knows less, and is more careful.
            drop(self.env.records.set(records::XL_DIR, text));
        }
        news
    }

    /// Schedules a look after a change of an xl config. With `half`, the file may still be empty.
    pub(super) fn xl_changed(&mut self, half: bool) {
        let pause = if half {
            self.env.clock.real(inputs::SETTLING)
        } else {
            GATHER
        };
        let due = Instant::now() + pause;
        // Further changes must not put off for ever a look that is due.
        let earliest = self.xl_look.map_or(due, |known| known.min(due));
        self.xl_look = Some(earliest);
    }

    /// Looks at the whole directory.
    pub(super) fn scan_xl(&mut self) {
        self.xl_look = None;
        let Some(table) = &mut self.xl else { return };
        let changes = match table.look() {
            Ok(changes) => changes,
            Err(e) => {
                // An unreadable directory proves nothing: above all not that every file is gone.
                if !std::mem::replace(&mut self.xl_lost, true) {
                    log::error!("{}: {e}", table.dir().display());
                    self.post_to_xl();
                }
                return;
            }
        };
        let there = Identity::of(table.dir());
        let elsewhere = table.elsewhere();
        self.watching.xl_elsewhere(elsewhere);
        for change in changes {
            self.xl_file(change);
        }
        let table = self.xl.as_ref();
        let all = self
            .keys_of_xl()
            .into_iter()
            .all(|key| table.is_some_and(|table| table.file_of(key).is_some()));
        let believed = there.is_some_and(|there| all && self.trust_xl(there));
        if believed || std::mem::take(&mut self.xl_lost) {
            self.post_to_xl();
        }
    }

    fn post_to_xl(&self) {
        for (key, entry) in &self.workers {
            if matches!(self.env.inputs.home(*key), Home::Xl(_)) {
                entry.worker.post(Mail::CONFIG);
            }
        }
    }

    pub(super) fn xl_file(&mut self, change: Change) {
        let Change { key, path, there } = change;
        let config = self.options.dirs.config_of(key);
        if there && self.env.inputs.home(key) == Home::Eve && store::stamp(&config).is_some() {
            log::error!(
                key:% = key; "{}: its domain has that uuid as well; {} is ignored",
                config.display(), path.display()
            );
            return;
        }
        if there {
            self.env.inputs.settle(key, Home::Xl(path));
        }
        let now = self.env.clock.now().mono;
        if let Some(source) = &self.env.inputs.xl {
            source.note(key, there, now);
        }
        match self.workers.get_mut(&key) {
            Some(entry) => {
                entry.worker.config_changed(&self.env, key);
                if !there {
                    self.schedule_look(key);
                }
            }
            None if there => self.start(key, None),
            None => {}
        }
    }
}
