//! Bounds of one call, and the reasons why it fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::field_error::FieldError;
use crate::base::progress::Progress;
use crate::base::queue::Queue;
use crate::toolstack::Limits;

/// Returns the queue for copies. A disk is read and written fastest by few at a time; a copy that takes longer than a minute
/// makes room for others, which may be of other disks.
#[must_use]
pub fn copies_at_once() -> Queue {
    Queue::until_long(4, Duration::from_secs(60))
}

/// Reason why the disks are not ready.
#[derive(Debug)]
pub enum Failure {
    /// The config asks for something that is impossible or missing.
    Config(FieldError),
    /// An error that may not occur the next time.
    Other(String),
    /// The call was ended early.
    Aborted,
}

impl From<FieldError> for Failure {
    fn from(e: FieldError) -> Self {
        Self::Config(e)
    }
}

/// Bounds of one call.
#[allow(missing_debug_implementations, reason = "a closure has none")]
pub struct Bounds<'a> {
    /// Ends the call early.
    pub limits: &'a Limits,
    /// The queue for copies.
    pub queue: &'a Arc<Queue>,
    /// Called with the progress now and then.
    pub progress: &'a mut dyn FnMut(Progress),
    /// The most bytes per second that are copied. Simulations use it as a slow disk.
    pub rate: Option<u64>,
}

pub(super) fn other(path: &str, e: &io::Error) -> Failure {
    Failure::Other(format!("{path}: {e}"))
}
