//! The domains of the host that have been reported, and the events that follow from a new look at
//! them. Pure.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use uuid::Uuid;

use super::life::DomainEvent;
use crate::{DomId, DomainId, DomainState};

/// Number of dead domains whose domid is remembered, for new domains with the same UUID.
const FORMER: usize = 1024;

/// A change among the domains of the host, see [`Watcher::watch_all`](super::Watcher::watch_all).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostEvent {
    /// A domain exists: the first event of every domain.
    ///
    /// The domain has appeared, was there when the watch began, or is named again after events were
    /// [missed](Self::Missed).
    #[non_exhaustive]
    Appeared {
        /// The domain.
        id: DomainId,
        /// Name of the domain. A domain that is being built has none at first.
        name: Option<String>,
        /// State of the domain at the time of the look.
        state: DomainState,
        /// Domid of the earlier domain with this UUID: the domain was restarted, or has moved to
        /// another host and back. `None` where no such domain was seen.
        former: Option<DomId>,
    },
    /// A domain has shut down, runs again, or is gone. [`DomainEvent::Death`] is the last event of
    /// a domain.
    #[non_exhaustive]
    Changed {
        /// The domain.
        id: DomainId,
        /// The change.
        event: DomainEvent,
    },
    /// A domain was renamed.
    #[non_exhaustive]
    Renamed {
        /// The domain.
        id: DomainId,
        /// The last name that was reported.
        from: Option<String>,
        /// The new name.
        to: String,
    },
    /// Events were not read in time. Forget everything that is known from earlier ones: an
    /// [`Appeared`](Self::Appeared) follows for each domain that exists.
    #[non_exhaustive]
    Missed {
        /// Number of events that were missed since the watch began.
        total: u64,
    },
}

impl fmt::Display for HostEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "(no name)".into());
        match self {
            Self::Appeared {
                id,
                name: known,
                state,
                former,
            } => {
                write!(f, "{id} {} is there: {state}", name(known))?;
                match former {
                    Some(former) => write!(f, ", formerly {former}"),
                    None => Ok(()),
                }
            }
            Self::Changed { id, event } => write!(f, "{id} {event}"),
            Self::Renamed { id, from, to } => write!(f, "{id} {} is now {to}", name(from)),
            Self::Missed { total } => write!(f, "{total} events were missed"),
        }
    }
}

/// One domain that was reported.
#[derive(Clone, Debug)]
struct Known {
    name: Option<String>,
    state: DomainState,
    former: Option<DomId>,
}

#[derive(Debug, Default)]
pub(super) struct Census {
    known: BTreeMap<DomainId, Known>,
    /// The last domains that died.
    former: VecDeque<(Uuid, DomId)>,
}

impl Census {
    /// Returns the domains of the list that have not been reported, without dom0, which is there
    /// for as long as the host is, and without domains that are dying.
    pub(super) fn unknown(
        &self,
        list: impl Iterator<Item = (DomainId, DomainState)>,
    ) -> Vec<(DomainId, DomainState)> {
        let is_new = |(id, state): &(DomainId, DomainState)| {
            id.domid != DomId::DOM0 && *state != DomainState::Dying && !self.knows(*id)
        };
        list.filter(is_new).collect()
    }

    pub(super) fn appeared(
        &mut self,
        id: DomainId,
        name: Option<String>,
        state: DomainState,
    ) -> HostEvent {
        let alive = self.known.keys().find(|known| known.uuid == id.uuid);
        let dead = self.former.iter().rev().find(|(uuid, _)| *uuid == id.uuid);
        let former = alive.map(|id| id.domid).or(dead.map(|(_, domid)| *domid));
        let known = Known {
            name,
            state,
            former,
        };
        let event = known.event(id);
        self.known.insert(id, known);
        event
    }

    /// Records an event of a domain. Returns `None` if the domain has not been reported, or its
    /// death has.
    pub(super) fn changed(&mut self, id: DomainId, event: DomainEvent) -> Option<HostEvent> {
        let known = self.known.get_mut(&id)?;
        match event {
            DomainEvent::Shutdown(reason) => known.state = DomainState::Shutdown(reason),
            DomainEvent::Resumed => known.state = DomainState::Running,
            DomainEvent::Death => {
                self.known.remove(&id);
                if self.former.len() == FORMER {
                    self.former.pop_front();
                }
                self.former.push_back((id.uuid, id.domid));
            }
        }
        Some(HostEvent::Changed { id, event })
    }

    /// Records the name of a domain. Returns `None` if the name is not new. A domain that has lost
    /// its name is being destroyed, and keeps the last name here.
    pub(super) fn named(&mut self, id: DomainId, name: Option<String>) -> Option<HostEvent> {
        let (known, to) = (self.known.get_mut(&id)?, name?);
        if known.name.as_ref() == Some(&to) {
            return None;
        }
        let from = known.name.replace(to.clone());
        Some(HostEvent::Renamed { id, from, to })
    }

    /// Returns the domains with this domid. An earlier one whose death is still to be reported may
    /// be among them.
    pub(super) fn with_domid(&self, domid: DomId) -> Vec<DomainId> {
        let with = self.ids().filter(|id| id.domid == domid);
        with.collect()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = DomainId> + '_ {
        self.known.keys().copied()
    }

    pub(super) fn knows(&self, id: DomainId) -> bool {
        self.known.contains_key(&id)
    }

    /// Returns all known domains, as they would be reported now.
    pub(super) fn level(&self) -> VecDeque<HostEvent> {
        self.known
            .iter()
            .map(|(id, known)| known.event(*id))
            .collect()
    }

    /// As [`level`](Self::level), for a reader that has missed `total` events.
    pub(super) fn level_after(&self, total: u64) -> VecDeque<HostEvent> {
        let mut level = self.level();
        level.push_front(HostEvent::Missed { total });
        level
    }
}

impl Known {
    fn event(&self, id: DomainId) -> HostEvent {
        HostEvent::Appeared {
            id,
            name: self.name.clone(),
            state: self.state,
            former: self.former,
        }
    }
}

#[cfg(all(test, not(libxl_loom)))]
mod tests;
