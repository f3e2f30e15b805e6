//! Files that hold the memory of domains, as the toolstack reads them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

/// Reads from a file that holds the memory of a domain which domain that is.
#[derive(Clone)]
pub struct SavedFiles(Arc<Read>);

type Read = dyn Fn(&Path) -> Result<Uuid, String> + Send + Sync;

impl fmt::Debug for SavedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedFiles").finish_non_exhaustive()
    }
}

impl SavedFiles {
    /// One that reads with `read`.
    #[must_use]
    pub fn new(read: impl Fn(&Path) -> Result<Uuid, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Returns the uuid of the domain whose memory is in the file at `path`.
    pub(super) fn uuid(&self, path: &Path) -> Result<Uuid, String> {
        (self.0)(path)
    }
}
