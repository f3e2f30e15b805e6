//! What a watched domain was last seen to be, and what a new look at it means. Pure.

use std::fmt;

use crate::{DomainState, ShutdownReason};

/// What happened to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DomainEvent {
    /// It stopped running. With [`ShutdownReason::SUSPEND`] this is not an end.
    Shutdown(ShutdownReason),
    /// It runs again, after a suspend or another shutdown.
    Resumed,
    /// It is gone: nothing of it is left but, perhaps, an id that is being cleared away. Comes
    /// once, is the last, and need not follow a [`Shutdown`](Self::Shutdown).
    Death,
}

impl fmt::Display for DomainEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown(reason) => write!(f, "shut down ({reason})"),
            Self::Resumed => f.write_str("resumed"),
            Self::Death => f.write_str("died"),
        }
    }
}

/// What a look found under the id of a watched domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The domain, in this state.
    State(DomainState),
    /// Nothing, or another domain.
    Gone,
}

/// What was last reported of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Running,
    Shutdown(ShutdownReason),
    Dead,
}

impl Life {
    /// What is new, if `found` is what it is now.
    pub(super) fn advance(&mut self, found: Found) -> Option<DomainEvent> {
        let next = match found {
            Found::Gone | Found::State(DomainState::Dying) => Self::Dead,
            Found::State(DomainState::Shutdown(reason)) => Self::Shutdown(reason),
            Found::State(DomainState::Running | DomainState::Paused) => Self::Running,
        };
        if *self == Self::Dead || next == *self {
            return None;
        }
        *self = next;
        Some(match next {
            Self::Running => DomainEvent::Resumed,
            Self::Shutdown(reason) => DomainEvent::Shutdown(reason),
            Self::Dead => DomainEvent::Death,
        })
    }

    /// Whether somebody may resume it without anything telling us.
    pub(super) fn is_suspended(self) -> bool {
        self == Self::Shutdown(ShutdownReason::SUSPEND)
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainEvent, Found, Life};
    use crate::{DomainState, ShutdownReason};

    /// The events of a series of looks.
    fn events(looks: &[Found]) -> Vec<DomainEvent> {
        let mut life = Life::default();
        looks
            .iter()
            .filter_map(|found| life.advance(*found))
            .collect()
    }

    const RUNS: Found = Found::State(DomainState::Running);
    const SUSPENDED: Found = Found::State(DomainState::Shutdown(ShutdownReason::SUSPEND));
    const OFF: Found = Found::State(DomainState::Shutdown(ShutdownReason::POWEROFF));
    const DYING: Found = Found::State(DomainState::Dying);

    #[test]
    fn a_suspend_that_is_resumed_does_not_hide_the_poweroff() {
        assert_eq!(
            events(&[RUNS, SUSPENDED, SUSPENDED, RUNS, OFF, DYING, Found::Gone]),
            [
                DomainEvent::Shutdown(ShutdownReason::SUSPEND),
                DomainEvent::Resumed,
                DomainEvent::Shutdown(ShutdownReason::POWEROFF),
                DomainEvent::Death,
            ]
        );
    }

    #[test]
    fn a_resume_that_nobody_saw_does_not_hide_it_either() {
        assert_eq!(
            events(&[SUSPENDED, OFF]),
            [
                DomainEvent::Shutdown(ShutdownReason::SUSPEND),
                DomainEvent::Shutdown(ShutdownReason::POWEROFF),
            ]
        );
    }

    #[test]
    fn death_comes_once_and_without_a_shutdown() {
        assert_eq!(
            events(&[RUNS, Found::Gone, Found::Gone, RUNS]),
            [DomainEvent::Death]
        );
    }

    #[test]
    fn a_paused_domain_has_not_shut_down() {
        assert_eq!(events(&[Found::State(DomainState::Paused), RUNS]), []);
    }
}
