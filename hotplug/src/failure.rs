//! The reason of a failure, for people and for xenstore.

use std::fmt::Display;

/// The value of `hotplug-status` that stands for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Something failed.
    Error,
    /// Somebody else uses what was asked for.
    Busy,
}

impl Status {
    /// Returns the word in xenstore.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Busy => "busy",
        }
    }
}

/// Why the device cannot be connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The value of `hotplug-error`.
    pub(crate) text: String,
    pub(crate) status: Status,
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: Status::Error,
        }
    }

    pub(crate) fn busy(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: Status::Busy,
        }
    }
}

/// Names the thing that an error is about.
pub(crate) trait Names<T> {
    /// Turns an error into `thing: error`.
    fn names(self, thing: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> Names<T> for Result<T, E> {
    fn names(self, thing: impl Display) -> Result<T, Failure> {
        self.map_err(|e| Failure::new(format!("{thing}: {e}")))
    }
}
