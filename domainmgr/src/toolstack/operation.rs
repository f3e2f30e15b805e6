//! Limits of an operation that takes time.

use std::time::Duration;

use crate::base::abort::AbortToken;

/// Time limit of an operation, and the means to abort it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Token that ends the operation from outside.
    pub abort: AbortToken,
    /// Longest time that the operation may take.
    pub deadline: Option<Duration>,
    /// A person waits for the operation: it begins before others that have to wait.
    pub urgent: bool,
}
