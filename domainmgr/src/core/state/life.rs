//! Questions about the life of a domain.

use crate::toolstack::{Life, ShutdownReason};

/// Returns whether the domain has ended and waits for a toolstack. A suspended domain has not ended.
pub(in crate::core) fn is_dead(life: Life) -> bool {
    matches!(life, Life::Shutdown(reason) if reason != ShutdownReason::SUSPEND)
}

/// Returns whether the domain is suspended.
pub(in crate::core) fn is_suspended(life: Life) -> bool {
    life == Life::Shutdown(ShutdownReason::SUSPEND)
}
