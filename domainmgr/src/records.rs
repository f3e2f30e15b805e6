//! What the agent remembers of its domains: the records that the journal has, handed out to workers and written back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::core::Record;
use crate::journal::{Change, Entry, Event, Journal, OpenError, Store, Ticket};
use crate::spec::Spec;
use crate::wish::Origin;

/// A record as the journal has it.
pub type Bytes = Vec<u8>;

/// The name under which the journal has the config directory that was believed last.
pub const CONFIG_DIR: &str = "config-dir";

/// The name under which the journal says that it has begun: what an agent without one has left has been taken over.
pub const BEGUN: &str = "begun";

/// The name under which the journal has the directory of xl's files that was believed last.
pub const XL_DIR: &str = "xl-dir";

/// The name under which the journal has the last settings that could be read.
pub const SETTINGS: &str = "settings";

/// The memory of all workers.
#[derive(Debug)]
pub struct Records {
    /// The present run of the host.
    boot: Uuid,
    /// `None`: nothing is written, because what is there cannot be relied on.
    journal: Option<Journal>,
    /// Why that is so.
    damaged: Option<String>,
    /// The config directory that was believed last, in the journal's words.
    pub config_dir: Option<String>,
    /// The directory of xl's files that was believed last, likewise.
    pub xl_dir: Option<String>,
    /// The last settings that could be read, in the words of their file.
    pub settings: Mutex<Option<String>>,
    /// What an earlier run of the agent has left for workers that have not started yet.
    left: Mutex<HashMap<Uuid, Bytes>>,
}

/// Reads every record, so that a damaged one is found before anything is done.
///
/// # Errors
/// One of them is not what a record looks like, or the file cannot be read.
pub fn read(store: &Store) -> Result<HashMap<Uuid, Bytes>, OpenError> {
    let entries = store.entries()?;
    for (key, bytes) in &entries {
        Record::from_bytes(bytes).map_err(|why| OpenError::Damaged {
            path: store.path().to_owned(),
            why: format!("the record of {key}: {why}"),
        })?;
    }
    Ok(entries.into_iter().collect())
}

impl Records {
    /// A memory that works.
    #[must_use]
    pub fn new(journal: Journal, boot: Uuid, left: HashMap<Uuid, Bytes>) -> Self {
        Self {
            boot,
            journal: Some(journal),
            damaged: None,
            config_dir: None,
            xl_dir: None,
            settings: Mutex::default(),
            left: Mutex::new(left),
        }
    }

    /// A memory that is lost, and this is why.
    #[must_use]
    pub fn damaged(why: String, boot: Uuid) -> Self {
        Self {
            boot,
            journal: None,
            damaged: Some(why),
            config_dir: None,
            xl_dir: None,
            settings: Mutex::default(),
            left: Mutex::default(),
        }
    }

    /// The present run of the host.
    #[must_use]
    pub fn boot(&self) -> Uuid {
        self.boot
    }

    /// Why nothing can be relied on.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damaged.as_deref()
    }

    /// Keys with a record that no worker has asked for.
    #[must_use]
    pub fn keys(&self) -> Vec<Uuid> {
        self.left().keys().copied().collect()
    }

    /// What the domain of such a key was built from, or is to be built from again.
    #[must_use]
    pub fn built(&self, key: Uuid) -> Option<Arc<Spec>> {
        let left = self.left();
        Record::from_bytes(left.get(&key)?).ok()?.built()
    }

    /// Returns whether the memory of its domain is in a file.
    #[must_use]
    pub fn is_saved(&self, key: Uuid) -> bool {
        let left = self.left();
        let record = left.get(&key).map(|bytes| Record::from_bytes(bytes));
        // A record that nobody can read may say so.
        record.is_some_and(|record| record.map_or(true, |record| record.is_saved()))
    }

    /// The origin of the wish for such a key.
    #[must_use]
    pub fn origin(&self, key: Uuid) -> Option<Origin> {
        let left = self.left();
        Record::from_bytes(left.get(&key)?).ok()?.origin()
    }

    /// The record of a key, for its worker.
    #[must_use]
    pub fn take(&self, key: Uuid) -> Option<Bytes> {
        self.left().remove(&key)
    }

    /// Hands a new record to the journal, where there is one, and what became of the domain since the one before.
    #[must_use]
    pub fn put(&self, entry: Entry) -> Option<Ticket> {
        Some(self.journal.as_ref()?.submit(Change::Put(entry)))
    }

    /// Has the journal forget a key, but for what became of its domain.
    #[must_use]
    pub fn remove(&self, key: Uuid, last: Event) -> Option<Ticket> {
        Some(
            self.journal
                .as_ref()?
                .submit(Change::Remove(key, vec![last])),
        )
    }

    /// The journal, where there is one.
    #[must_use]
    pub fn journal(&self) -> Option<Journal> {
        self.journal.clone()
    }

    /// Has the journal remember something about the host.
    #[must_use]
    pub fn set(&self, name: &'static str, value: String) -> Option<Ticket> {
        Some(self.journal.as_ref()?.submit(Change::Set(name, value)))
    }

    /// The last settings that could be read.
    #[must_use]
    pub fn last_settings(&self) -> Option<String> {
        let settings = self.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers settings that could be read.
    pub fn keep_settings(&self, text: &str) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if settings.as_deref() == Some(text) {
            return;
        }
        *settings = Some(text.to_owned());
        // Should that fail, the next agent knows those of before.
        drop(self.set(SETTINGS, text.to_owned()));
    }

    fn left(&self) -> MutexGuard<'_, HashMap<Uuid, Bytes>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
