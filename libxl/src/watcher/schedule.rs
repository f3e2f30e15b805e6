//! Times of looks that need no event. Pure but for the clock that is passed in.

use std::time::{Duration, Instant};

/// Default interval between two looks at all watched domains when no event arrives.
///
/// Up to a tenth of the interval is added, so that many hosts do not look in step.
pub const RESYNC: Duration = Duration::from_secs(30);

/// Interval between two looks at a suspended domain in the beginning.
///
/// Nothing reports that somebody else resumes a domain, and an operator who does that expects to
/// see it.
const SUSPENDED: Duration = Duration::from_secs(1);
/// Time for which that interval holds; then the intervals grow up to that of the resync.
const EAGER: Duration = Duration::from_secs(60);

/// The longest time between two looks at all domains: clocks have an end.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The next time to look at all domains.
pub(super) fn next_resync(now: Instant, interval: Duration) -> Instant {
    let interval = interval.min(YEAR);
    // The clock's own low digits spread the hosts well enough.
    let jitter = u32::from(u8::try_from(now.elapsed().as_nanos() % 256).unwrap_or(0));
    now + interval + interval / 10 * jitter / 256
}

/// The next time to look at a domain that has been suspended since `since`.
pub(super) fn next_suspended(since: Instant, now: Instant) -> Instant {
    let been = now.saturating_duration_since(since);
    now + if been < EAGER {
        SUSPENDED
    } else {
        (been / 60).clamp(SUSPENDED, RESYNC)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{RESYNC, next_resync, next_suspended};

    #[test]
    fn a_resync_comes_within_a_tenth_of_its_interval() {
        let now = Instant::now();
        let wait = next_resync(now, RESYNC) - now;
        assert!(wait >= RESYNC && wait <= RESYNC + RESYNC / 10, "{wait:?}");
    }

    #[test]
    fn a_suspended_domain_is_looked_at_ever_more_seldom() {
        let since = Instant::now();
        let wait = |secs| {
            let now = since + Duration::from_secs(secs);
            (next_suspended(since, now) - now).as_secs()
        };
        assert_eq!(
            [wait(0), wait(59), wait(120), wait(600), wait(86_400)],
            [1, 1, 2, 10, 30]
        );
    }
}
