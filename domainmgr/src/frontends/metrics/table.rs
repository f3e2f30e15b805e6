//! The domains whose figures are wanted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// A domain, as its worker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The version of its DomainConfig.
    pub version: String,
    /// The domain's number; 0 if there is none.
    pub domid: u32,
    /// The domain has been started.
    pub activated: bool,
}

/// The domains whose figures are wanted.
#[derive(Debug, Default)]
pub struct Table(Mutex<BTreeMap<Uuid, Measured>>);

impl Table {
    /// Sets the description of the domain of `key`.
    pub fn set(&self, key: Uuid, measured: Measured) {
        self.lock().insert(key, measured);
    }

    /// Removes the domain of `key`.
    pub fn forget(&self, key: Uuid) {
        self.lock().remove(&key);
    }

    /// Locks the table.
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Measured>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
