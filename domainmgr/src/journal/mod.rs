//! Durable memory: one record per key, in an SQLite database that survives the agent and the host.
//!
//! The journal knows nothing of what a record says. `store` reads and writes the file; [`Journal`] is the thread that
//! commits whatever has gathered as one transaction, so that many workers share the cost of reaching the disk.

mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use uuid::Uuid;

use crate::crash;
use crate::services::Services;

pub use self::store::{Entry, FILE, OpenError, Store};

/// Most changes that one transaction takes.
const MOST: usize = 4096;

/// What is to be made durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// The record of a key replaces the one before.
    Put(Entry),
    /// The key is forgotten.
    Remove(Uuid),
    /// A value that belongs to no key.
    Set(&'static str, String),
}

struct Request {
    change: Change,
    done: Sender<Result<(), Arc<str>>>,
}

/// The way to the thread that writes. Clones lead to the same thread, which ends with the last one.
#[derive(Clone, Debug)]
pub struct Journal {
    requests: Sender<Request>,
}

/// A change on its way to the disk.
#[derive(Debug)]
#[must_use]
pub struct Ticket(Receiver<Result<(), Arc<str>>>);

impl Ticket {
    /// Waits until the change would survive a power cut.
    ///
    /// # Errors
    /// It could not be written: why. Nothing of it is in the journal.
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
        services.start("journal", 512 << 10, move || {
            while let Ok(first) = inbox.recv() {
                let all: Vec<Request> = std::iter::once(first)
                    .chain(inbox.try_iter().take(MOST - 1))
                    .collect();
                crash::point("before a commit");
                let written = store
                    .commit(all.iter().map(|r| &r.change))
                    .map_err(Arc::from);
                let removed = all.iter().any(|r| matches!(r.change, Change::Remove(_)));
                if removed && written.is_ok() {
                    // A copy of what was removed may hold secrets. The removal itself is durable either way.
                    if let Err(e) = store.forget_log() {
                        log::warn!("{e}");
                    }
                }
                crash::point("after a commit");
                for request in all {
                    // Nobody waits any more: the agent is ending, or a newer change has taken its place.
                    let _ = request.done.send(written.clone());
                }
            }
        })?;
        Ok(Self { requests })
    }

    /// Hands a change to the thread. Changes are committed in the order in which they were handed over.
    pub fn submit(&self, change: Change) -> Ticket {
        let (done, receiver) = bounded(1);
        // Without the thread the sender of the answer is dropped, and the ticket says so.
        let _ = self.requests.send(Request { change, done });
        Ticket(receiver)
    }
}

/// Puts a journal that cannot be used aside, under a name that says when.
///
/// # Errors
/// It cannot be renamed.
pub fn set_aside(dir: &Path, stamp: &str) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let from = dir.join(format!("{FILE}{suffix}"));
        let to = dir.join(format!("{FILE}.{stamp}{suffix}"));
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
