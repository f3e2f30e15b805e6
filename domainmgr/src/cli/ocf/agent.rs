//! Questions and orders to the agent, with a limit to every wait.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::decide::Found;
use crate::frontends::control::client::{Client, ClientError};
use crate::frontends::eve::DomainStatus;

/// Pause before an agent that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// End of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Failed(ClientError),
    /// The time is over, and the order is still worked off.
    Late {
        /// Number of the order, if it was accepted.
        job: Option<u64>,
    },
}

/// The agent of this node.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    run_dir: PathBuf,
}

impl Agent {
    pub(super) fn new(run_dir: PathBuf) -> Self {
        Self { run_dir }
    }

    fn socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// Returns whether an agent has run since this host was started. The run directory is empty after a start of the host.
    fn has_run(&self) -> bool {
        self.run_dir.join("domainmgr.lock").exists()
    }

    /// Finds the domain. One message, unless the agent does not answer: then it is asked again until `end`.
    pub(super) fn find(&self, name: &str, end: Instant) -> Found {
        loop {
            let (path, name) = (self.socket(), name.to_owned());
            let asked = within(end, move || Client::connect(&path)?.show(&name));
            match asked {
                None => return Found::Silent("the agent does not answer".to_owned()),
                Some(Ok(shown)) => {
                    let status = serde_json::from_value::<DomainStatus>(shown.status);
                    return match status {
                        Ok(status) => Found::Domain(Box::new(status)),
                        Err(e) => Found::Silent(format!("the agent's answer: {e}")),
                    };
                }
                Some(Err(ClientError::NoSuchDomain)) => return Found::Nobody,
                Some(Err(e @ ClientError::NotAllowed(_))) => {
                    return Found::NotAllowed(e.to_string());
                }
                Some(Err(e)) => {
                    let may_return = matches!(e, ClientError::NoAgent(..) | ClientError::Lost);
                    if may_return && !self.has_run() {
                        return Found::NeverRan;
                    }
                    if !may_return || Instant::now() + AGAIN >= end {
                        return Found::Silent(e.to_string());
                    }
                    thread::sleep(AGAIN);
                }
            }
        }
    }

    /// Gives an order, and waits for its end until `end`.
    pub(super) fn order<A>(&self, method: &'static str, arguments: A, end: Instant) -> Ending
    where
        A: Serialize + Send + 'static,
    {
        let path = self.socket();
        let (tx, replies) = mpsc::channel();
        // The thread ends with the program.
        thread::spawn(move || {
            let job = tx.clone();
            let done = Client::connect(&path).and_then(|client| {
                let take = |reply: &crate::frontends::control::wire::Ordered| {
                    let _ = job.send(Ok(reply.job));
                };
                client.order(method, arguments, true, take)
            });
            let _ = tx.send(Err(done.map(drop)));
        });
        let mut job = None;
        loop {
            match replies.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Ok(number)) => job = Some(number),
                Ok(Err(Ok(()))) => return Ending::Done,
                Ok(Err(Err(e))) => return Ending::Failed(e),
                Err(RecvTimeoutError::Timeout) => return Ending::Late { job },
                Err(RecvTimeoutError::Disconnected) => return Ending::Failed(ClientError::Lost),
            }
        }
    }

    /// Cancels an order. Returns whether it was cancelled.
    pub(super) fn cancel(&self, job: u64, end: Instant) -> bool {
        let path = self.socket();
        let done = within(end, move || Client::connect(&path)?.cancel(job));
        matches!(done, Some(Ok(_)))
    }
}

/// Calls `what` in a thread of its own. Returns `None` if it has not returned by `end`.
fn within<T: Send + 'static>(end: Instant, what: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tx, done) = mpsc::channel();
    thread::spawn(move || tx.send(what()));
    done.recv_timeout(end.saturating_duration_since(Instant::now()))
        .ok()
}
