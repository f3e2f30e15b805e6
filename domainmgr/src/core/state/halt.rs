//! Progress in bringing a domain down.

use serde::{Deserialize, Serialize};

use crate::base::time::Time;

/// Progress in bringing the domain down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Halt {
    pub(in crate::core) stage: Stage,
    #[serde(skip)]
    pub(in crate::core) until: Time,
    /// The guest has been asked. The request cannot be withdrawn.
    pub(in crate::core) asked: bool,
    /// The request was ended early, so it is unknown whether the guest received it.
    pub(in crate::core) ask_again: bool,
    /// The guest cannot be asked through its drivers: press the power button.
    pub(in crate::core) press: bool,
    /// The power button has been pressed.
    pub(in crate::core) pressed: bool,
    /// Time to ask the guest again: early in its boot, a guest receives nothing and has no drivers yet.
    #[serde(skip)]
    pub(in crate::core) ask_at: Option<Time>,
    /// The guest was paused and has been let run again, because a paused guest receives no request.
    pub(in crate::core) unpaused: bool,
    /// An order wants the domain built again afterwards, with what its guest has written.
    #[serde(default)]
    pub(in crate::core) again: bool,
}

impl Halt {
    /// Returns the initial state: nothing has been done yet, and the guest has until `until`.
    pub(in crate::core) fn begin(until: Time) -> Self {
        Self {
            stage: Stage::Graceful,
            until,
            asked: false,
            ask_again: false,
            press: false,
            pressed: false,
            ask_at: None,
            unpaused: false,
            again: false,
        }
    }

    /// Returns the state of a domain that is destroyed.
    pub(in crate::core) fn destroying() -> Self {
        Self {
            stage: Stage::Destroy,
            ..Self::begin(Time::default())
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum Stage {
    Graceful,
    Forced,
    Destroy,
}
