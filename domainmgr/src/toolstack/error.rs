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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
