//! Age and reach of what is known about Xen.

use time::OffsetDateTime;

use super::backoff::Backoff;

/// Results of the last looks at Xen, and the reach of the next one.
#[derive(Clone, Debug)]
pub(in crate::core) struct Looks {
    /// The known state of Xen may be out of date.
    pub(in crate::core) stale: bool,
    /// The next look must be at all domains.
    pub(in crate::core) wide: bool,
    /// Xen has been looked at.
    pub(in crate::core) done: bool,
    /// A look at all domains, newer than any hint or operation, found none with our uuid.
    pub(in crate::core) clear: bool,
    /// Xen has not been looked at since an earlier run of the agent: the facts about the domain are as old as that run's
    /// end.
    pub(in crate::core) rejoin: bool,
    pub(in crate::core) backoff: Backoff,
    /// Reason why Xen cannot be looked at. Shown in preference to `error`, which stays as it is.
    pub(in crate::core) failure: Option<(String, OffsetDateTime)>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            stale: true,
            wide: true,
            done: false,
            clear: false,
            rejoin: false,
            backoff: Backoff::default(),
            failure: None,
        }
    }
}

impl Looks {
    /// Takes note that Xen may have changed since it was looked at: what follows needs another look.
    pub(in crate::core) fn outdate(&mut self) {
        self.stale = true;
        self.clear = false;
    }
}
