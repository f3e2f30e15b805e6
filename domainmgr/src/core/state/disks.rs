//! Disks of a domain, and the copies of images that were made for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::backoff::Backoff;
use crate::host::disks::Copies;
use crate::spec::{Disk, Spec};

/// State of the disks of the next domain and of the present one.
#[derive(Clone, Debug)]
pub(in crate::core) struct Disks {
    /// State, at the next build, of copies that are not preserved: fresh, or as the guest has left them.
    pub(in crate::core) copies: Copies,
    /// Spec whose disks are ready, and the same spec with every path in it.
    pub(in crate::core) ready: Option<(Arc<Spec>, Arc<Spec>)>,
    /// Disks as they were when they were last ready, after the digest of the config that they belong to.
    pub(in crate::core) shown: Option<(String, Vec<Disk>)>,
    /// Copies of images that were whole when the disks were last ready. If one is missing, it was lost, and is not one
    /// that has yet to be made.
    pub(in crate::core) whole: BTreeSet<String>,
    /// Every copy that was ever made for the key. No other file is removed.
    pub(in crate::core) made: BTreeSet<String>,
    /// There may be copies that the domain does not need while it is down.
    pub(in crate::core) untidy: bool,
    /// Failed attempts to remove such copies.
    pub(in crate::core) discarding: Backoff,
}

impl Disks {
    /// Gives up every copy: the guest uses them elsewhere.
    pub(in crate::core) fn leave(&mut self) {
        *self = Self {
            untidy: false,
            ..Self::default()
        };
    }
}

impl Default for Disks {
    fn default() -> Self {
        Self {
            copies: Copies::Fresh,
            ready: None,
            shown: None,
            whole: BTreeSet::new(),
            made: BTreeSet::new(),
            untidy: true,
            discarding: Backoff::default(),
        }
    }
}
