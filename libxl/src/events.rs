//! Queues of events, for a reader that takes them at its own pace.

use std::{
    fmt,
    os::fd::BorrowedFd,
    pin::Pin,
    sync::{
        Arc,
        mpsc::{RecvError, RecvTimeoutError, TryRecvError},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_core::Stream;

use crate::{
    Error, Result,
    queue::{Empty, Patience, Queue},
};

/// Default capacity of a queue: the largest number of events that wait to be read.
pub(crate) const CAPACITY: usize = 1024;

/// The reading end of a bounded queue of events.
///
/// Events can be read in the way that suits the program: blocking ([`recv`](Self::recv),
/// [`recv_timeout`](Self::recv_timeout), a `for` loop), without waiting
/// ([`try_recv`](Self::try_recv)), many at a time ([`batch`](Self::batch)), by a task
/// ([`next`](Self::next), and as a [`Stream`]), and from the program's own loop
/// ([`descriptor`](Self::descriptor)).
///
/// The queue is bounded, and its writer never waits. A reader that is too slow misses events, and
/// [`missed`](Self::missed) counts them. Nothing more comes after the watch, or the watcher, has
/// been dropped.
///
/// ```no_run
/// use std::time::Duration;
///
/// use libxl::{Context, Watcher};
///
/// let watcher = Watcher::start(Context::builder())?;
/// let events = watcher.watch_all()?;
/// // Everything that is known of the host by now, with one lock.
/// for event in events.batch()? {
///     println!("{event}");
/// }
/// while let Ok(event) = events.recv_timeout(Duration::from_secs(60)) {
///     println!("{event}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Events<T>(Arc<Queue<T>>);

/// The writing end. Dropping it closes the queue.
pub(crate) struct Feed<T>(Arc<Queue<T>>);

/// Makes a queue of this capacity.
pub(crate) fn queue<T>(capacity: usize) -> (Feed<T>, Events<T>) {
    let queue = Arc::new(Queue::new(capacity));
    (Feed(Arc::clone(&queue)), Events(queue))
}

impl<T> Feed<T> {
    pub(crate) fn queue(&self) -> &Queue<T> {
        &self.0
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Events<T> {
    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// When no event will come any more.
    pub fn recv(&self) -> std::result::Result<T, RecvError> {
        self.0.take(Patience::Endless).map_err(|_| RecvError)
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    ///
    /// When there is no event, or none will come any more.
    pub fn try_recv(&self) -> std::result::Result<T, TryRecvError> {
        self.0.take(Patience::None).map_err(|empty| match empty {
            Empty::Yet => TryRecvError::Empty,
            Empty::ForEver => TryRecvError::Disconnected,
        })
    }

    /// Waits for the next event, for `time` at most.
    ///
    /// # Errors
    ///
    /// When no event has come in this time, or none will come any more.
    pub fn recv_timeout(&self, time: Duration) -> std::result::Result<T, RecvTimeoutError> {
        self.0.take(within(time)).map_err(timed_out)
    }

    /// Waits until there is an event, and takes all that there are, the oldest first.
    ///
    /// # Errors
    ///
    /// When no event will come any more.
    pub fn batch(&self) -> std::result::Result<Vec<T>, RecvError> {
        let all = self.0.take_all(Patience::Endless);
        all.map(Vec::from).map_err(|_| RecvError)
    }

    /// As [`batch`](Self::batch), but waits for `time` at most.
    ///
    /// # Errors
    ///
    /// When no event has come in this time, or none will come any more.
    pub fn batch_timeout(&self, time: Duration) -> std::result::Result<Vec<T>, RecvTimeoutError> {
        let all = self.0.take_all(within(time));
        all.map(Vec::from).map_err(timed_out)
    }

    /// The next event, for a task of any executor; `None` when none will come any more.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|task| self.0.poll_take(task)).await
    }

    /// Number of events so far that were not read in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.missed()
    }

    /// A descriptor that is readable (`POLLIN`) while there are events, or when none will come any
    /// more. It needs no handling except that the events are read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if no descriptor can be created.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        self.0.descriptor().map_err(|e| Error::io("eventfd", e))
    }
}

fn within(time: Duration) -> Patience {
    match Instant::now().checked_add(time) {
        Some(deadline) => Patience::Until(deadline),
        None => Patience::Endless,
    }
}

fn timed_out(empty: Empty) -> RecvTimeoutError {
    match empty {
        Empty::Yet => RecvTimeoutError::Timeout,
        Empty::ForEver => RecvTimeoutError::Disconnected,
    }
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_take(task)
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

/// Iterator that waits for each event, and ends when none will come any more.
#[derive(Debug)]
pub struct IntoIter<T>(Events<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> IntoIterator for Events<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

/// As [`IntoIter`], for a borrowed [`Events`].
#[derive(Debug)]
pub struct Iter<'a, T>(&'a Events<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Events<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        Iter(self)
    }
}

#[cfg(all(test, not(libxl_loom)))]
mod tests;
