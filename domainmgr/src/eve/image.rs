//! ImageStatus, as EVE read it in 2019.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::status::go_time;

/// What is said about one copy of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageStatus {
    /// The name of the file, which is the key.
    pub filename: String,
    /// Its path.
    pub file_location: String,
    /// How many domains need it.
    pub ref_count: u32,
    /// When it was last seen to be needed.
    #[serde(with = "go_time")]
    pub last_use: Option<OffsetDateTime>,
    /// Its length in bytes.
    pub size: u64,
}
