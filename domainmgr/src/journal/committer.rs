//! The thread that commits all gathered changes as one transaction.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use uuid::Uuid;

use super::events::Page;
use super::store::{Change, Entry, Store};
use crate::base::crash_points;
use crate::base::services::Services;

/// Maximum number of changes in one transaction.
const MOST: usize = 4096;

struct Request {
    change: Change,
    done: Sender<Result<(), Arc<str>>>,
}

/// A request for events, to the thread that has the file.
struct Question {
    after: i64,
    key: Option<Uuid>,
    answer: Sender<Result<Page, String>>,
}

/// A handle to the thread that writes. Clones refer to the same thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Journal {
    requests: Sender<Request>,
    questions: Sender<Question>,
    followers: Arc<Mutex<Vec<Followed>>>,
}

/// A [`Follower`] that is told of new events, for as long as it holds the other reference.
type Followed = (Arc<()>, Sender<()>);

/// A subscription, which is woken when there may be more events.
#[derive(Debug)]
pub struct Follower {
    news: Receiver<()>,
    _alive: Arc<()>,
}

impl Follower {
    /// Receives a message when there may be more events.
    #[must_use]
    pub fn news(&self) -> &Receiver<()> {
        &self.news
    }

    /// Waits for news, but no longer than this.
    pub fn wait(&self, patience: Duration) {
        let _ = self.news.recv_timeout(patience);
    }
}

/// A change on its way to the disk.
#[derive(Debug)]
#[must_use]
pub struct Ticket(Receiver<Result<(), Arc<str>>>);

impl Ticket {
    /// Waits until the change would survive a power cut.
    ///
    /// # Errors
    /// The change could not be written, and the reason. No part of it is in the journal.
    pub fn wait(&self) -> Result<(), Arc<str>> {
        self.0
            .recv()
            .unwrap_or_else(|_| Err("the thread that writes the journal has ended".into()))
    }
}

impl Journal {
    /// Starts the thread that writes to `store`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(mut store: Store, services: &Services) -> std::io::Result<Self> {
        let (requests, inbox) = unbounded::<Request>();
        let (questions, asked) = unbounded::<Question>();
        let followers: Arc<Mutex<Vec<Followed>>> = Arc::default();
        let theirs = Arc::clone(&followers);
        services.start("journal", 512 << 10, move || {
            loop {
                select! {
                    recv(inbox) -> first => match first {
                        Ok(first) => write(&mut store, first, &inbox, &theirs),
                        Err(_) => return,
                    },
                    recv(asked) -> question => {
                        // Both senders are in `Journal`: without the last clone, nobody writes either.
                        let Ok(Question { after, key, answer }) = question else { return };
                        let _ = answer.send(store.events(after, key));
                    }
                }
            }
        })?;
        Ok(Self {
            requests,
            questions,
            followers,
        })
    }

    /// Hands a change to the thread. Changes are committed in the order in which they were handed over.
    pub fn submit(&self, change: Change) -> Ticket {
        let (done, receiver) = bounded(1);
        // Without the thread the sender of the answer is dropped, and the ticket says so.
        let _ = self.requests.send(Request { change, done });
        Ticket(receiver)
    }

    /// The first events after the one with the number `after`: of `key`, or of all. At most [`PAGE`](super::PAGE).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self, after: i64, key: Option<Uuid>) -> Result<Page, String> {
        let (answer, receiver) = bounded(1);
        let _ = self.questions.send(Question { after, key, answer });
        receiver
            .recv()
            .unwrap_or_else(|_| Err("the thread that has the journal has ended".to_owned()))
    }

    /// Subscribes to new events.
    #[must_use]
    pub fn follow(&self) -> Follower {
        let (wake, news) = bounded(1);
        let alive = Arc::new(());
        let mut followers = self
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        followers.retain(|(alive, _)| Arc::strong_count(alive) > 1);
        followers.push((Arc::clone(&alive), wake));
        Follower {
            news,
            _alive: alive,
        }
    }
}

/// Commits a change, and with it whatever else has gathered.
fn write(
    store: &mut Store,
    first: Request,
    inbox: &Receiver<Request>,
    followers: &Mutex<Vec<Followed>>,
) {
    let all: Vec<Request> = std::iter::once(first)
        .chain(inbox.try_iter().take(MOST - 1))
        .collect();
    crash_points::point("before a commit");
    let written = store
        .commit(all.iter().map(|r| &r.change))
        .map_err(Arc::from);
    let removed = all.iter().any(|r| matches!(r.change, Change::Remove(..)));
    if removed && written.is_ok() {
        crash_points::point("before the log is emptied");
        // A copy of what was removed may hold secrets. The removal itself is durable either way.
        if let Err(e) = store.forget_log() {
            log::warn!("{e}");
        }
    }
    crash_points::point("after a commit");
    let news = |request: &Request| match &request.change {
        Change::Put(Entry { events, .. }) | Change::Remove(_, events) => !events.is_empty(),
        Change::Set(..) => false,
    };
    if written.is_ok() && all.iter().any(news) {
        let followers = followers.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, wake) in followers.iter() {
            // Full: the follower will look anyway. Gone: it is removed when the next one subscribes.
            let _ = wake.try_send(());
        }
    }
    for request in all {
        // The send fails if nobody waits any more: the agent is ending, or a newer change has replaced this one.
        let _ = request.done.send(written.clone());
    }
}
