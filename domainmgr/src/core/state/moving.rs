//! A guest on its way to another host, or from one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::backoff::Backoff;
use crate::host::remote::Destination;

/// A guest that was given away: it may run at the other host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Moving {
    pub(in crate::core) to: Arc<Destination>,
    /// Name of the user that has the guest moved.
    pub(in crate::core) by: String,
    /// Time at which the guest was given away.
    pub(in crate::core) since: OffsetDateTime,
    /// This run of the agent has yet to say GO. The next one would not know whether it has.
    #[serde(skip)]
    pub(in crate::core) unsaid: bool,
    /// Knowledge of the other side.
    #[serde(default)]
    pub(in crate::core) word: Word,
    /// Attempts to ask the other side.
    #[serde(skip)]
    pub(in crate::core) asking: Backoff,
    /// The last reason why the other side could not be asked.
    #[serde(skip)]
    pub(in crate::core) silence: Option<String>,
}

/// Knowledge of the other side, once a guest was given away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum Word {
    /// The other side may have heard GO, and has not answered.
    #[default]
    Unheard,
    /// The guest runs there.
    Runs,
    /// The guest does not run there, and never will.
    Never,
}

/// Answer of the other side to the question what became of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// The guest runs there, or has run there.
    Runs,
    /// The guest does not run there, and never will.
    Never,
}

/// A guest that has gone to another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) struct Moved {
    /// The other host, as the operator has named it.
    pub(in crate::core) to: String,
    /// Name of the user that had the guest moved.
    pub(in crate::core) by: String,
    pub(in crate::core) at: OffsetDateTime,
    /// The other host has said that the guest runs there.
    pub(in crate::core) confirmed: bool,
}

/// Progress of a guest that comes from another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum Arrival {
    /// It is here, and must not run before its source says so.
    Waits(Uuid),
    /// It may run here, and only here.
    Granted(Uuid),
}

impl Arrival {
    /// Returns the number of the migration.
    pub(in crate::core) fn token(self) -> Uuid {
        match self {
            Self::Waits(token) | Self::Granted(token) => token,
        }
    }
}
