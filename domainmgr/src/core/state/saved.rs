//! A saved domain.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::spec::Spec;

/// A domain whose memory is in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Saved {
    /// Spec that the domain was built from; `None` if unknown.
    pub(in crate::core) spec: Option<Arc<Spec>>,
    /// The file, if it is not the agent's own.
    #[serde(default)]
    pub(in crate::core) file: Option<String>,
    /// Time of the save.
    pub(in crate::core) at: OffsetDateTime,
    /// The order to restore the domain that has named the file. If it comes to nothing, the domain is not saved there.
    #[serde(default)]
    pub(in crate::core) named_by: Option<u64>,
}
