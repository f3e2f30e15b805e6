//! The domain that a worker manages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::backoff::Backoff;
use super::life;
use crate::base::time::Time;
use crate::spec::Spec;
use crate::toolstack::{DomainId, Life, Seen};

/// The domain that a worker manages, whatever its phase.
#[derive(Clone, Debug)]
pub(in crate::core) struct Domain {
    pub(in crate::core) id: DomainId,
    pub(in crate::core) life: Life,
    /// Memory at the last look, in KiB.
    pub(in crate::core) memory_kib: u64,
    /// Name in Xen at the last look.
    pub(in crate::core) name: Option<String>,
    /// Spec that the domain was built from; unknown for an adopted domain.
    pub(in crate::core) spec: Option<Arc<Spec>>,
    /// Warnings about what the domain was given when it was built.
    pub(in crate::core) doubts: Vec<String>,
    /// User who paused the domain through this agent.
    pub(in crate::core) paused_by: Option<String>,
    /// Time since which the domain has been suspended, as far as known.
    pub(in crate::core) suspended: Option<OffsetDateTime>,
    /// Time since which the domain has been running, as far as known.
    pub(in crate::core) since: Time,
    pub(in crate::core) model: DeviceModel,
    /// VNC display of the domain.
    pub(in crate::core) screen: Screen,
    /// Result of the last look at the domain's devices.
    pub(in crate::core) connected: Connected,
    /// Attempts to destroy the domain that have not ended it.
    pub(in crate::core) destroying: Backoff,
    /// Step whose outcome is not known for good.
    pub(in crate::core) interrupted: Option<Interrupted>,
}

/// State of the domain's device model, if it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) enum DeviceModel {
    #[default]
    There,
    /// Gone since this time, perhaps because the domain itself is going.
    Missing(Time),
    /// Gone since this time, and the domain stays.
    Ended(Time),
}

/// Step whose outcome is not known for good.
///
/// Apart from [`Interrupted::Late`], an earlier run of the agent began it, and did not learn of its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) enum Interrupted {
    /// The first start of the domain: it may have run.
    Start,
    /// A reset in place.
    SoftReset,
    /// A change of its name, by this suffix.
    Preserve(String),
    /// A save. The guest may still find the request to suspend, which is to be taken back.
    Asked,
    /// A save, whose request does not stand any more. Until this time, a domain found suspended counts as suspended for it.
    /// `None` as long as the domain is paused, and cannot obey.
    Save(Option<Time>),
    /// A save that has failed. The guest may obey until this time, and is then let go on by the toolstack, as long as this
    /// agent lives. `None` as for [`Interrupted::Save`].
    Late(Option<Time>),
}

impl Interrupted {
    /// Returns whether the step is a save.
    pub(in crate::core) fn is_save(&self) -> bool {
        matches!(self, Self::Asked | Self::Save(_) | Self::Late(_))
    }
}

impl Domain {
    /// A domain of which only a look has told.
    pub(in crate::core) fn seen(seen: &Seen, now: Time) -> Self {
        Self {
            memory_kib: seen.memory_kib,
            name: seen.name.clone(),
            ..Self::new(seen.id, seen.life, now)
        }
    }

    /// A domain of which nothing else is known.
    pub(in crate::core) fn new(id: DomainId, life: Life, now: Time) -> Self {
        Self {
            id,
            life,
            memory_kib: 0,
            name: None,
            spec: None,
            doubts: Vec::new(),
            paused_by: None,
            suspended: None,
            since: now,
            model: DeviceModel::There,
            screen: Screen::default(),
            connected: Connected::default(),
            destroying: Backoff::default(),
            interrupted: None,
        }
    }

    /// Returns whether the domain is suspended.
    pub(in crate::core) fn is_suspended(&self) -> bool {
        life::is_suspended(self.life)
    }

    /// Returns whether the device model has ended, and not because the domain itself is going.
    pub(in crate::core) fn is_broken(&self) -> bool {
        matches!(self.model, DeviceModel::Ended(_))
    }
}

/// Result of the looks at the devices of a domain.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Connected {
    /// Time of the last look, and number of looks.
    pub(in crate::core) looked: Option<(Time, u32)>,
    /// Devices that the guest has not connected to.
    pub(in crate::core) missing: Vec<String>,
}

/// The display of a domain, as far as known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum Screen {
    #[default]
    Unknown,
    /// The display has been asked for; `None`: no answer.
    Asked(Option<u32>),
}
