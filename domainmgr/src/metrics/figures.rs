//! What was measured last.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::toolstack::{HostInfo, Usage};

/// One measurement.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Of the host.
    pub host: HostInfo,
    /// Of each domain, dom0 among them.
    pub usage: Vec<Usage>,
    /// When.
    pub at: OffsetDateTime,
}

/// The last measurement, if there was one.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Option<Arc<Sample>>>);

impl Figures {
    /// It was this.
    pub fn set(&self, sample: Sample) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sample));
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Sample>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
