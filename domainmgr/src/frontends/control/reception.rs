//! Domains that come from other hosts, as the agent receives them.

use std::fmt;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::core::Until;
use crate::host::remote::Question;
use crate::toolstack::Peer;

/// A domain that is about to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// Number of the migration.
    pub token: Uuid,
    /// End of the hold that has the domain run here.
    pub until: Until,
}

/// The migration for which a connection was upgraded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upgrade {
    pub(super) coming: Coming,
    /// Descriptors follow, by which the domain comes. Otherwise its data follows.
    pub(super) by_descriptors: bool,
}

/// The upgrade of a connection, if it has come to that.
pub(super) type Upgraded = Arc<Mutex<Option<Upgrade>>>;

/// The agent's part in the reception of domains.
pub trait Reception: Send + Sync {
    /// Receives the domain that the other end sends, in the name of `by`. Returns the uuid of the domain, which runs now.
    ///
    /// # Errors
    /// The domain is refused, or does not come: the text says why. It goes on at its source.
    fn receive(&self, peer: Peer, coming: Coming, by: &str) -> Result<Uuid, String>;

    /// Returns the result of [`Reception::receive`] for a migration that has begun, once there is one.
    ///
    /// # Errors
    /// As [`Reception::receive`], or nothing is known of this migration.
    fn result(&self, token: Uuid) -> Result<Uuid, String>;

    /// Returns the reasons why a domain may not come.
    fn refusals(&self, question: &Question) -> Vec<String>;

    /// Returns what became of a migration: `runs`, `never`, or `pending`. One that can still come to nothing is ended.
    fn fate(&self, token: Uuid) -> &'static str;
}

impl fmt::Debug for dyn Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reception").finish_non_exhaustive()
    }
}
