//! Limits on how much is done at the same time.
//!
//! Building a domain takes many transactions in xenstored. xenstored has one thread, and of two conflicting transactions
//! it makes one start over: more builders than dom0 has processors only slow each other down. The same is true of domains
//! that are destroyed, and of images that are copied from one disk to another. A context of libxl takes file descriptors.
//!
//! Work that hangs must not block the rest, so work that has taken long no longer counts. A second limit counts
//! everything: on a host where everything takes long, there would be no limit otherwise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::abort::AbortToken;

/// A queue for one kind of work, of which so much is done at once.
#[derive(Debug)]
pub struct Queue {
    most: usize,
    /// Most that may be under way, counting what has taken long.
    most_ever: usize,
    /// Time after which work no longer counts for `most`; `None` if it always does.
    long: Option<Duration>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Urgent work comes first. Otherwise: first come, first served.
    waiting: VecDeque<Waiting>,
    /// Numbers of what is under way, and the time at which each began.
    under_way: Vec<(u64, Instant)>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    urgent: bool,
    thread: Thread,
}

impl Table {
    /// Returns the number of the new entry.
    fn enqueue(&mut self, urgent: bool, thread: Thread) -> u64 {
        let number = self.next;
        self.next += 1;
        let at = if urgent {
            self.waiting.partition_point(|other| other.urgent)
        } else {
            self.waiting.len()
        };
        let entry = Waiting {
            number,
            urgent,
            thread,
        };
        self.waiting.insert(at, entry);
        number
    }

    fn is_first(&self, number: u64) -> bool {
        self.waiting
            .front()
            .is_some_and(|first| first.number == number)
    }

    fn wake_first(&self) {
        if let Some(first) = self.waiting.front() {
            first.thread.unpark();
        }
    }
}

/// Length of a queue, and the work that has left it and is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Work that waits for a place.
    pub waiting: usize,
    /// Work that has a place.
    pub under_way: usize,
}

/// The queues of the agent, each with a word for its work.
pub type Queues = Vec<(&'static str, Arc<Queue>)>;

/// The wait for a place was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

/// A place that is taken. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    queue: Arc<Queue>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.queue.table();
        table.under_way.retain(|(n, _)| *n != self.number);
        table.wake_first();
    }
}

impl Queue {
    /// A queue for work of which `most` is done at once. Work that has taken `long` makes room for other work, until four
    /// times `most` is under way.
    #[must_use]
    pub fn until_long(most: usize, long: Duration) -> Self {
        Self {
            most,
            most_ever: most * 4,
            long: Some(long),
            table: Mutex::default(),
        }
    }

    /// A queue for work of which `most` is done at once, however long it takes.
    #[must_use]
    pub fn always(most: usize) -> Self {
        Self {
            most,
            most_ever: most,
            long: None,
            table: Mutex::default(),
        }
    }

    /// Returns how much work is begun at once, as long as none takes long.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Returns how much work waits, and how much is under way.
    #[must_use]
    pub fn load(&self) -> Load {
        let table = self.table();
        Load {
            waiting: table.waiting.len(),
            under_way: table.under_way.len(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free place.
    ///
    /// Urgent work comes before other work that waits.
    ///
    /// # Errors
    /// `abort` has ended the wait.
    pub fn take(self: &Arc<Self>, abort: &AbortToken, urgent: bool) -> Result<Place, Aborted> {
        let me = thread::current();
        let number = self.table().enqueue(urgent, me.clone());
        abort.on_abort(move || me.unpark());
        loop {
            let patience = {
                let mut table = self.table();
                if abort.is_aborted() {
                    table.waiting.retain(|other| other.number != number);
                    table.wake_first();
                    return Err(Aborted);
                }
                let now = Instant::now();
                let first = table.is_first(number);
                if first && self.has_room(&table, now) {
                    table.waiting.pop_front();
                    table.under_way.push((number, now));
                    // There may be a place for the next, too.
                    table.wake_first();
                    return Ok(Place {
                        queue: Arc::clone(self),
                        number,
                    });
                }
                // Only the first in the queue waits with a timeout. The others are woken when it leaves the queue.
                first.then(|| self.next_room(&table, now)).flatten()
            };
            // A later change of the table unparks this thread, even if the thread has not parked yet.
            match patience {
                Some(time) => thread::park_timeout(time),
                None => thread::park(),
            }
        }
    }

    fn has_room(&self, table: &Table, now: Instant) -> bool {
        let counts = |since: &Instant| self.long.is_none_or(|long| now < *since + long);
        let counted = table.under_way.iter().filter(|(_, since)| counts(since));
        counted.count() < self.most && table.under_way.len() < self.most_ever
    }

    /// Returns the time until work that counts now will have taken long, if that makes room.
    fn next_room(&self, table: &Table, now: Instant) -> Option<Duration> {
        let long = self
            .long
            .filter(|_| table.under_way.len() < self.most_ever)?;
        let ends = table.under_way.iter().map(|(_, since)| *since + long);
        ends.filter(|end| *end > now)
            .min()
            .map(|end| end.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NEVER: Duration = Duration::from_secs(600);

    #[test]
    fn so_many_at_once_and_no_more() {
        let queue = Arc::new(Queue::until_long(3, NEVER));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..30 {
                scope.spawn(|| {
                    let _place = queue.take(&AbortToken::new(), false).unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert!(queue.table().under_way.is_empty() && queue.table().waiting.is_empty());
    }

    #[test]
    fn nobody_waits_for_what_hangs() {
        let queue = Arc::new(Queue::until_long(2, Duration::from_millis(50)));
        let begin = Instant::now();
        let hung = [(); 2].map(|()| queue.take(&AbortToken::new(), false).unwrap());
        for _ in 0..20 {
            drop(queue.take(&AbortToken::new(), false).unwrap());
        }
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_millis(50), "{waited:?}");
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        drop(hung);
    }

    #[test]
    fn where_all_takes_long_there_is_a_limit_nevertheless() {
        let queue = Arc::new(Queue::until_long(2, Duration::from_millis(1)));
        let hung: Vec<_> = (0..8)
            .map(|_| queue.take(&AbortToken::new(), false).unwrap())
            .collect();
        thread::scope(|scope| {
            let ninth = scope.spawn(|| drop(queue.take(&AbortToken::new(), false).unwrap()));
            while queue.table().waiting.is_empty() {
                thread::yield_now();
            }
            let (waiting, under_way) = (1, 8);
            assert_eq!(queue.load(), Load { waiting, under_way });
            // Long after all of them have taken long.
            thread::sleep(Duration::from_millis(100));
            assert!(!ninth.is_finished());
            drop(hung);
            ninth.join().unwrap();
        });
    }

    #[test]
    fn however_long_it_takes() {
        let queue = Arc::new(Queue::always(1));
        let only = queue.take(&AbortToken::new(), false).unwrap();
        let table = queue.table();
        assert!(!queue.has_room(&table, Instant::now() + NEVER));
        assert_eq!(queue.next_room(&table, Instant::now()), None);
        drop(table);
        drop(only);
        assert!(queue.has_room(&queue.table(), Instant::now()));
    }

    #[test]
    fn who_is_aborted_waits_no_longer_and_is_in_nobodys_way() {
        let queue = Arc::new(Queue::until_long(1, NEVER));
        let only = queue.take(&AbortToken::new(), false).unwrap();
        let aborted = AbortToken::new();
        thread::scope(|scope| {
            let first = scope.spawn(|| queue.take(&aborted, false).unwrap_err());
            while queue.table().waiting.is_empty() {
                thread::yield_now();
            }
            let second = scope.spawn(|| drop(queue.take(&AbortToken::new(), false).unwrap()));
            while queue.table().waiting.len() < 2 {
                thread::yield_now();
            }
            aborted.abort();
            assert_eq!(first.join().unwrap(), Aborted);
            drop(only);
            second.join().unwrap();
        });
        assert!(queue.take(&aborted, false).is_err());
    }

    #[test]
    fn what_a_person_waits_for_comes_first() {
        let mut table = Table::default();
        for urgent in [false, true, false, true] {
            table.enqueue(urgent, thread::current());
        }
        let order: Vec<_> = table.waiting.iter().map(|entry| entry.number).collect();
        assert_eq!(order, [1, 3, 0, 2]);
        assert!(table.is_first(1));
    }
}
