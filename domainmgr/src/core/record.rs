//! The durable record of a key.
//!
//! The worker commits the record of the facts before it carries out the effects that follow from them. So a step that
//! cannot be repeated is known to have been begun, and all facts from before it survive any end of the agent.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::op::Op;
use super::state::changing::Changing;
use super::state::domain::{Domain, Interrupted, Screen};
use super::state::exit::Exit;
use super::state::facts::Facts;
use super::state::halt::Halt;
use super::state::job::{Job, UnderWay};
use super::state::moving::{Arrival, Moved, Moving};
use super::state::names::incoming;
use super::state::order::Hold;
use super::state::origin::Origin;
use super::state::phase::Phase;
use super::state::saved::Saved;
use super::state::sibling::Sibling;
use super::state::told::Told;
use super::state::wish::Desired;
use crate::base::time::Time;
use crate::host::disks::Copies;
use crate::spec::change::Changes;
use crate::spec::{Disk, Spec};
use crate::toolstack::{DomainId, Life};

/// Everything about a key that outlives the agent. A missing field takes its default, so older records stay readable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Run of the host in which the domids are valid.
    pub boot: Uuid,
    pub(super) wish: Option<Desired>,
    /// Hold that an operator has placed.
    pub(super) hold: Option<Hold>,
    /// The order that is being worked off.
    pub(super) under_way: Option<UnderWay>,
    /// The last order that has come to its end.
    pub(super) last_job: Option<Job>,
    /// Changes made by hand.
    pub(super) changes: Changes,
    /// The change under way.
    pub(super) changing: Option<Changing>,
    /// State at the last event.
    pub(super) told: Told,
    /// The wish is newer than the facts about the domain.
    pub(super) renewed: bool,
    pub(super) begun: Begun,
    pub(super) domain: Option<Known>,
    pub(super) halt: Option<Halt>,
    pub(super) exit: Option<Exit>,
    /// Domains with our uuid that were kept aside.
    pub(super) kept: Vec<Sibling>,
    pub(super) copies: Copies,
    /// Disks as they were when they were last ready, after the digest of the config that they belong to.
    pub(super) disks: Option<(String, Vec<Disk>)>,
    /// Copies of images that were whole when the disks were last ready.
    pub(super) whole: BTreeSet<String>,
    /// Every copy that was made for the key.
    pub(super) made: BTreeSet<String>,
    pub(super) restarting: bool,
    pub(super) rebuild: Option<Arc<Spec>>,
    /// Number of attempts to boot the domain that runs. Before it runs, each run of the agent counts from the start.
    pub(super) tries: u32,
    pub(super) restarts: u32,
    pub(super) has_run: bool,
    pub(super) last_exit: Option<String>,
    pub(super) last_action: Option<String>,
    pub(super) ended: bool,
    pub(super) vanished: bool,
    pub(super) boot_time: Option<OffsetDateTime>,
    /// Named files that are out of date; see `Past`.
    #[serde(default)]
    pub(super) spent: Vec<(String, OffsetDateTime)>,
    pub(super) error: Option<(String, OffsetDateTime)>,
    /// The saved domain, if there is one.
    pub(super) saved: Option<Saved>,
    /// The guest was given away to another host, and the domain is still here.
    pub(super) moving: Option<Moving>,
    /// The guest has gone to another host.
    pub(super) moved: Option<Moved>,
    /// Number of the last migration by which a domain has come here.
    pub(super) arrived: Option<Uuid>,
}

/// A recorded wish, as its frontend reads it today.
#[derive(Clone, Debug)]
pub struct Reread {
    /// The domain is to run.
    pub run: bool,
    /// The writer's own number for what the file says; empty if there is none.
    pub version: String,
    /// Source of the wish.
    pub origin: Origin,
    /// The spec that follows from it, if it can be used.
    pub spec: Option<Spec>,
}

/// A domain and its phase, as recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) id: DomainId,
    pub(super) life: Life,
    #[serde(default)]
    pub(super) memory_kib: u64,
    #[serde(default)]
    pub(super) doubts: Vec<String>,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) paused_by: Option<String>,
    pub(super) suspended: Option<OffsetDateTime>,
    /// The domain has been started.
    pub(super) started: bool,
    /// The domain ran until its soft reset.
    pub(super) reset: bool,
    #[serde(default)]
    pub(super) screen: Screen,
    pub(super) leftover: bool,
    pub(super) spec: Option<Arc<Spec>>,
    /// The domain's memory is in a file.
    #[serde(default)]
    pub(super) saved: bool,
    #[serde(default)]
    pub(super) restored: bool,
    /// The guest comes from another host.
    #[serde(default)]
    pub(super) arrival: Option<Arrival>,
}

impl Known {
    fn of(phase: &Phase) -> Option<Self> {
        let domain = phase.domain()?;
        let unstarted = match phase {
            Phase::Built(_, unstarted) => Some(unstarted),
            Phase::Halting(_, halting) => halting.unstarted.as_ref(),
            _ => None,
        };
        Some(Self {
            id: domain.id,
            life: domain.life,
            memory_kib: domain.memory_kib,
            doubts: domain.doubts.clone(),
            name: domain.name.clone(),
            paused_by: domain.paused_by.clone(),
            suspended: domain.suspended,
            started: phase.is_started(),
            reset: unstarted.is_some_and(|u| u.reset),
            screen: domain.screen,
            leftover: phase.is_leftover(),
            spec: domain.spec.clone(),
            saved: matches!(phase, Phase::PutAway(_)),
            restored: unstarted.is_some_and(|u| u.restored),
            arrival: unstarted.and_then(|u| u.arrival),
        })
    }

    /// A domain that has been built, and of which nothing else is known.
    pub(super) fn new(id: DomainId, life: Life) -> Self {
        Self {
            id,
            life,
            memory_kib: 0,
            doubts: Vec::new(),
            name: None,
            paused_by: None,
            suspended: None,
            started: false,
            reset: false,
            screen: Screen::default(),
            leftover: false,
            spec: None,
            saved: false,
            restored: false,
            arrival: None,
        }
    }

    /// The domain itself. The next look tells the rest.
    pub(super) fn domain(self, now: Time) -> Domain {
        Domain {
            memory_kib: self.memory_kib,
            doubts: self.doubts,
            name: self.name,
            paused_by: self.paused_by,
            suspended: self.suspended,
            screen: self.screen,
            spec: self.spec,
            ..Domain::new(self.id, self.life, now)
        }
    }
}

/// A step that leaves something in Xen of which only its outcome tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Begun {
    #[default]
    Nothing,
    /// A domain with this name is being created.
    Create(String),
    /// The domain is being started for the first time: it may have run.
    Start,
    /// The domain is being reset in place.
    SoftReset,
    /// The domain is being renamed, with this suffix.
    Preserve(String),
    /// The domain is being saved.
    Save,
}

impl Record {
    /// Encodes the record as bytes that every later version reads.
    ///
    /// # Errors
    /// A time that cannot be represented.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    /// Decodes the output of [`Record::to_bytes`].
    ///
    /// # Errors
    /// The bytes are not a record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        ciborium::from_reader(bytes).map_err(|e| e.to_string())
    }

    /// Returns the record with its wish as this version of the agent reads it.
    ///
    /// A wish that another version read differently is not a newer wish.
    #[must_use]
    pub fn reread(mut self, read: impl FnOnce(&Origin) -> Option<Reread>) -> Self {
        if let Some(wish) = &mut self.wish {
            if let Some(today) = read(&wish.origin) {
                wish.run = today.run;
                wish.version = today.version;
                wish.origin = today.origin;
                if let (Ok(spec), Some(mut new)) = (&mut wish.spec, today.spec) {
                    new.keep_instance(spec, false);
                    *spec = Arc::new(new);
                }
            }
        }
        self
    }

    /// Returns whether the domain's memory is in a file.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.saved.is_some()
    }

    /// Returns the highest number of an order in the record; 0 if there is none.
    #[must_use]
    pub fn last_order(&self) -> u64 {
        let under_way = self.under_way.as_ref().map(|order| order.given.id);
        let last = self.last_job.as_ref().map(|job| job.id);
        under_way.max(last).unwrap_or_default()
    }

    /// Returns the origin of the wish.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.wish.as_ref().map(|wish| wish.origin.clone())
    }

    /// Returns the spec that the domain was built from, or is to be built from again.
    #[must_use]
    pub fn built(&self) -> Option<Arc<Spec>> {
        let built = self.domain.as_ref().and_then(|d| {
            let mut spec = d.spec.clone()?;
            if let (Screen::Asked(display), Some(vnc)) = (d.screen, &spec.vnc) {
                if vnc.display.is_none() {
                    let spec = Arc::make_mut(&mut spec);
                    spec.vnc.as_mut()?.display = display;
                }
            }
            Some(spec)
        });
        let built = match &self.changing {
            Some(changing) => built.map(|spec| changing.at_the_most(spec)),
            None => built,
        };
        built.or_else(|| self.rebuild.clone().filter(|_| self.restarting))
    }

    /// Returns a word for the recorded state, for people who look into the journal.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.domain {
            Some(_) if self.halt.is_some() => "halting",
            Some(_) if self.moving.is_some() => "given away",
            Some(d) if d.started => "running",
            Some(_) => "built",
            None if self.saved.is_some() => "saved",
            None if self.restarting => "restarting",
            None if self.moved.is_some() => "moved",
            None if self.vanished => "vanished",
            None if self.ended => "ended",
            None => "down",
        }
    }
}

impl Facts {
    /// Returns the record of these facts. `boot` is the present run of the host.
    #[must_use]
    pub fn record(&self, boot: Uuid) -> Record {
        Record {
            begun: self.begun(),
            boot,
            wish: self.wish.desired.clone(),
            hold: self.orders.hold.clone(),
            under_way: self.orders.under_way.clone(),
            last_job: self.orders.last.clone(),
            changes: self.changes.clone(),
            changing: self.changing.clone(),
            told: self.past.told.clone(),
            renewed: self.wish.renewed && self.looks.rejoin,
            domain: Known::of(&self.phase),
            halt: match &self.phase {
                Phase::PutAway(_) => Some(Halt::destroying()),
                phase => phase.halt().cloned(),
            },
            exit: match &self.phase {
                Phase::Ending(_, exit) => Some(exit.clone()),
                _ => None,
            },
            kept: self.siblings.iter().filter(|s| s.kept).cloned().collect(),
            copies: self.disks.copies,
            disks: self.disks.shown.clone(),
            whole: self.disks.whole.clone(),
            made: self.disks.made.clone(),
            restarting: self.phase.restarts(),
            rebuild: self.phase.boot().and_then(|boot| boot.rebuild.clone()),
            tries: self.past.tries,
            restarts: self.past.restarts,
            has_run: self.past.has_run,
            last_exit: self.past.last_exit.clone(),
            last_action: self.past.last_action.clone(),
            ended: self.phase.has_ended(),
            vanished: self.phase.has_vanished(),
            boot_time: self.past.boot_time,
            spent: self.past.spent.clone(),
            error: self.error.clone(),
            saved: self.saved.clone(),
            moving: match &self.phase {
                Phase::GivenAway(_, moving) => Some(moving.clone()),
                _ => None,
            },
            moved: self.moved.clone(),
            arrived: self.past.arrived,
        }
    }

    /// Returns the step of which only its outcome tells.
    ///
    /// It is under way, or was begun by an earlier run of the agent and has not been looked into.
    fn begun(&self) -> Begun {
        // The operation under way comes first: by then, an older step of unknown outcome is of no interest.
        match &self.outstanding {
            Some(Op::Create(spec) | Op::Restore(spec, _)) => {
                return Begun::Create(spec.name.clone());
            }
            Some(Op::Receive(spec, _)) => return Begun::Create(incoming(&spec.name)),
            Some(Op::Save(..) | Op::Send(..)) => return Begun::Save,
            Some(Op::SoftReset(..)) => return Begun::SoftReset,
            Some(Op::Preserve(_, suffix)) => return Begun::Preserve(suffix.clone()),
            Some(Op::Land(..)) => return Begun::Start,
            Some(Op::Unpause(_)) if !self.phase.is_started() => return Begun::Start,
            _ => {}
        }
        let interrupted = self.phase.domain().and_then(|d| d.interrupted.as_ref());
        match interrupted {
            Some(Interrupted::Preserve(suffix)) => Begun::Preserve(suffix.clone()),
            Some(Interrupted::SoftReset) => Begun::SoftReset,
            Some(Interrupted::Start) => Begun::Start,
            // The next agent has to let the domain go on.
            Some(Interrupted::Asked | Interrupted::Save(_) | Interrupted::Late(_)) => Begun::Save,
            // The create may have left a domain, until a look has found that it has not.
            None => match self.phase.boot().and_then(|boot| boot.remains.as_ref()) {
                Some(name) => Begun::Create(name.clone()),
                None => Begun::Nothing,
            },
        }
    }
}
