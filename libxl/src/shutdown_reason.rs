//! Reason for which a domain stopped running.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Reason for a domain's shutdown, as given by the guest or concluded by Xen.
///
/// An open number: guests can pass any value from 0 to 255 to `SCHEDOP_shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[doc(alias = "libxl_shutdown_reason")]
pub struct ShutdownReason(pub u8);

impl ShutdownReason {
    /// The guest switched itself off.
    pub const POWEROFF: Self = Self(0);
    /// The guest wants to start again.
    pub const REBOOT: Self = Self(1);
    /// The guest suspended, for a save, a migration or a checkpoint. This is not an end: the guest
    /// may be resumed.
    pub const SUSPEND: Self = Self(2);
    /// The guest crashed.
    pub const CRASH: Self = Self(3);
    /// The guest's watchdog ran out.
    pub const WATCHDOG: Self = Self(4);
    /// The guest wants its Xen state reset, to start another kernel (kexec).
    pub const SOFT_RESET: Self = Self(5);

    /// Returns true if Xen documents this reason.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 <= Self::SOFT_RESET.0
    }
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::POWEROFF => f.write_str("poweroff"),
            Self::REBOOT => f.write_str("reboot"),
            Self::SUSPEND => f.write_str("suspend"),
            Self::CRASH => f.write_str("crash"),
            Self::WATCHDOG => f.write_str("watchdog"),
            Self::SOFT_RESET => f.write_str("soft reset"),
            Self(other) => write!(f, "reason {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ShutdownReason;

    #[test]
    fn unknown_reasons_are_numbers() {
        assert_eq!(ShutdownReason(200).to_string(), "reason 200");
        assert!(!ShutdownReason(6).is_known());
        assert_eq!(ShutdownReason::SOFT_RESET.to_string(), "soft reset");
    }
}
