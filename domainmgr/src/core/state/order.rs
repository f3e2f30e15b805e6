//! Orders of an operator, and what is left of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::host::remote::Destination;
use crate::spec::Spec;
use crate::spec::change::Change;

/// End of a hold, if nobody takes it back before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// A contrary order is given, or a newer wish comes.
    #[default]
    Started,
    /// The same, or the host is started again.
    Boot,
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Run the domain, even if it has ended or its DomainConfig does not activate it.
    Start {
        /// Start the domain even if somebody else has taken it away, and it may live on elsewhere.
        anyway: bool,
        /// Discard the memory of a saved domain, and boot the domain.
        fresh: bool,
        /// End of the hold that has the domain run.
        #[serde(default)]
        until: Until,
    },
    /// Bring the domain down, and keep it down.
    Stop {
        /// Destroy the domain without asking the guest.
        destroy: bool,
        /// End of the hold that keeps the domain down.
        until: Until,
    },
    /// Bring the domain down, and run it again.
    Restart,
    /// Write the domain's memory to a file, and keep the domain down. A start goes on from the file.
    Save {
        /// End of the hold that keeps the domain down.
        until: Until,
        /// Path of the file; `None` for one of the agent's own.
        file: Option<String>,
    },
    /// Let a saved domain go on from its file.
    Restore {
        /// Path of the file, if the domain is not known to be saved.
        file: Option<String>,
    },
    /// Write the domain's memory to a core dump. The domain goes on.
    DumpCore {
        /// Path of the file; `None` for the place where the dumps of crashed guests go.
        file: Option<String>,
    },
    /// Send the domain to another host, where it goes on.
    Migrate {
        /// The other host, and the way to it.
        to: Arc<Destination>,
    },
    /// Find out what became of a guest that was given away to another host.
    Resolve,
    /// Receive the domain from another host, which waits to send it.
    Receive {
        /// Spec to build it from at its next boot here.
        spec: Arc<Spec>,
        /// Number of the migration.
        token: Uuid,
        /// End of the hold that has the domain run here.
        #[serde(default)]
        until: Until,
    },
    /// Forget a domain that is down, and that no file describes.
    Forget,
    /// Pause the domain: take the processors from it.
    Pause,
    /// Unpause the domain: give the processors back.
    Unpause,
    /// Make this change, now and whenever the domain is built again.
    Change(Arc<Change>),
    /// Give up the order with this number, which is being worked off.
    Cancel(u64),
}

impl Order {
    /// The verb of the order on the command line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart => "restart",
            Self::Save { .. } => "save",
            Self::Restore { .. } => "restore",
            Self::DumpCore { .. } => "dump-core",
            Self::Migrate { .. } => "migrate",
            Self::Resolve => "resolve",
            Self::Receive { .. } => "receive",
            Self::Forget => "forget",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Change(change) => change.word(),
            Self::Cancel(_) => "cancel",
        }
    }
}

/// An order, with its number and the user that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Number of the order, by which it is answered.
    pub id: u64,
    /// The order itself.
    pub order: Order,
    /// Name of the user that gave the order.
    pub by: String,
}

/// Answer to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order cannot be obeyed, for this reason. Nothing has changed.
    Refused(String),
    /// The order is recorded, and is worked off even if the agent ends meanwhile. A later answer tells the result.
    Accepted,
    /// The order has been obeyed.
    Done,
    /// The order was given up or came to nothing, for this reason.
    Failed(String),
}

/// The lasting effect of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The domain is to run; if false, it is not.
    pub run: bool,
    /// End of the hold, if nobody takes it back before.
    #[serde(default)]
    pub until: Until,
    /// Name of the user that placed the hold.
    pub by: String,
    /// Time when the hold was placed.
    pub since: OffsetDateTime,
}

impl Hold {
    /// Description of the hold, for people.
    pub(in crate::core) fn words(&self) -> String {
        let (what, undo) = if self.run {
            ("started", "stop")
        } else {
            ("stopped", "start")
        };
        let boot = match self.until {
            Until::Started => "",
            Until::Boot => "the host is started again, ",
        };
        format!(
            "{what} by {}, until {boot}a `domainmgr {undo}` or a newer DomainConfig",
            self.by
        )
    }
}
