//! Progress of an operation that copies much: an image, or the memory of a domain.

use std::time::{Duration, Instant};

/// Interval at which progress is published.
const TELL: Duration = Duration::from_millis(500);

/// Pace at which progress is published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    told: Option<Instant>,
}

impl Pace {
    /// Returns whether progress is to be published now.
    pub fn is_due(&mut self) -> bool {
        let due = self.told.is_none_or(|told| told.elapsed() >= TELL);
        if due {
            self.told = Some(Instant::now());
        }
        due
    }
}

/// Progress of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Index of the disk whose image is copied; `None`: the memory of the domain is.
    pub disk: Option<usize>,
    /// Number of bytes that are done.
    pub done: u64,
    /// Number of bytes in total.
    pub total: u64,
}

impl Progress {
    /// Returns the progress in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let part = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u8::try_from(part.min(100)).unwrap_or(100)
    }
}
