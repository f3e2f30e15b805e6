//! The last measurement.

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::toolstack::{HostInfo, Usage};

/// One measurement.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Figures of the host.
    pub host: HostInfo,
    /// Figures of each domain, dom0 included.
    pub usage: Vec<Usage>,
    /// Time of the measurement.
    pub at: OffsetDateTime,
}

/// The last measurement, if there was one.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Option<Arc<Sample>>>);

impl Figures {
    /// Stores a new measurement.
    pub fn set(&self, sample: Sample) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sample));
    }

    /// Returns the last measurement, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Sample>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
