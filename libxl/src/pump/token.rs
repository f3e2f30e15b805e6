//! The numbers by which operations and watches are known to libxl.

use std::sync::atomic::{AtomicU64, Ordering};

/// Identifies the operation or watch that an event belongs to; libxl's `for_user`. Never reused, so
/// that a stale event matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// Returns a token that was never used before in this process.
    ///
    /// Tokens begin far from the numbers that a program would use with libxl beside this crate.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0x7273_0000_0000_0001);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
