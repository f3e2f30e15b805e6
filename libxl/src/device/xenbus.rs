//! The state of the negotiation between the two ends of a device.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Connection state of one end of a device.
///
/// The ends negotiate through xenstore, where a guest can write any number: hence not an
/// enumeration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct XenbusState(pub i32);

impl XenbusState {
    /// The state is not given.
    pub const UNKNOWN: Self = Self(0);
    /// The end is starting.
    pub const INITIALISING: Self = Self(1);
    /// The end waits for the other end's details.
    pub const INIT_WAIT: Self = Self(2);
    /// The end has published its details to the other end.
    pub const INITIALISED: Self = Self(3);
    /// The device works.
    pub const CONNECTED: Self = Self(4);
    /// The end is closing.
    pub const CLOSING: Self = Self(5);
    /// The end is closed.
    pub const CLOSED: Self = Self(6);
    /// The device changes while it is in use.
    pub const RECONFIGURING: Self = Self(7);
    /// The change is complete.
    pub const RECONFIGURED: Self = Self(8);
}

impl fmt::Display for XenbusState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::UNKNOWN => "unknown",
            Self::INITIALISING => "initialising",
            Self::INIT_WAIT => "waiting",
            Self::INITIALISED => "initialised",
            Self::CONNECTED => "connected",
            Self::CLOSING => "closing",
            Self::CLOSED => "closed",
            Self::RECONFIGURING => "reconfiguring",
            Self::RECONFIGURED => "reconfigured",
            Self(other) => return write!(f, "state {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::XenbusState;

    #[test]
    fn a_state_has_a_name_or_is_a_number() {
        assert_eq!(XenbusState::CONNECTED.to_string(), "connected");
        assert_eq!(XenbusState(77).to_string(), "state 77");
    }
}
