//! DomainStatus files: written for others. The agent reads only the files that an earlier agent has left.

use std::path::Path;

use crate::base::json;
use crate::base::store::{self, ReadError};
use crate::frontends::eve::DomainStatus;

/// Reads a DomainStatus; `None` if there is none.
///
/// # Errors
/// The file exists, and cannot be read; the text gives the reason.
pub fn read_status(path: &Path) -> Result<Option<DomainStatus>, String> {
    match store::read(path) {
        Ok(text) => json::parse(&text).map(Some).map_err(|e| e.to_string()),
        Err(ReadError::Gone) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

pub(super) fn to_text(status: &DomainStatus) -> std::io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(status)?;
    text.push(b'\n');
    Ok(text)
}
