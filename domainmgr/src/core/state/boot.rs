//! A boot: what is being done to get a domain to run.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::base::time::Time;
use crate::spec::Spec;

/// Progress in getting a domain to run.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Boot {
    pub(in crate::core) cause: Cause,
    /// The boot failed for good, and is tried again later.
    pub(in crate::core) failed: Option<Failure>,
    pub(in crate::core) rest: Rest,
    /// Wall-clock time of the next attempt, for people.
    pub(in crate::core) next_retry: Option<OffsetDateTime>,
    /// Spec of the last domain of a guest that is restarted: the config may have changed since that was built.
    pub(in crate::core) rebuild: Option<Arc<Spec>>,
    /// Name of a domain whose create failed, if Xen has not been searched since for the remains of that create.
    pub(in crate::core) remains: Option<String>,
    pub(in crate::core) turn: Turn,
    /// The domain has waited for its turn, so that what is known of Xen may be out of date.
    pub(in crate::core) waited: bool,
}

/// Turn of a domain among those that are to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum Turn {
    #[default]
    Unasked,
    /// Somebody has called while the worker was asking, so that it asks again.
    Called,
    /// These start first.
    Waits(String),
    Come,
}

/// Reason for which a domain is to be built, or is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum Cause {
    /// The wish or an order, whatever it says.
    #[default]
    Wish,
    /// A restart: the guest has ended and its action says so, or the wish changed while the domain was brought down.
    Restart,
    /// The guest ended, and its action does not restart it at once.
    Ended,
    /// An outsider ended the domain, so it may go on elsewhere: only a newer wish builds it again.
    Vanished,
}

/// Kind of a boot's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Failure {
    /// Another domain of this agent has something that this one needs.
    InUse,
    Other,
}

/// Earliest time at which the domain may be built, or started if it is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum Rest {
    #[default]
    Ready,
    Until(Time),
    /// Not before a newer wish.
    Ended,
}

impl Boot {
    /// A boot for this reason, of which nothing has been done.
    pub(in crate::core) fn of(cause: Cause) -> Self {
        Self {
            cause,
            ..Self::default()
        }
    }

    /// A restart of a guest whose last domain was built from `spec`, if that is known.
    pub(in crate::core) fn again(spec: Option<Arc<Spec>>) -> Self {
        Self {
            rebuild: spec,
            ..Self::of(Cause::Restart)
        }
    }

    /// Returns whether a restart is under way.
    pub(in crate::core) fn is_restart(&self) -> bool {
        self.cause == Cause::Restart
    }

    /// Returns whether the last domain ended although it should have run.
    pub(in crate::core) fn has_ended(&self) -> bool {
        matches!(self.cause, Cause::Ended | Cause::Vanished)
    }

    /// Builds the domain for the wish alone from now on, if it was to be restarted.
    pub(in crate::core) fn no_restart(&mut self) {
        if self.is_restart() {
            self.cause = Cause::Wish;
        }
    }

    /// Forgets how the last domain ended.
    pub(in crate::core) fn forget_end(&mut self) {
        if self.has_ended() {
            self.cause = Cause::Wish;
        }
    }

    /// Ends every wait.
    pub(in crate::core) fn at_once(&mut self) {
        self.failed = None;
        self.rest = Rest::Ready;
        self.next_retry = None;
    }
}
