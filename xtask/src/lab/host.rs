//! The two hosts of a pair.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};

/// One of two hosts that a cable joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// The host on which commands run.
    Alpha,
    /// The host that is reached from alpha.
    Beta,
}

impl Host {
    /// Both hosts.
    pub(crate) const BOTH: [Self; 2] = [Self::Alpha, Self::Beta];

    /// Returns the host with this name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        match name {
            "alpha" => Ok(Self::Alpha),
            "beta" => Ok(Self::Beta),
            _ => bail!("no host is called {name}: the hosts are alpha and beta"),
        }
    }

    /// Name of the host, and of its dom0.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
        }
    }

    /// The host at the other end of the cable.
    pub(crate) fn peer(self) -> Self {
        match self {
            Self::Alpha => Self::Beta,
            Self::Beta => Self::Alpha,
        }
    }

    /// Position in [`Self::BOTH`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Alpha => 0,
            Self::Beta => 1,
        }
    }

    /// Address of dom0 on the cable.
    pub(crate) fn address(self) -> Ipv4Addr {
        match self {
            Self::Alpha => Ipv4Addr::new(192, 168, 99, 1),
            Self::Beta => Ipv4Addr::new(192, 168, 99, 2),
        }
    }

    /// Hexadecimal digit by which the hardware addresses and the UUIDs of the two computers differ.
    pub(crate) fn digit(self) -> char {
        match self {
            Self::Alpha => 'a',
            Self::Beta => 'b',
        }
    }
}
