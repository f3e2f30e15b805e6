//! What a worker knows. Nothing here is a decision.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::beside::Beside;
use super::gone;
use super::op::Op;
use super::reserved::Holding;
use super::time::Time;
use crate::disks::{Copies, Progress};
use crate::eve::{DiskStatus, DomainConfig, DomainStatus};
use crate::settings::Settings;
use crate::spec::{Mode, Spec};
use crate::toolstack::{DomainId, Life, ShutdownReason};

/// What the DomainConfig file says now.
#[derive(Clone, Debug)]
pub enum Wish {
    /// There is no file.
    Absent,
    /// There is one, but it cannot be used. The last usable one, if any, stays in force.
    Unusable(String),
    /// There is one.
    Wanted(Desired),
}

/// A DomainConfig that could be read.
#[derive(Clone, Debug)]
pub struct Desired {
    /// As it came.
    pub config: Arc<DomainConfig>,
    /// What to build, or why that cannot be built.
    pub spec: Result<Arc<Spec>, String>,
    /// Two configs with the same digest say the same.
    pub digest: String,
}

/// What a DomainStatus left by an earlier run of the agent says.
#[derive(Clone, Debug, Default)]
pub struct Previous {
    /// The digest of the config it was about.
    pub digest: String,
    /// The domain it saw.
    pub domid: Option<u32>,
    /// It was in the middle of building or starting one.
    pub booting: bool,
    /// It was in the middle of bringing one down.
    pub halting: bool,
    /// A boot had failed, or a wish was not worked off yet: a half-built domain may have been left.
    pub unfinished: bool,
    /// Whether that domain had been started.
    pub activated: bool,
    /// Whether the guest had ended although it should run.
    pub ended: bool,
    /// It ended by an outsider's hand.
    pub vanished: bool,
    /// What was wrong, and since when.
    pub error: Option<(String, OffsetDateTime)>,
    /// Why it ended last.
    pub last_exit: Option<String>,
    /// What was done about that.
    pub last_action: Option<String>,
    /// Since when it is suspended.
    pub suspended: Option<OffsetDateTime>,
    /// Domains with our uuid that were kept aside.
    pub kept: Vec<u32>,
    /// When it booted.
    pub boot_time: Option<OffsetDateTime>,
    /// How often the guest had been restarted.
    pub restarts: u32,
    /// How it was virtualised.
    pub mode: Mode,
    /// The name of its domain.
    pub name: String,
    /// Where its disks are.
    pub disks: Vec<DiskStatus>,
    /// It was to have adapters of the host, so some may be reserved.
    pub adapters: bool,
    /// All of it.
    pub status: DomainStatus,
}

/// A domain of ours.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) id: DomainId,
    pub(super) life: Life,
    /// Its name in Xen when last looked at.
    pub(super) name: Option<String>,
    /// Since when it is suspended, as far as we know.
    pub(super) suspended: Option<OffsetDateTime>,
    /// It has been unpaused: by us, or before we came.
    pub(super) started: bool,
    /// It ran until its soft reset, and is to be started again.
    pub(super) reset: bool,
    /// Since when its device model is gone.
    pub(super) orphaned: Option<Time>,
    /// … and that is not because the domain itself is going.
    pub(super) broken: bool,
    /// A create that came to nothing left it behind.
    pub(super) leftover: bool,
    /// Since when it runs, as far as we know.
    pub(super) since: Time,
    /// What it was built from. Unknown for an adopted one.
    pub(super) spec: Option<Arc<Spec>>,
}

/// How far bringing the domain down has come, in obedience to a wish.
#[derive(Clone, Debug)]
pub(super) struct Halt {
    pub(super) stage: Stage,
    pub(super) until: Time,
    /// The guest has been asked, and cannot be un-asked.
    pub(super) asked: bool,
    /// Asking was ended early, so nobody knows whether it was heard.
    pub(super) ask_again: bool,
    /// The guest cannot be asked through its drivers: press the power button.
    pub(super) press: bool,
    /// The power button has been pressed.
    pub(super) pressed: bool,
    /// A guest early in its boot hears nothing, and has no drivers yet: when to ask it again.
    pub(super) ask_at: Option<Time>,
    /// A paused guest cannot hear: we have let it run again.
    pub(super) unpaused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Graceful,
    Forced,
    Destroy,
}

/// How far dealing with a guest that ended by itself has come.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) reason: ShutdownReason,
    /// What is left to do, last first.
    pub(super) steps: Vec<ExitStep>,
    pub(super) after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitStep {
    CoreDump,
    SoftReset,
    Preserve,
    Destroy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    End,
    Restart,
    /// The dead domain stays where it is, under its name.
    Keep,
}

/// When the domain may be built, or started if it is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Ready,
    Until(Time),
    /// Not before a newer wish.
    Ended,
}

/// What the worker is waiting for after a change of wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Add,
    Modify,
}

/// Failed attempts at one thing, and when the next is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    pub(super) failures: u32,
    pub(super) next: Option<Time>,
}

impl Backoff {
    /// Counts a failure: the next attempt comes after 5 s, 10 s, 20 s … 60 s.
    pub(super) fn fail(&mut self, now: Time) -> Duration {
        let pause = doubling(Duration::from_secs(5), self.failures);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + pause);
        pause
    }

    /// When the next attempt is due, if it lies ahead.
    pub(super) fn waiting(&self, now: Time) -> Option<Time> {
        self.next.filter(|&at| at > now)
    }
}

/// `first`, doubled `times` times, but at most a minute.
pub(super) fn doubling(first: Duration, times: u32) -> Duration {
    first
        .saturating_mul(1 << times.min(10))
        .min(Duration::from_secs(60))
}

/// Everything a worker knows about its key. Changed only by [`step`](super::step).
#[derive(Clone, Debug)]
pub struct Facts {
    pub(super) uuid: Uuid,
    pub(super) settings: Settings,
    /// The file has been looked at.
    pub(super) heard: bool,
    /// The file is there.
    pub(super) present: bool,
    /// The newest usable config.
    pub(super) desired: Option<Desired>,
    /// Why the newest file is not usable, or not to be built from.
    pub(super) problem: Option<(String, OffsetDateTime)>,
    /// Counts the wishes.
    pub(super) generation: u64,
    pub(super) previous: Option<Previous>,
    pub(super) outstanding: Option<Op>,
    /// What we know of Xen may be out of date.
    pub(super) stale: bool,
    /// The next look must be at all domains.
    pub(super) look_wide: bool,
    pub(super) looking: Backoff,
    /// Xen has been looked at.
    pub(super) looked: bool,
    /// A look at all domains, newer than any hint or operation, found none with our uuid.
    pub(super) clear: bool,
    /// A create of a domain with this name failed, and nobody has looked for what it left.
    pub(super) create_failed: Option<String>,
    pub(super) domain: Option<Domain>,
    /// Other domains with our uuid, when last looked at.
    pub(super) beside: Vec<Beside>,
    pub(super) halt: Option<Halt>,
    pub(super) exit: Option<Exit>,
    pub(super) destroying: Backoff,
    pub(super) adapters: Holding,
    /// Adapters that it needs cannot be had.
    pub(super) adapters_failed: bool,
    pub(super) reserving: Backoff,
    pub(super) rest: Rest,
    /// What the guest finds on copies that are not preserved when it is built next.
    pub(super) copies: Copies,
    /// Disks are ready for this spec: the same with every path in it.
    pub(super) ready: Option<(Arc<Spec>, Arc<Spec>)>,
    /// Where the disks were when they were last ready, and the digest of the config that said so.
    pub(super) disks: Option<(String, Vec<DiskStatus>)>,
    /// How far the copy under way has come.
    pub(super) progress: Option<Progress>,
    /// There may be copies that the domain does not need while it is down.
    pub(super) untidy: bool,
    pub(super) tries: u32,
    pub(super) boot_failed: bool,
    /// A restart is under way.
    pub(super) restarting: bool,
    /// What the restarted domain is to be built from again: its config may have changed since.
    pub(super) rebuild: Option<Arc<Spec>>,
    pub(super) restarts: u32,
    pub(super) short_lives: u32,
    /// There has been a domain, or an attempt at one that failed and was given up.
    pub(super) has_run: bool,
    pub(super) last_exit: Option<String>,
    /// What was done about it.
    pub(super) last_action: Option<String>,
    pub(super) ended: bool,
    /// It ended by an outsider's hand, so that it may go on elsewhere: only a newer wish builds it again.
    pub(super) vanished: bool,
    pub(super) boot_time: Option<OffsetDateTime>,
    pub(super) next_retry: Option<OffsetDateTime>,
    pub(super) error: Option<(String, OffsetDateTime)>,
    pub(super) pending: Option<Pending>,
}

/// What is to become of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Nobody can tell: leave it as it is.
    Unknown,
    /// It should run.
    Run,
    /// It should not.
    Stop,
}

impl Facts {
    /// Whether these facts can be shown: the wish has been read, and, if an earlier run of the agent left a DomainStatus,
    /// Xen has been looked at, or would not be. Before that they would show a wish as fulfilled that nobody has heard, and a running
    /// domain as if there were none.
    #[must_use]
    pub fn publishable(&self) -> bool {
        self.heard && (self.looked || self.looking.failures > 0 || self.previous.is_none())
    }

    /// The facts of a worker that has not looked anywhere yet.
    #[must_use]
    pub fn new(uuid: Uuid, settings: Settings, previous: Option<Previous>) -> Self {
        let p = previous.clone().unwrap_or_default();
        Self {
            uuid,
            settings,
            heard: false,
            present: true,
            desired: None,
            problem: None,
            generation: 0,
            outstanding: None,
            stale: true,
            look_wide: true,
            looking: Backoff::default(),
            looked: false,
            clear: false,
            create_failed: None,
            domain: None,
            beside: p
                .kept
                .iter()
                .map(|&domid| Beside::kept_before(DomainId { domid, uuid }))
                .collect(),
            halt: None,
            exit: None,
            destroying: Backoff::default(),
            adapters: if p.adapters {
                Holding::Unknown
            } else {
                Holding::Nothing
            },
            adapters_failed: false,
            reserving: Backoff::default(),
            rest: Rest::Ready,
            // A guest that was being restarted has written to its disks.
            copies: if p.booting {
                Copies::Keep
            } else {
                Copies::Fresh
            },
            ready: None,
            disks: Some((p.digest.clone(), p.disks)).filter(|(_, disks)| !disks.is_empty()),
            progress: None,
            untidy: true,
            tries: 0,
            boot_failed: false,
            // What was on its way still is, until a look or a wish says otherwise.
            restarting: p.booting,
            rebuild: None,
            restarts: p.restarts,
            short_lives: 0,
            has_run: p.ended,
            last_exit: p.last_exit,
            last_action: p.last_action,
            // As true as before, until a newer wish says otherwise.
            ended: p.ended,
            vanished: p.vanished,
            boot_time: None,
            next_retry: None,
            error: previous.as_ref().and_then(gone::error_before),
            pending: Some(Pending::Add),
            previous,
        }
    }

    /// The same facts, with an error to show until the domain runs.
    #[must_use]
    pub fn faulted(mut self, text: String, at: OffsetDateTime) -> Self {
        self.error = Some((text, at));
        self
    }

    /// The operation the worker is to finish next.
    #[must_use]
    pub fn outstanding(&self) -> Option<&Op> {
        self.outstanding.as_ref()
    }

    /// The domain the worker looks after.
    #[must_use]
    pub fn domain(&self) -> Option<DomainId> {
        self.domain.as_ref().map(|d| d.id)
    }

    /// Whether the file is there, as far as the worker knows.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.present
    }

    pub(super) fn want(&self) -> Want {
        if !self.heard {
            Want::Unknown
        } else if !self.present {
            Want::Stop
        } else {
            match &self.desired {
                None => Want::Unknown,
                Some(d) if d.config.activate => Want::Run,
                Some(_) => Want::Stop,
            }
        }
    }

    /// What the domain was built from, or is being built from; otherwise what it would be.
    fn spec(&self) -> Option<&Spec> {
        let built = self.domain.as_ref().and_then(|d| d.spec.as_ref());
        let building = match &self.outstanding {
            Some(Op::Create(spec)) => Some(spec),
            _ => None,
        };
        let wished = self.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
        built.or(building).or(wished).map(AsRef::as_ref)
    }

    /// How the domain is virtualised.
    pub(super) fn mode(&self) -> Mode {
        match (self.spec(), &self.previous) {
            (Some(spec), _) => spec.mode,
            (None, Some(previous)) => previous.mode,
            (None, None) => Mode::default(),
        }
    }

    /// The name our domain has in Xen.
    pub(super) fn name(&self) -> Option<String> {
        match (self.spec(), &self.previous) {
            (Some(spec), _) => Some(spec.name.clone()),
            (None, Some(p)) if !p.name.is_empty() => Some(p.name.clone()),
            _ => None,
        }
    }
}
