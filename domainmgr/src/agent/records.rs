//! Records of the domains: read from the journal, handed out to workers, and written back.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::core::Record;
use crate::frontends::wish::WishFile;
use crate::journal::{Change, Entry, Event, Haste, Journal, OpenError, Store, Ticket};
use crate::spec::Spec;

/// An encoded record, as the journal stores it.
pub type Bytes = Vec<u8>;

/// Name under which the journal stores the config directory that was trusted last.
pub const CONFIG_DIR: &str = "config-dir";

/// Name of the value that marks a journal as begun: the state left by an agent without a journal has been taken over.
pub const BEGUN: &str = "begun";

/// Name under which the journal stores the directory of xl's files that was trusted last.
pub const XL_DIR: &str = "xl-dir";

/// Name under which the journal stores the numbers of the last migrations by which domains have come here.
pub const ARRIVED: &str = "arrived";

/// Name under which the journal stores the last settings that could be read.
pub const SETTINGS: &str = "settings";

/// The records of all workers, and values about the host.
#[derive(Debug)]
pub struct Records {
    /// The present run of the host.
    boot: Uuid,
    /// The journal; `None` if it is damaged, so that nothing is written.
    journal: Option<Journal>,
    /// Description of the damage.
    damaged: Option<String>,
    /// The config directory that was trusted last, as text from the journal.
    pub config_dir: Option<String>,
    /// The directory of xl's files that was trusted last, as text from the journal.
    pub xl_dir: Option<String>,
    /// The last migrations by which domains have come here, as text from the journal.
    pub arrived: Option<String>,
    /// The last settings that could be read, as the text of their file.
    pub settings: Mutex<Option<String>>,
    /// Records of an earlier run of the agent, for workers that have not started yet.
    left: Mutex<HashMap<Uuid, Bytes>>,
    /// Number of the next order.
    orders: Arc<AtomicU64>,
}

/// Records that an earlier run of the agent has left in the journal.
#[derive(Debug, Default)]
pub struct Left {
    /// The record of each key.
    pub records: HashMap<Uuid, Bytes>,
    /// The highest number of an order in them.
    pub last_order: u64,
}

/// Reads every record, so that a damaged one is found before the agent acts.
///
/// # Errors
/// A record is malformed, or the file cannot be read.
pub fn read(store: &Store) -> Result<Left, OpenError> {
    let entries = store.entries()?;
    let mut last_order = 0;
    for (key, bytes) in &entries {
        let read = Record::from_bytes(bytes).and_then(|record| {
            last_order = last_order.max(record.last_order());
            record.origin().map(|o| WishFile::of(&o)).transpose()
        });
        read.map_err(|why| OpenError::Damaged {
            path: store.path().to_owned(),
            why: format!("the record of {key}: {why}"),
        })?;
    }
    Ok(Left {
        records: entries.into_iter().collect(),
        last_order,
    })
}

impl Records {
    /// Returns records that are kept in `journal`. `left` are those of an earlier run of the agent.
    #[must_use]
    pub fn new(journal: Journal, boot: Uuid, left: Left) -> Self {
        Self {
            boot,
            journal: Some(journal),
            damaged: None,
            config_dir: None,
            xl_dir: None,
            arrived: None,
            settings: Mutex::default(),
            left: Mutex::new(left.records),
            orders: Arc::new(AtomicU64::new(left.last_order + 1)),
        }
    }

    /// Returns empty records, for a journal that is damaged. `why` describes the damage.
    #[must_use]
    pub fn damaged(why: String, boot: Uuid) -> Self {
        Self {
            boot,
            journal: None,
            damaged: Some(why),
            config_dir: None,
            xl_dir: None,
            arrived: None,
            settings: Mutex::default(),
            left: Mutex::default(),
            orders: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Returns the number of the next order, for those who give orders to workers. Each takes one and counts on.
    #[must_use]
    pub fn order_numbers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.orders)
    }

    /// The present run of the host.
    #[must_use]
    pub fn boot(&self) -> Uuid {
        self.boot
    }

    /// Returns the description of the damage, if the journal is damaged.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damaged.as_deref()
    }

    /// Returns the keys whose records no worker has taken.
    #[must_use]
    pub fn keys(&self) -> Vec<Uuid> {
        self.left().keys().copied().collect()
    }

    /// Returns the spec that the domain of `key` was built from, or is to be built from again. The record must not have been taken.
    #[must_use]
    pub fn built(&self, key: Uuid) -> Option<Arc<Spec>> {
        let left = self.left();
        Record::from_bytes(left.get(&key)?).ok()?.built()
    }

    /// Returns whether the memory of the domain of `key` is saved in a file.
    #[must_use]
    pub fn is_saved(&self, key: Uuid) -> bool {
        let left = self.left();
        let record = left.get(&key).map(|bytes| Record::from_bytes(bytes));
        // An unreadable record may be that of a saved domain.
        record.is_some_and(|record| record.map_or(true, |record| record.is_saved()))
    }

    /// Returns the file that the wish for `key` comes from. The record must not have been taken.
    #[must_use]
    pub fn file(&self, key: Uuid) -> Option<WishFile> {
        let left = self.left();
        let origin = Record::from_bytes(left.get(&key)?).ok()?.origin()?;
        WishFile::of(&origin).ok()
    }

    /// Takes the record of a key, for its worker.
    #[must_use]
    pub fn take(&self, key: Uuid) -> Option<Bytes> {
        self.left().remove(&key)
    }

    /// Passes a new record, with the events since the previous one, to the journal, if there is one.
    #[must_use]
    pub fn put(&self, entry: Entry, haste: Haste) -> Option<Ticket> {
        Some(self.journal.as_ref()?.submit(Change::Put(entry), haste))
    }

    /// Removes the record of a key from the journal. The events of its domain stay, and `last` is added.
    #[must_use]
    pub fn remove(&self, key: Uuid, last: Event) -> Option<Ticket> {
        Some(
            self.journal
                .as_ref()?
                .submit(Change::Remove(key, vec![last]), Haste::Now),
        )
    }

    /// Returns the journal; `None` if it is damaged.
    #[must_use]
    pub fn journal(&self) -> Option<Journal> {
        self.journal.clone()
    }

    /// Stores a value about the host in the journal.
    #[must_use]
    pub fn set(&self, name: &'static str, value: String) -> Option<Ticket> {
        Some(
            self.journal
                .as_ref()?
                .submit(Change::Set(name, value), Haste::Now),
        )
    }

    /// The last settings that could be read.
    #[must_use]
    pub fn last_settings(&self) -> Option<String> {
        let settings = self.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores settings that could be read.
    pub fn keep_settings(&self, text: &str) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if settings.as_deref() == Some(text) {
            return;
        }
        *settings = Some(text.to_owned());
        // If this fails, the next run of the agent has the previous settings.
        drop(self.set(SETTINGS, text.to_owned()));
    }

    fn left(&self) -> MutexGuard<'_, HashMap<Uuid, Bytes>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
