//! Progress of an operation that copies much: an image, or the memory of a domain.

use std::time::{Duration, Instant};

/// Interval at which progress is published.
const TELL: Duration = Duration::from_millis(500);

/// Pace at which progress is published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    told: Option<(Instant, Progress)>,
}

impl Pace {
    /// Returns the progress with its rate, if it is to be published now.
    pub fn due(&mut self, progress: Progress) -> Option<Progress> {
        self.due_at(Instant::now(), progress)
    }

    fn due_at(&mut self, now: Instant, progress: Progress) -> Option<Progress> {
        let rate = match &self.told {
            None => None,
            Some((at, _)) if now.saturating_duration_since(*at) < TELL => return None,
            Some((at, last)) => progress.rate_since(last, now.saturating_duration_since(*at)),
        };
        let progress = Progress { rate, ..progress };
        self.told = Some((now, progress));
        Some(progress)
    }
}

/// Progress of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Index of the disk whose image is copied; `None`: the memory of the domain is.
    pub disk: Option<usize>,
    /// Number of bytes that are done.
    pub done: u64,
    /// Number of bytes in total.
    pub total: u64,
    /// Bytes in a second, at the moment, where that is known.
    pub rate: Option<u64>,
}

impl Progress {
    /// Returns the progress in percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let part = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u8::try_from(part.min(100)).unwrap_or(100)
    }

    /// Returns the bytes in a second since the progress was this, or the last known rate if another part has begun since.
    fn rate_since(&self, last: &Self, time: Duration) -> Option<u64> {
        if (self.disk, self.total) != (last.disk, last.total) || self.done < last.done {
            return last.rate;
        }
        let done = u128::from(self.done - last.done) * 1000;
        u64::try_from(done / time.as_millis().max(1)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_a_pace_and_a_rate() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        let mut at = |millis: u64, done: u64, total: u64| {
            let progress = Progress {
                done,
                total,
                ..Progress::default()
            };
            let due = pace.due_at(begin + Duration::from_millis(millis), progress);
            due.map(|progress| progress.rate)
        };
        assert_eq!(at(0, 100, 9000), Some(None));
        assert_eq!(at(499, 600, 9000), None, "too early");
        assert_eq!(at(1000, 4100, 9000), Some(Some(4000)));
        // The next pass over the memory has another length.
        assert_eq!(at(2000, 10, 500), Some(Some(4000)));
        assert_eq!(at(4000, 110, 500), Some(Some(50)));
    }
}
