//! The age of the last check of a domain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The time at which something was found out last. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(
    /// Milliseconds of the clock, and one more; 0 if it has never been found out.
    Arc<AtomicU64>,
);

impl Recent {
    /// Notes that it is found out now.
    pub(super) fn note(&self) {
        self.0.store(now() + 1, Ordering::Relaxed);
    }

    /// Returns whether it was found out at most this long ago.
    pub(super) fn is_within(&self, time: Duration) -> bool {
        is_within(time, self.0.load(Ordering::Relaxed), now())
    }
}

fn is_within(time: Duration, noted: u64, now: u64) -> bool {
    let age = noted.checked_sub(1).map(|then| now.saturating_sub(then));
    age.is_some_and(|age| u128::from(age) <= time.as_millis())
}

/// Milliseconds of the clock that is read without a system call, even where no other is: on many a host with Xen. It is up to 10 ms slow.
fn now() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a place for the time. The clock exists, so the call does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1000 + nanos / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_recent_for_as_long_as_was_said_and_only_once_it_is_known() {
        let second = Duration::from_secs(1);
        assert!(!is_within(second, 0, 0));
        assert!(!is_within(second, 0, 5));
        assert!(is_within(second, 1, 0));
        assert!(is_within(second, 5001, 6000));
        assert!(!is_within(second, 5001, 6001));
        // Another thread has noted it after this one has read the clock.
        assert!(is_within(second, 5002, 5000));
    }

    #[test]
    fn clones_know_of_each_other() {
        let one = Recent::default();
        let other = one.clone();
        assert!(!one.is_within(Duration::MAX));
        other.note();
        assert!(one.is_within(Duration::from_secs(60)));
    }
}
