//! The last known state of a watched domain, and the events that follow from a new look at it.
//! Pure.

use std::fmt;

use crate::{DomainState, ShutdownReason};

/// A change in the life of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DomainEvent {
    /// The domain stopped running. With [`ShutdownReason::SUSPEND`] it has not ended.
    Shutdown(ShutdownReason),
    /// The domain runs again, after a suspend or another shutdown.
    Resumed,
    /// The domain is gone: nothing is left of it but, perhaps, a domid that is being cleared away.
    ///
    /// This event comes once, is the last, and need not follow a [`Shutdown`](Self::Shutdown).
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

/// Result of a look at the domid of a watched domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The domain, in this state.
    State(DomainState),
    /// No domain, or another one.
    Gone,
}

/// The last reported state of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Running,
    Shutdown(ShutdownReason),
    Dead,
}

impl Life {
    /// Takes over the state that was found, and returns the event if the state is new.
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

    /// Returns true if the domain is suspended, so that somebody may resume it without notice.
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
