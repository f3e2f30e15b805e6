//! Pauses between attempts.

use std::time::Duration;

use crate::base::time::Time;

/// Number of failed attempts at an operation, and time of the next attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::core) struct Backoff {
    pub(in crate::core) failures: u32,
    pub(in crate::core) next: Option<Time>,
}

impl Backoff {
    /// Counts a failure. Returns the pause before the next attempt: 5 s, 10 s, 20 s … 60 s.
    pub(in crate::core) fn fail(&mut self, now: Time) -> Duration {
        let pause = doubling(Duration::from_secs(5), self.failures);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + pause);
        pause
    }

    /// Returns the time of the next attempt, if it lies ahead.
    pub(in crate::core) fn waiting(&self, now: Time) -> Option<Time> {
        self.next.filter(|&at| at > now)
    }
}

/// Returns `first`, doubled `times` times, but at most a minute.
pub(in crate::core) fn doubling(first: Duration, times: u32) -> Duration {
    first
        .saturating_mul(1 << times.min(10))
        .min(Duration::from_secs(60))
}
