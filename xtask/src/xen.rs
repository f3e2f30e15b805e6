//! The Xen versions that the lab supports, and the Debian releases that have them.

use std::fmt;

use clap::ValueEnum;

/// A Xen version, with the Debian release that ships it.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Xen {
    /// Debian 12
    #[value(name = "4.17")]
    V4_17,
    /// Debian 13
    #[value(name = "4.20")]
    V4_20,
}

impl Xen {
    /// The version as in the names of packages and of the hypervisor's file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V4_17 => "4.17",
            Self::V4_20 => "4.20",
        }
    }

    /// Version of the C library in that Debian release.
    pub(crate) fn libc(self) -> (u32, u32) {
        match self {
            Self::V4_17 => (2, 36),
            Self::V4_20 => (2, 41),
        }
    }

    /// Code name of the Debian release.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::V4_17 => "bookworm",
            Self::V4_20 => "trixie",
        }
    }
}

impl fmt::Display for Xen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
