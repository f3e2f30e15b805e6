//! Why an operation of the toolstack failed.

use std::fmt;

/// `Result` of the toolstack.
pub type Result<T> = std::result::Result<T, Error>;

/// What the agent must tell apart. Everything else is [`ErrorKind::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The domain is gone, or its number is another's now.
    NotFound,
    /// The guest has no drivers that could obey.
    NoParavirt,
    /// It took longer than it was given.
    TimedOut,
    /// It was ended from outside.
    Aborted,
    /// The host has not enough memory.
    NoMemory,
    /// The configuration cannot work, however often it is tried.
    InvalidConfig,
    /// This toolstack, or this kind of domain, cannot do it.
    Unsupported,
    /// The agent itself lacks what it takes, such as a file descriptor. Says nothing about the domain.
    Exhausted,
    /// Another domain of ours has what it needs. Who waits is told when that is given up.
    InUse,
    /// Anything else.
    Other,
}

/// A failed operation: a kind to decide on and a line to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// To decide on.
    pub kind: ErrorKind,
    /// To show: one line.
    pub message: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// Returns true if no file can be opened because the process, or the host, has too many open already.
#[must_use]
pub(super) fn no_descriptors() -> bool {
    use rustix::io::Errno;
    let failed = std::fs::File::open("/dev/null").err();
    let why = failed.as_ref().and_then(Errno::from_io_error);
    matches!(why, Some(Errno::MFILE | Errno::NFILE))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
