//! The thread that commits all gathered changes as one transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use uuid::Uuid;

use super::events::Page;
use super::store::{Change, Entry, Store};
use crate::base::crash_points;
use crate::base::services::Services;

/// Maximum number of changes in one transaction.
const MOST: usize = 4096;

/// Time for which changes of a crowd gather: four transactions a second, however many domains start.
const GATHERING: Duration = Duration::from_millis(250);

/// Time that a change has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Somebody waits for it.
    Now,
    /// It is one of a crowd that comes piece by piece: a transaction for each would cost more than the wait for some others.
    WithOthers,
}

struct Request {
    haste: Haste,
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
    transactions: Arc<AtomicU64>,
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
        let transactions = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&transactions);
        services.start("journal", 512 << 10, move || {
            loop {
                select! {
                    recv(inbox) -> first => match first {
                        Ok(first) => {
                            write(&mut store, gather(first, &inbox), &theirs);
                            counted.fetch_add(1, Ordering::Relaxed);
                        }
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
            transactions,
        })
    }

    /// Hands a change to the thread. Changes are committed in the order in which they were handed over.
    pub fn submit(&self, change: Change, haste: Haste) -> Ticket {
        let (done, receiver) = bounded(1);
        // Without the thread the sender of the answer is dropped, and the ticket says so.
        let _ = self.requests.send(Request {
            haste,
            change,
            done,
        });
        Ticket(receiver)
    }

    /// Returns the number of transactions since the start. Each is a write that waits for the disk.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
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

/// Returns a change, and whatever gathers beside it. A change that somebody waits for ends the gathering.
fn gather(first: Request, inbox: &Receiver<Request>) -> Vec<Request> {
    let ends = Instant::now() + GATHERING;
    let mut hurry = first.haste == Haste::Now;
    let mut all = vec![first];
    while all.len() < MOST {
        let next = if hurry {
            inbox.try_recv().ok()
        } else {
            inbox.recv_deadline(ends).ok()
        };
        let Some(next) = next else { break };
        hurry |= next.haste == Haste::Now;
        all.push(next);
    }
    all
}

/// Commits changes as one transaction.
fn write(store: &mut Store, all: Vec<Request>, followers: &Mutex<Vec<Followed>>) {
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
