//! Host adapters of a domain.

use super::backoff::Backoff;
use crate::spec::{Adapter, Assigned};

/// Reservation of the host adapters that the domain is to have.
#[derive(Clone, Debug)]
pub(in crate::core) struct Adapters {
    pub(in crate::core) holding: Holding,
    /// Adapters that the domain needs cannot be reserved.
    pub(in crate::core) failed: bool,
    pub(in crate::core) reserving: Backoff,
}

/// Host adapters that are reserved for the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) enum Holding {
    /// An earlier run of the agent may have left something.
    Unknown,
    Nothing,
    Held(Vec<Adapter>, Assigned),
}

impl Default for Adapters {
    fn default() -> Self {
        Self {
            holding: Holding::Nothing,
            failed: false,
            reserving: Backoff::default(),
        }
    }
}

impl Holding {
    /// Returns the devices of the `wanted` adapters, if exactly these adapters are held.
    pub(in crate::core) fn of(&self, wanted: &[Adapter]) -> Option<&Assigned> {
        match self {
            Self::Held(held, assigned) if held == wanted => Some(assigned),
            _ => None,
        }
    }
}
