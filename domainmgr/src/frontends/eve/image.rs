//! `ImageStatus`, as EVE read it in 2019.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::status::go_time;

/// Status of one copy of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageStatus {
    /// Name of the file, which is the key.
    pub filename: String,
    /// Path of the file.
    pub file_location: String,
    /// Number of domains that need the copy.
    pub ref_count: u32,
    /// Time at which the copy was last seen to be needed.
    #[serde(with = "go_time")]
    pub last_use: Option<OffsetDateTime>,
    /// Length of the file in bytes.
    pub size: u64,
}
