//! The record of a key whose agent had no journal.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use uuid::Uuid;

use super::record::{Begun, Known, Record};
use super::state::halt::Halt;
use super::state::sibling::Sibling;
use super::state::told::Told;
use super::state::wish::Desired;
use crate::base::time::Time;
use crate::host::disks::Copies;
use crate::spec::Disk;
use crate::spec::change::Changes;
use crate::toolstack::{DomainId, Life};

/// Facts known about a key whose agent had no journal.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// Run of the host from which these facts are.
    pub boot: Uuid,
    /// The wish, if it is known to be unchanged.
    pub wish: Option<Desired>,
    /// The domain of the key.
    pub domain: Option<DomainId>,
    /// Name that the domain has, or was to have.
    pub name: Option<String>,
    /// The domain had been started.
    pub started: bool,
    /// The domain was being built, perhaps because its guest had rebooted.
    pub booting: bool,
    /// The domain was being brought down.
    pub halting: bool,
    /// Time since which the domain has been suspended.
    pub suspended: Option<OffsetDateTime>,
    /// Domains that were kept aside.
    pub kept: Vec<DomainId>,
    /// Disks of the domain.
    pub disks: Vec<Disk>,
    /// Digest of the config that `disks` belong to.
    pub digest: String,
    /// Copies of images that were made for the domain.
    pub copies: Vec<String>,
    /// Number of times that an end of the guest led to a restart.
    pub restarts: u32,
    /// Reason of the guest's last end.
    pub last_exit: Option<String>,
    /// Action taken at the guest's last end.
    pub last_action: Option<String>,
    /// The guest ended although it should run.
    pub ended: bool,
    /// An outsider ended the domain.
    pub vanished: bool,
    /// Time when the domain was started.
    pub boot_time: Option<OffsetDateTime>,
    /// The last error, and its time.
    pub error: Option<(String, OffsetDateTime)>,
}

impl Record {
    /// Returns the record of a key of which nothing is known, except that there was something.
    ///
    /// Somebody may have taken the domain away, so nothing is built before a newer wish.
    #[must_use]
    pub fn unknown(
        boot: Uuid,
        wish: Option<Desired>,
        copies: Vec<String>,
        why: String,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            boot,
            wish,
            made: copies.into_iter().collect(),
            has_run: true,
            ended: true,
            vanished: true,
            error: Some((why, at)),
            ..Self::default()
        }
    }

    /// Returns the record that an agent with a journal would have left.
    #[must_use]
    pub fn inherit(i: Inherited) -> Self {
        let name = i.name.clone();
        // A domain that was being built is found again by its name, or built anew.
        let domain = i.domain.filter(|_| i.started || i.halting).map(|id| Known {
            name: i.name.clone(),
            suspended: i.suspended,
            started: i.started || i.halting,
            ..Known::new(id, Life::Running)
        });
        let halt = Halt::begin(Time::default());
        Self {
            boot: i.boot,
            wish: i.wish,
            hold: None,
            under_way: None,
            last_job: None,
            changes: Changes::default(),
            changing: None,
            told: Told::default(),
            renewed: false,
            begun: match name {
                Some(name) if domain.is_none() => Begun::Create(name),
                _ => Begun::Nothing,
            },
            halt: domain.as_ref().filter(|_| i.halting).map(|_| halt),
            domain,
            exit: None,
            kept: i.kept.into_iter().map(Sibling::kept_before).collect(),
            // A guest that was being restarted has written to its disks.
            copies: if i.booting || i.started {
                Copies::Keep
            } else {
                Copies::Fresh
            },
            disks: Some((i.digest, i.disks)).filter(|(_, disks)| !disks.is_empty()),
            whole: BTreeSet::new(),
            made: i.copies.into_iter().collect(),
            restarting: i.booting,
            rebuild: None,
            tries: 1,
            restarts: i.restarts,
            has_run: i.ended || i.started,
            last_exit: i.last_exit,
            last_action: i.last_action,
            ended: i.ended,
            vanished: i.vanished,
            moving: None,
            moved: None,
            arrived: None,
            boot_time: i.boot_time,
            spent: Vec::new(),
            error: i.error.filter(|_| i.ended),
            saved: None,
        }
    }
}
