//! The real Xen, through libxl.

use std::sync::Arc;

use super::{Error, ErrorKind, Result, Toolstack};

/// Connects to the Xen this runs on.
///
/// # Errors
/// There is none, or it does not answer.
pub fn open() -> Result<Arc<dyn Toolstack>> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "this build has no libxl; try --simulate",
    ))
}

/// What `--version` says.
#[must_use]
pub fn versions() -> String {
    format!("domainmgr {}", env!("CARGO_PKG_VERSION"))
}
