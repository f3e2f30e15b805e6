//! Reasons why the agent could not start, or go on.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::base::store::LockError;
use crate::frontends::control::SocketError;
use crate::journal::OpenError;

/// Reason why the agent could not start, or go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// The metrics cannot be served at this address.
    #[error("--metrics-address {address}: {source}")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// Error from the system.
        source: io::Error,
    },
    /// Another agent runs, or the lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A directory cannot be used.
    #[error("{}: {source}", path.display())]
    Dir {
        /// Path of the directory.
        path: PathBuf,
        /// Error from the system.
        source: io::Error,
    },
    /// The journal cannot be used now.
    #[error(transparent)]
    Journal(OpenError),
    /// The config directory is missing, although the journal has domains.
    #[error(
        "{}: no such directory, but {} tells of {count} domain(s); with an empty config directory they would be brought \
         down: create it if they should be",
        config.display(),
        journal.display()
    )]
    NoConfig {
        /// Path of the missing config directory.
        config: PathBuf,
        /// Path of the journal.
        journal: PathBuf,
        /// Number of domains in the journal.
        count: usize,
    },
    /// Something that the agent needs from the system failed.
    #[error("{what}: {source}")]
    System {
        /// The thing that failed, such as "signals".
        what: &'static str,
        /// Error from the system.
        source: io::Error,
    },
    /// A thread that serves all domains has ended.
    #[error(
        "the thread {name:?} has ended ({why}): start domainmgr again, the guests are left as they are"
    )]
    Service {
        /// Name of the thread.
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
