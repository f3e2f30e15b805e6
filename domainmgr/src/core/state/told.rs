//! State of a domain at the last event of its history.

use serde::{Deserialize, Serialize};

/// State at the last event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::core) struct Told {
    pub(in crate::core) state: String,
    pub(in crate::core) domid: u32,
    pub(in crate::core) exit: Option<(String, String)>,
    pub(in crate::core) error: String,
    pub(in crate::core) held: String,
    pub(in crate::core) changed: String,
}
