//! Jobs: orders that were accepted, and what became of them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::order::{Given, Hold, Order};

/// An accepted order, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Number of the order.
    pub id: u64,
    /// The verb of the order on the command line.
    pub verb: String,
    /// Name of the user that gave the order.
    pub by: String,
    /// Time when the order was accepted.
    pub since: OffsetDateTime,
    /// Time of the end; `None` if the order is being worked off.
    pub ended: Option<OffsetDateTime>,
    /// Reason why it came to nothing, if it did.
    pub failure: Option<String>,
}

/// Orders of a key, and the hold that the last one has left.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Orders {
    /// Hold that an operator has placed. It overrides the config.
    pub(in crate::core) hold: Option<Hold>,
    /// Orders that wait, for the first look or for the end of the change under way.
    pub(in crate::core) waiting: Vec<Given>,
    /// The order that is being worked off.
    pub(in crate::core) under_way: Option<UnderWay>,
    /// The last order that has come to its end.
    pub(in crate::core) last: Option<Job>,
    /// The end of the last order has not been told yet.
    pub(in crate::core) untold: bool,
}

/// An order that is being worked off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct UnderWay {
    pub(in crate::core) given: Given,
    /// Time when the order was accepted.
    pub(in crate::core) since: OffsetDateTime,
    /// The order has been handed to Xen.
    pub(in crate::core) begun: bool,
    /// Hold that stood before the order.
    pub(in crate::core) before: Option<Hold>,
    /// The order that asks for the end of this one: its number, and the user. Its client is gone when the agent ends, and so
    /// is the operation that it aborts.
    #[serde(skip)]
    pub(in crate::core) cancel: Option<(u64, String)>,
}

impl UnderWay {
    /// Name of the user that gave the order, if it is `order` and has been handed to Xen.
    pub(in crate::core) fn is_begun(&self, order: &Order) -> Option<&str> {
        (self.begun && self.given.order == *order).then_some(self.given.by.as_str())
    }

    /// The order as people see it.
    pub(in crate::core) fn job(&self) -> Job {
        Job {
            id: self.given.id,
            verb: self.given.order.word().to_owned(),
            by: self.given.by.clone(),
            since: self.since,
            ended: None,
            failure: None,
        }
    }
}
