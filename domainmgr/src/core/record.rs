//! The durable record of a key, and the recovery of the facts from it.
//!
//! The worker commits the record of the facts before it carries out the effects that follow from them. So a step that
//! cannot be repeated is known to have been begun, and all facts from before it survive any end of the agent.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::changing::Changing;
use super::facts::{After, Desired, Domain, Exit, Facts, Rest};
use super::halting::{Halt, Stage};
use super::history::Told;
use super::op::Op;
use super::order::{Hold, Until};
use super::reserved::Holding;
use super::saving::{self, Saved};
use super::screen::Screen;
use super::sibling::Sibling;
use super::time::Time;
use super::{Now, gone, order, wishes};
use crate::change::Changes;
use crate::disks::Copies;
use crate::settings::Settings;
use crate::spec::{Disk, Spec};
use crate::toolstack::{DomainId, Life};
use crate::wish::Origin;

/// Everything about a key that outlives the agent. A missing field takes its default, so older records stay readable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Run of the host in which the domids are valid.
    pub boot: Uuid,
    pub(super) wish: Option<Desired>,
    /// Hold that an operator has placed.
    pub(super) hold: Option<Hold>,
    /// Changes made by hand.
    pub(super) changes: Changes,
    /// The change under way.
    pub(super) changing: Option<Changing>,
    /// State at the last event.
    pub(super) told: Told,
    /// The domain is being brought down in order to be built again.
    pub(super) cycle: bool,
    /// The wish is newer than the facts about the domain.
    pub(super) renewed: bool,
    pub(super) begun: Begun,
    pub(super) domain: Option<Domain>,
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
    pub(super) error: Option<(String, OffsetDateTime)>,
    /// The saved domain, if there is one.
    pub(super) saved: Option<Saved>,
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
    pub fn reread(mut self, read: impl FnOnce(&Origin) -> Option<Spec>) -> Self {
        if let Some(Desired {
            origin,
            spec: Ok(spec),
            ..
        }) = &mut self.wish
        {
            if let Some(mut today) = read(origin) {
                today.keep_instance(spec, false);
                *spec = Arc::new(today);
            }
        }
        self
    }

    /// Returns whether the domain's memory is in a file.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.saved.is_some()
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
            Some(d) if d.started => "running",
            Some(_) => "built",
            None if self.saved.is_some() => "saved",
            None if self.restarting => "restarting",
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
            wish: self.desired.clone(),
            hold: self.hold.clone(),
            changes: self.changes.clone(),
            changing: self.changing.clone(),
            cycle: self.cycle,
            told: self.told.clone(),
            renewed: self.renewed && self.rejoin,
            domain: self.domain.clone(),
            halt: self.halt.clone(),
            exit: self.exit.clone(),
            kept: self.siblings.iter().filter(|s| s.kept).cloned().collect(),
            copies: self.copies,
            disks: self.disks.clone(),
            whole: self.whole.clone(),
            made: self.made.clone(),
            restarting: self.restarting,
            rebuild: self.rebuild.clone(),
            tries: self.tries,
            restarts: self.restarts,
            has_run: self.has_run,
            last_exit: self.last_exit.clone(),
            last_action: self.last_action.clone(),
            ended: self.ended,
            vanished: self.vanished,
            boot_time: self.boot_time,
            error: self.error.clone(),
            saved: self.saved.clone(),
        }
    }

    /// Returns the step of which only its outcome tells.
    ///
    /// It is under way, or was begun by an earlier run of the agent and has not been looked into.
    fn begun(&self) -> Begun {
        // The operation under way comes first: by then, an older step of unknown outcome is of no interest.
        match &self.outstanding {
            Some(Op::Create(spec) | Op::Restore(spec)) => return Begun::Create(spec.name.clone()),
            Some(Op::Save(_)) => return Begun::Save,
            Some(Op::SoftReset(..)) => return Begun::SoftReset,
            Some(Op::Preserve(_, suffix)) => return Begun::Preserve(suffix.clone()),
            Some(Op::Unpause(_)) if self.domain.as_ref().is_some_and(|d| !d.started) => {
                return Begun::Start;
            }
            _ => {}
        }
        match &self.domain {
            Some(Domain {
                renaming: Some(suffix),
                ..
            }) => Begun::Preserve(suffix.clone()),
            Some(domain) if domain.half_reset => Begun::SoftReset,
            Some(domain) if domain.maybe_started => Begun::Start,
            Some(domain) if domain.saving_until.is_some() => Begun::Save,
            // The create may have left a domain, until a look has found that it has not.
            _ => match &self.create_failed {
                Some(name) => Begun::Create(name.clone()),
                None => Begun::Nothing,
            },
        }
    }

    /// Returns the facts of a worker whose predecessor has left `record`. `boot` is the present run of the host.
    #[must_use]
    pub fn recover(now: Now, uuid: Uuid, settings: Settings, record: Record, boot: Uuid) -> Self {
        let same_run = record.boot == boot;
        let mut f = Self::new(uuid, settings);
        f.recovered = true;
        f.desired = record.wish;
        f.hold = record.hold;
        f.changes = record.changes;
        f.changing = record.changing;
        f.cycle = record.cycle;
        f.told = record.told;
        f.renewed = record.renewed;
        f.domain = record.domain;
        f.halt = record.halt;
        f.exit = record.exit;
        f.siblings = record.kept;
        // Reservations are stored elsewhere, and may be older or newer than this record.
        f.adapters = Holding::Unknown;
        f.copies = record.copies;
        f.disks = record.disks;
        f.whole = record.whole;
        f.made = record.made;
        f.restarting = record.restarting;
        f.rebuild = record.rebuild;
        f.restarts = record.restarts;
        if f.domain.as_ref().is_some_and(|d| d.started) {
            f.tries = record.tries;
        }
        f.has_run = record.has_run;
        f.last_exit = record.last_exit;
        f.last_action = record.last_action;
        f.ended = record.ended;
        f.vanished = record.vanished;
        f.boot_time = record.boot_time;
        f.error = record.error;
        f.saved = record.saved;
        if f.ended && !wishes::retries(&f) {
            f.rest = Rest::Ended;
        }
        if same_run {
            resume(now, &mut f, record.begun);
        } else {
            f.hold = f.hold.filter(|hold| hold.until != Until::Boot);
            after_host_reboot(now, &mut f, &record.begun);
        }
        f
    }
}

/// Takes up the step that was under way when the agent ended.
fn resume(now: Now, f: &mut Facts, begun: Begun) {
    f.rejoin = f.domain.is_some();
    if let Some(domain) = &mut f.domain {
        domain.since = now.mono;
        match begun {
            // The domain may have run since. If it is gone, it may live on elsewhere.
            Begun::Start => domain.maybe_started = true,
            // The progress of the reset is unknown: the domain that it has left is replaced, like a half-built one.
            Begun::SoftReset => domain.half_reset = true,
            Begun::Preserve(suffix) => domain.renaming = Some(suffix),
            // The result of the save is unknown.
            Begun::Save => saving::interrupted(domain, now.mono),
            Begun::Create(_) | Begun::Nothing => {}
        }
    } else if let Begun::Create(name) = begun {
        f.create_failed = Some(name);
    }
    if let Some(halt) = &mut f.halt {
        // The guest is asked once more: it is unknown whether it received the request. Its graceful time starts anew.
        halt.until = now.mono + f.settings.graceful;
        halt.ask_again = halt.asked && halt.stage != Stage::Destroy;
    }
}

/// Adapts the facts to a restart of the host: no earlier domain is left, and none of them was ended by anybody.
fn after_host_reboot(now: Now, f: &mut Facts, begun: &Begun) {
    f.siblings.clear();
    f.boot_time = None;
    let halt = f.halt.take();
    let exit = f.exit.take();
    let Some(domain) = f.domain.take() else {
        return;
    };
    if domain.leftover {
        return;
    }
    f.has_run = true;
    // A domain that this agent was saving was not moved by anybody, and the file is not whole.
    let ours = *begun == Begun::Save;
    if domain.suspended.is_some() && halt.is_none() && !ours {
        // A domain is suspended in order to be saved or moved, and that may have been completed.
        gone::note_end(now, f, gone::LOST_SUSPENDED.to_owned(), false);
        f.vanished = true;
        f.rest = Rest::Ended;
        f.next_retry = None;
        return;
    }
    if domain.started {
        f.copies = order::copies_after_halt(f);
    }
    f.cycle = false;
    match exit {
        _ if halt.is_some() => {}
        Some(exit) if exit.after == After::Restart => {
            f.restarting = true;
            f.copies = Copies::Keep;
        }
        Some(exit) => {
            let peacefully = gone::is_peaceful(exit.reason);
            gone::note_end(now, f, exit.reason.to_string(), peacefully);
        }
        None => f.error = None,
    }
}

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
        let domain = i
            .domain
            .filter(|_| i.started || i.halting)
            .map(|id| Domain {
                name: i.name.clone(),
                suspended: i.suspended,
                started: i.started || i.halting,
                ..Domain::new(id, Life::Running, Time::default())
            });
        let halt = Halt::begin(Time::default());
        Self {
            boot: i.boot,
            wish: i.wish,
            hold: None,
            changes: Changes::default(),
            changing: None,
            cycle: false,
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
            boot_time: i.boot_time,
            error: i.error.filter(|_| i.ended),
            saved: None,
        }
    }
}
