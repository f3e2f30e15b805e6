//! Reason for which a domain shut down.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Reason for which a domain shut down. The guest may choose any number, so this is not an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShutdownReason(pub u8);

impl ShutdownReason {
    /// The guest powered itself off.
    pub const POWEROFF: Self = Self(0);
    /// The guest wants to be started again.
    pub const REBOOT: Self = Self(1);
    /// The guest suspended, for a save or a migration. It has not ended.
    pub const SUSPEND: Self = Self(2);
    /// The guest crashed.
    pub const CRASH: Self = Self(3);
    /// The guest's watchdog fired.
    pub const WATCHDOG: Self = Self(4);
    /// The guest wants a soft reset (kexec).
    pub const SOFT_RESET: Self = Self(5);
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::POWEROFF => "poweroff",
            Self::REBOOT => "reboot",
            Self::SUSPEND => "suspend",
            Self::CRASH => "crash",
            Self::WATCHDOG => "watchdog",
            Self::SOFT_RESET => "soft-reset",
            Self(other) => return write!(f, "reason {other}"),
        })
    }
}
