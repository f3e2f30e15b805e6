//! Limit on the number of domains that are built at the same time.
//!
//! Building a domain takes many transactions in xenstored. xenstored has one thread, and of two conflicting transactions
//! it makes one start over. More builders than dom0 has processors only slow each other down. A build that hangs must not
//! block the others, so a build that takes long no longer counts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::{Error, ErrorKind, Limits, Result};

/// Time after which a build no longer counts: by then it hangs, or does not keep xenstored busy all the time.
const LONG: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct BuildSlots {
    most: usize,
    long: Duration,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Numbers and threads of the waiting builds: first come, first served.
    waiting: VecDeque<(u64, Thread)>,
    /// Numbers of the builds under way, and the time at which each began.
    under_way: Vec<(u64, Instant)>,
}

impl Table {
    fn wake_first(&self) {
        if let Some((_, thread)) = self.waiting.front() {
            thread.unpark();
        }
    }
}

/// A build under way. Its slot is released when this is dropped.
#[derive(Debug)]
pub(super) struct Start {
    slots: Arc<BuildSlots>,
    number: u64,
}

impl Drop for Start {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        table.under_way.retain(|(n, _)| *n != self.number);
        table.wake_first();
    }
}

impl Default for BuildSlots {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(processors.max(2), LONG)
    }
}

impl BuildSlots {
    fn new(most: usize, long: Duration) -> Self {
        Self {
            most,
            long,
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free slot.
    ///
    /// # Errors
    /// [`ErrorKind::Aborted`] if `limits` abort the wait.
    pub(super) fn begin(self: &Arc<Self>, limits: &Limits) -> Result<Start> {
        let me = thread::current();
        let number = {
            let mut table = self.table();
            let number = table.next;
            table.next += 1;
            table.waiting.push_back((number, me.clone()));
            number
        };
        limits.abort.on_abort(move || me.unpark());
        loop {
            let patience = {
                let mut table = self.table();
                if limits.abort.is_aborted() {
                    table.waiting.retain(|(n, _)| *n != number);
                    table.wake_first();
                    return Err(Error::new(ErrorKind::Aborted, "aborted"));
                }
                let now = Instant::now();
                table
                    .under_way
                    .retain(|(_, since)| now < *since + self.long);
                let first = table.waiting.front().is_some_and(|(n, _)| *n == number);
                if first && table.under_way.len() < self.most {
                    table.waiting.pop_front();
                    table.under_way.push((number, now));
                    // There may be a slot for the next build, too.
                    table.wake_first();
                    return Ok(Start {
                        slots: Arc::clone(self),
                        number,
                    });
                }
                // Only the first in the queue waits with a timeout. The others are woken when it leaves the queue.
                let oldest = table.under_way.iter().map(|(_, since)| *since).min();
                oldest
                    .filter(|_| first)
                    .map(|since| (since + self.long).saturating_duration_since(now))
            };
            // A later change of the table unparks this thread, even if the thread has not parked yet.
            match patience {
                Some(time) => thread::park_timeout(time),
                None => thread::park(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::AbortToken;
    use super::*;

    fn limits() -> Limits {
        Limits {
            abort: AbortToken::new(),
            deadline: None,
        }
    }

    #[test]
    fn so_many_at_once_and_no_more() {
        let slots = Arc::new(BuildSlots::new(3, Duration::from_secs(600)));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..30 {
                scope.spawn(|| {
                    let _slot = slots.begin(&limits()).unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert!(slots.table().under_way.is_empty() && slots.table().waiting.is_empty());
    }

    #[test]
    fn nobody_waits_for_what_hangs() {
        let slots = Arc::new(BuildSlots::new(2, Duration::from_millis(50)));
        let begin = Instant::now();
        let hung = [(); 2].map(|()| slots.begin(&limits()).unwrap());
        for _ in 0..20 {
            drop(slots.begin(&limits()).unwrap());
        }
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_millis(50), "{waited:?}");
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        drop(hung);
    }

    #[test]
    fn who_is_aborted_waits_no_longer_and_is_in_nobodys_way() {
        let slots = Arc::new(BuildSlots::new(1, Duration::from_secs(600)));
        let only = slots.begin(&limits()).unwrap();
        let aborted = limits();
        thread::scope(|scope| {
            let first = scope.spawn(|| slots.begin(&aborted).unwrap_err());
            while slots.table().waiting.is_empty() {
                thread::yield_now();
            }
            let second = scope.spawn(|| drop(slots.begin(&limits()).unwrap()));
            while slots.table().waiting.len() < 2 {
                thread::yield_now();
            }
            aborted.abort.abort();
            assert_eq!(first.join().unwrap().kind, ErrorKind::Aborted);
            drop(only);
            second.join().unwrap();
        });
        assert!(slots.begin(&aborted).is_err());
    }
}
