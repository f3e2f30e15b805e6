//! Why the agent could not start, or go on.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::control::SocketError;
use crate::journal::OpenError;
use crate::store::LockError;

/// Why the agent could not start, or go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// Nothing can listen there.
    #[error("--metrics-address {address}: {source}")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// Another one runs, or the lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A directory cannot be used.
    #[error("{}: {source}", path.display())]
    Dir {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The journal cannot be used now.
    #[error(transparent)]
    Journal(OpenError),
    /// Nothing is known of what should run, and something did.
    #[error(
        "{}: no such directory, but {} tells of {count} domain(s); with an empty config directory they would be brought \
         down: create it if they should be",
        config.display(),
        journal.display()
    )]
    NoConfig {
        /// Where DomainConfig should be.
        config: PathBuf,
        /// Where the journal is.
        journal: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// The system lacks something.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// What happened.
        source: io::Error,
    },
    /// A thread that serves all domains has ended.
    #[error(
        "the thread {name:?} has ended ({why}): start domainmgr again, the guests are left as they are"
    )]
    Service {
        /// Its name.
        name: &'static str,
        /// The message of its panic, or that it has returned.
        why: String,
    },
    /// There is no control socket.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// A setting on the command line is wrong.
    #[error("--config {0}")]
    Setting(String),
}
