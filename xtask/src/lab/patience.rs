//! Deadlines for a computer that other programs may keep from running.

use std::fs;
use std::time::{Duration, Instant};

/// A deadline measured in time that the emulated computer had.
///
/// Time in which its threads waited for a processor of the host is not counted. So a computer on a busy host does not look like one that
/// hangs.
#[derive(Debug)]
pub(crate) struct Patience {
    process: u32,
    limit: Duration,
    had: Duration,
    last: (Instant, Vec<(u64, Duration)>),
}

impl Patience {
    /// Creates a deadline after `limit` of the time that QEMU's `process` gets.
    pub(crate) fn new(process: u32, limit: Duration) -> Self {
        Self {
            process,
            limit,
            had: Duration::ZERO,
            last: (Instant::now(), kept_waiting(process)),
        }
    }

    /// Restarts the deadline after progress.
    pub(crate) fn renew(&mut self) {
        self.had = Duration::ZERO;
    }

    /// Returns whether the time is over. Must be called regularly.
    pub(crate) fn is_over(&mut self) -> bool {
        let (now, waits) = (Instant::now(), kept_waiting(self.process));
        let (before, earlier) = &self.last;
        let delay = longest_delay(earlier, &waits);
        self.had += (now - *before).saturating_sub(delay);
        self.last = (now, waits);
        self.had > self.limit
    }
}

/// Returns the delay, between two readings, of the thread that waited longest.
fn longest_delay(before: &[(u64, Duration)], now: &[(u64, Duration)]) -> Duration {
    now.iter()
        .filter_map(|(thread, delay)| {
            let (_, earlier) = before.iter().find(|(other, _)| other == thread)?;
            Some(delay.saturating_sub(*earlier))
        })
        .max()
        .unwrap_or_default()
}

/// Returns for each thread of a process how long it has waited for a processor so far: the second number of its `schedstat`.
fn kept_waiting(process: u32) -> Vec<(u64, Duration)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| {
            let thread = task.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let delay = text.split_whitespace().nth(1)?.parse().ok()?;
            Some((thread, Duration::from_nanos(delay)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_that_waited_most_counts() {
        let ms = Duration::from_millis;
        let before = [(1, ms(10)), (2, ms(0))];
        let now = [(1, ms(15)), (2, ms(40)), (3, ms(900))];
        assert_eq!(
            longest_delay(&before, &now),
            ms(40),
            "a new thread has no before"
        );
    }

    #[test]
    fn a_sleeping_process_runs_out_of_time() {
        let mut patience = Patience::new(std::process::id(), Duration::from_millis(50));
        assert!(!patience.is_over());
        std::thread::sleep(Duration::from_millis(30));
        patience.renew();
        assert!(!patience.is_over() || patience.had < Duration::from_millis(50));
        while !patience.is_over() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
