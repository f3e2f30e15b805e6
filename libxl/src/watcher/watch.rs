//! The handle by which a program keeps a domain watched.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use super::{life::DomainEvent, run::Shared};
use crate::{DomainId, Result};

impl Shared {
    pub(super) fn watch<F>(self: &Arc<Self>, id: DomainId, sink: F) -> Result<Watch>
    where
        F: Fn(DomainEvent) + Send + Sync + 'static,
    {
        let number = self.add(id, Arc::new(sink))?;
        Ok(Watch {
            shared: Arc::downgrade(self),
            number,
            id,
        })
    }
}

/// A watched domain.
#[doc(alias = "libxl_evdisable_domain_death")]
#[must_use = "dropping the watch stops the events"]
pub struct Watch {
    shared: Weak<Shared>,
    number: u64,
    id: DomainId,
}

impl Watch {
    /// Identity of the watched domain.
    #[must_use]
    pub fn id(&self) -> DomainId {
        self.id
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.remove(self.number);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
