//! Other domains with the uuid of the key.

use serde::{Deserialize, Serialize};

use super::names::is_incoming;
use crate::toolstack::{DomainId, Life};

/// A domain with our uuid that is not the managed one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Sibling {
    pub(in crate::core) id: DomainId,
    pub(in crate::core) name: Option<String>,
    pub(in crate::core) life: Life,
    /// The domain is kept for somebody to look into: it is neither taken for our domain nor destroyed.
    pub(in crate::core) kept: bool,
}

impl Sibling {
    /// Returns a domain that was known to be kept, by its id only. The first look tells whether it is still there.
    pub(in crate::core) fn kept_before(id: DomainId) -> Self {
        Self {
            id,
            name: None,
            life: Life::Dying,
            kept: true,
        }
    }

    /// Returns whether the domain is the receiving end of a migration.
    pub(in crate::core) fn is_incoming(&self) -> bool {
        is_incoming(self.name.as_deref())
    }
}
