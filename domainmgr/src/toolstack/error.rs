//! Errors of toolstack operations.

use std::fmt;

use crate::base::queue::Aborted;

/// Result of a toolstack operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Kinds of failure that the agent must tell apart. All others are [`ErrorKind::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The domain is gone, or its domid now belongs to another domain.
    NotFound,
    /// The guest has no PV drivers that could obey the request.
    NoParavirt,
    /// The operation took longer than allowed.
    TimedOut,
    /// The operation was aborted from outside.
    Aborted,
    /// The host does not have enough memory.
    NoMemory,
    /// The config cannot work, however often it is tried.
    InvalidConfig,
    /// This toolstack, or this kind of domain, does not support the operation.
    Unsupported,
    /// The agent itself lacks a resource, such as a file descriptor. The error says nothing about the domain.
    Exhausted,
    /// Another domain of the agent has something that this one needs. A waiting domain is told when that is released.
    InUse,
    /// Any other failure.
    Other,
}

/// Error of a failed operation: a kind for decisions, and a line for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Kind of failure, on which decisions are based.
    pub kind: ErrorKind,
    /// Text for the operator, in one line.
    pub message: String,
}

impl Error {
    /// Creates an error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// Returns true if no file can be opened because the process, or the host, already has too many open files.
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

impl From<Aborted> for Error {
    fn from(_: Aborted) -> Self {
        Self::new(ErrorKind::Aborted, "aborted")
    }
}
