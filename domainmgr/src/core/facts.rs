//! The facts a worker holds about its domain. Decisions are derived from them in [`step`](super::step).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::changing::Changing;
use super::devices::Connected;
use super::halting::Halt;
use super::history::Told;
use super::op::Op;
use super::order::{Given, Hold, UnderWay};
use super::reserved::Holding;
use super::saving::Saved;
use super::screen::Screen;
use super::sibling::Sibling;
use super::time::Time;
use crate::change::Changes;
use crate::disks::{Copies, Progress};
use crate::settings::Settings;
use crate::spec::{Disk, Mode, Spec};
use crate::toolstack::{DomainId, Life, ShutdownReason};
use crate::wish::Origin;

/// The present content of a domain's config file.
#[derive(Clone, Debug)]
pub enum Wish {
    /// There is no file.
    Absent,
    /// There is a file, but it cannot be used. The last usable one, if any, stays in force.
    Unusable(String),
    /// It is unknown whether there is a file. Nothing is begun or removed, and a running domain goes on.
    Doubtful(String),
    /// There is a file, and it could be read.
    Wanted(Desired),
}

/// A config file that could be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desired {
    /// Content of the file, as it was read.
    #[serde(flatten)]
    pub origin: Origin,
    /// The spec to build, or the reason why it cannot be built.
    pub spec: Result<Arc<Spec>, String>,
    /// Warnings about the config, such as settings of which the guest gets nothing. Shown to people.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Digest of the config, by which people can tell whether it has changed. Nothing is decided from it.
    pub digest: String,
}

impl Desired {
    /// Returns whether both wish for the same: the same domain, the same choice of running or not, and the same
    /// version.
    ///
    /// The wording of the file does not matter, nor does anything that a version of this agent adds to it.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.origin.activate() == other.origin.activate()
            && self.origin.version() == other.origin.version()
            && match (&self.spec, &other.spec) {
                (Ok(ours), Ok(theirs)) => ours.says_the_same(theirs),
                (ours, theirs) => ours == theirs,
            }
    }

    /// The same wish, for a guest that may have been built from `before`: the guest keeps its cloud-init instance.
    ///
    /// With `recovered`, an earlier agent may have left `before`.
    pub(super) fn after(mut self, before: Option<&Self>, recovered: bool) -> Self {
        if let (Ok(spec), Some(Ok(before))) = (&mut self.spec, before.map(|b| &b.spec)) {
            Arc::make_mut(spec).keep_instance(before, recovered);
        }
        self
    }
}

/// The domain that a worker manages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Domain {
    pub(super) id: DomainId,
    pub(super) life: Life,
    /// Memory at the last look, in KiB.
    #[serde(default)]
    pub(super) memory_kib: u64,
    /// Warnings about what the domain was given when it was built.
    #[serde(default)]
    pub(super) doubts: Vec<String>,
    /// Name in Xen at the last look.
    pub(super) name: Option<String>,
    /// User who paused the domain through this agent.
    #[serde(default)]
    pub(super) paused_by: Option<String>,
    /// Time since which the domain has been suspended, as far as known.
    pub(super) suspended: Option<OffsetDateTime>,
    /// The domain has been unpaused, by this agent or before this agent came.
    pub(super) started: bool,
    /// The domain ran until its soft reset, and is to be started again.
    pub(super) reset: bool,
    /// Time since which the device model has been gone.
    #[serde(skip)]
    pub(super) orphaned: Option<Time>,
    /// The device model is gone, and not because the domain itself is going.
    #[serde(skip)]
    pub(super) broken: bool,
    /// VNC display of the domain.
    #[serde(default)]
    pub(super) screen: Screen,
    /// Result of the last look at the domain's devices.
    #[serde(skip)]
    pub(super) connected: Connected,
    /// A create, start or soft reset that came to nothing left the domain behind.
    pub(super) leftover: bool,
    /// Time since which the domain has been running, as far as known.
    #[serde(skip)]
    pub(super) since: Time,
    /// The domain was being started when the agent ended.
    #[serde(skip)]
    pub(super) maybe_started: bool,
    /// The domain was being reset in place when the agent ended.
    #[serde(skip)]
    pub(super) half_reset: bool,
    /// Suffix that was being added to the domain's name when the agent ended.
    #[serde(skip)]
    pub(super) renaming: Option<String>,
    /// Spec that the domain was built from; unknown for an adopted domain.
    pub(super) spec: Option<Arc<Spec>>,
    /// The domain's memory is in a file, so the domain must not run again.
    #[serde(default)]
    pub(super) saved: bool,
    /// The domain was restored from a file.
    #[serde(default)]
    pub(super) restored: bool,
    /// Until this time, a domain found suspended counts as suspended for a save of this agent that came to nothing.
    #[serde(skip)]
    pub(super) saving_until: Option<Time>,
}

impl Domain {
    /// A domain that has been built, and of which nothing else is known.
    pub(super) fn new(id: DomainId, life: Life, now: Time) -> Self {
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
            orphaned: None,
            broken: false,
            screen: Screen::default(),
            connected: Connected::default(),
            leftover: false,
            since: now,
            maybe_started: false,
            half_reset: false,
            renaming: None,
            spec: None,
            saved: false,
            restored: false,
            saving_until: None,
        }
    }
}

/// Progress in dealing with a guest that ended although it should run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Exit {
    pub(super) reason: ShutdownReason,
    /// Remaining steps, in reverse order.
    pub(super) steps: Vec<ExitStep>,
    pub(super) after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ExitStep {
    CoreDump,
    SoftReset,
    Preserve,
    Destroy,
    /// Take the disks and network interfaces that the successor needs.
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum After {
    End,
    Restart,
    /// The dead domain stays where it is, under its name.
    Keep,
}

/// Earliest time at which the domain may be built, or started if it is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Ready,
    Until(Time),
    /// Not before a newer wish.
    Ended,
}

/// Change of the wish that the worker is still working off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Add,
    Modify,
}

/// Number of failed attempts at an operation, and time of the next attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    pub(super) failures: u32,
    pub(super) next: Option<Time>,
}

impl Backoff {
    /// Counts a failure. Returns the pause before the next attempt: 5 s, 10 s, 20 s … 60 s.
    pub(super) fn fail(&mut self, now: Time) -> Duration {
        let pause = doubling(Duration::from_secs(5), self.failures);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + pause);
        pause
    }

    /// Returns the time of the next attempt, if it lies ahead.
    pub(super) fn waiting(&self, now: Time) -> Option<Time> {
        self.next.filter(|&at| at > now)
    }
}

/// Returns `first`, doubled `times` times, but at most a minute.
pub(super) fn doubling(first: Duration, times: u32) -> Duration {
    first
        .saturating_mul(1 << times.min(10))
        .min(Duration::from_secs(60))
}

/// Everything a worker knows about its key. Only [`step`](super::step) changes these facts.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(super) uuid: Uuid,
    pub(super) settings: Settings,
    /// The config file has been looked at.
    pub(super) heard: bool,
    /// The config file is there.
    pub(super) present: bool,
    /// It is unknown whether the config file is there.
    pub(super) doubtful: bool,
    /// Hold that an operator has placed. It overrides the config.
    pub(super) hold: Option<Hold>,
    /// The domain that is being brought down is to be built again with what its guest has written.
    pub(super) cycle: bool,
    /// Changes made by hand, which apply in addition to the wish.
    pub(super) changes: Changes,
    /// The change under way.
    pub(super) changing: Option<Changing>,
    /// State at the last event.
    pub(super) told: Told,
    /// Orders that wait, for the first look or for the end of the change under way.
    pub(super) unheard: Vec<Given>,
    /// The order that is being worked off.
    pub(super) order: Option<UnderWay>,
    /// The newest usable config.
    pub(super) desired: Option<Desired>,
    /// Reason why the newest file cannot be used or built from, and its time.
    pub(super) problem: Option<(String, OffsetDateTime)>,
    /// The facts come from the record of an earlier run of the agent.
    pub(super) recovered: bool,
    /// Xen has not been looked at since an earlier run of the agent: the facts about the domain are as old as that
    /// run's end.
    pub(super) rejoin: bool,
    /// The wish has changed since an earlier run of the agent.
    pub(super) renewed: bool,
    /// Reason why nothing is built, changed or removed, and its time: the recorded state cannot be relied on.
    pub(super) hands_off: Option<(String, OffsetDateTime)>,
    pub(super) outstanding: Option<Op>,
    /// The known state of Xen may be out of date.
    pub(super) stale: bool,
    /// The next look must be at all domains.
    pub(super) look_wide: bool,
    pub(super) looking: Backoff,
    /// Failures for want of the agent's own resources.
    pub(super) starved: Backoff,
    /// Xen has been looked at.
    pub(super) looked: bool,
    /// A look at all domains, newer than any hint or operation, found none with our uuid.
    pub(super) clear: bool,
    /// Name of a domain whose create failed, if Xen has not been searched since for the remains of that create.
    pub(super) create_failed: Option<String>,
    pub(super) domain: Option<Domain>,
    /// Other domains with our uuid, at the last look.
    pub(super) siblings: Vec<Sibling>,
    pub(super) halt: Option<Halt>,
    pub(super) exit: Option<Exit>,
    pub(super) destroying: Backoff,
    pub(super) adapters: Holding,
    /// Adapters that the domain needs cannot be reserved.
    pub(super) adapters_failed: bool,
    pub(super) reserving: Backoff,
    pub(super) rest: Rest,
    /// State, at the next build, of copies that are not preserved: fresh, or as the guest has left them.
    pub(super) copies: Copies,
    /// Spec whose disks are ready, and the same spec with every path in it.
    pub(super) ready: Option<(Arc<Spec>, Arc<Spec>)>,
    /// Disks as they were when they were last ready, after the digest of the config that they belong to.
    pub(super) disks: Option<(String, Vec<Disk>)>,
    /// Copies of images that were whole when the disks were last ready. If one is missing, it was lost, and is not one
    /// that has yet to be made.
    pub(super) whole: BTreeSet<String>,
    /// Every copy that was ever made for the key. No other file is removed.
    pub(super) made: BTreeSet<String>,
    /// The saved domain, if there is one.
    pub(super) saved: Option<Saved>,
    /// There may be a file of a saved domain that is out of date.
    pub(super) forget_saved: bool,
    /// Progress of the copy under way.
    pub(super) progress: Option<Progress>,
    /// There may be copies that the domain does not need while it is down.
    pub(super) untidy: bool,
    /// Failed attempts to remove such copies.
    pub(super) discarding: Backoff,
    pub(super) tries: u32,
    pub(super) boot_failed: bool,
    /// The boot failed because another domain of this agent has something that this one needs.
    pub(super) in_use: bool,
    /// A restart is under way.
    pub(super) restarting: bool,
    /// Spec to build the restarted domain from: the config may have changed since the domain was built.
    pub(super) rebuild: Option<Arc<Spec>>,
    pub(super) restarts: u32,
    pub(super) short_lives: u32,
    /// There has been a domain, or an attempt at one that failed and was given up.
    pub(super) has_run: bool,
    pub(super) last_exit: Option<String>,
    /// Action taken at the last exit.
    pub(super) last_action: Option<String>,
    pub(super) ended: bool,
    /// An outsider ended the domain, so it may go on elsewhere: only a newer wish builds it again.
    pub(super) vanished: bool,
    pub(super) boot_time: Option<OffsetDateTime>,
    pub(super) next_retry: Option<OffsetDateTime>,
    pub(super) error: Option<(String, OffsetDateTime)>,
    /// Reason why Xen cannot be looked at. Shown in preference to `error`, which stays as it is.
    pub(super) unreadable: Option<(String, OffsetDateTime)>,
    /// Error of an operation for which the agent lacks resources of its own. Shown in preference to `error`, too.
    pub(super) lacking: Option<(String, OffsetDateTime)>,
    pub(super) pending: Option<Pending>,
}

/// Desired state of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Unknown: the domain is left as it is.
    Unknown,
    /// The domain should run.
    Run,
    /// The domain should not run.
    Stop,
}

impl Facts {
    /// Returns whether these facts can be published.
    ///
    /// The wish must have been read and, if an earlier run of the agent left a record, Xen must have been looked at, or
    /// a look must have failed. Before that, the status would show a wish as fulfilled that nobody has read, and a
    /// running domain as missing.
    #[must_use]
    pub fn publishable(&self) -> bool {
        self.heard && (self.looked || self.looking.failures > 0 || !self.recovered)
    }

    /// Returns the facts of a worker that has not looked anywhere yet.
    #[must_use]
    pub fn new(uuid: Uuid, settings: Settings) -> Self {
        Self {
            uuid,
            settings,
            heard: false,
            present: true,
            doubtful: false,
            hold: None,
            cycle: false,
            changes: Changes::default(),
            changing: None,
            told: Told::default(),
            unheard: Vec::new(),
            order: None,
            desired: None,
            problem: None,
            recovered: false,
            rejoin: false,
            renewed: false,
            hands_off: None,
            outstanding: None,
            stale: true,
            look_wide: true,
            looking: Backoff::default(),
            starved: Backoff::default(),
            looked: false,
            clear: false,
            create_failed: None,
            domain: None,
            siblings: Vec::new(),
            halt: None,
            exit: None,
            destroying: Backoff::default(),
            adapters: Holding::Nothing,
            adapters_failed: false,
            reserving: Backoff::default(),
            rest: Rest::Ready,
            copies: Copies::Fresh,
            ready: None,
            disks: None,
            whole: BTreeSet::new(),
            made: BTreeSet::new(),
            saved: None,
            forget_saved: false,
            progress: None,
            untidy: true,
            discarding: Backoff::default(),
            tries: 0,
            boot_failed: false,
            in_use: false,
            restarting: false,
            rebuild: None,
            restarts: 0,
            short_lives: 0,
            has_run: false,
            last_exit: None,
            last_action: None,
            ended: false,
            vanished: false,
            boot_time: None,
            next_retry: None,
            error: None,
            unreadable: None,
            lacking: None,
            pending: Some(Pending::Add),
        }
    }

    /// Returns the same facts, with an error to show until the domain runs.
    #[must_use]
    pub fn faulted(mut self, text: String, at: OffsetDateTime) -> Self {
        (self.unreadable, self.lacking) = (None, None);
        self.error = Some((text, at));
        self
    }

    /// Returns the same facts, for a worker that must change nothing because the recorded state cannot be relied on.
    #[must_use]
    pub fn hands_off(mut self, why: String, at: OffsetDateTime) -> Self {
        self.hands_off = Some((why, at));
        self
    }

    /// Returns the operation that the worker is to finish next.
    #[must_use]
    pub fn outstanding(&self) -> Option<&Op> {
        self.outstanding.as_ref()
    }

    /// Returns the domain that the worker manages.
    #[must_use]
    pub fn domain(&self) -> Option<DomainId> {
        self.domain.as_ref().map(|d| d.id)
    }

    /// Returns whether the config file is there, as far as the worker knows.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.present
    }

    /// Returns whether the domain may own what its spec names: disks, addresses, names.
    ///
    /// Until Xen has been looked at, it may.
    #[must_use]
    pub fn owns(&self) -> bool {
        let building = matches!(
            self.outstanding,
            Some(Op::Disks(..) | Op::Create(_) | Op::Restore(_))
        );
        let trying = self.want() == Want::Run && self.tries > 0 && !self.boot_failed && !self.ended;
        !self.looked || self.domain.is_some() || self.restarting || building || trying
    }

    pub(super) fn want(&self) -> Want {
        if !self.heard {
            Want::Unknown
        } else if !self.present {
            Want::Stop
        } else {
            match &self.desired {
                None => Want::Unknown,
                Some(desired) => {
                    let held = self.hold.as_ref().map(|hold| hold.run);
                    if held.unwrap_or(desired.origin.activate()) {
                        Want::Run
                    } else {
                        Want::Stop
                    }
                }
            }
        }
    }

    /// Returns the spec that the domain was or is being built from; otherwise the one that it would be built from.
    pub(super) fn spec(&self) -> Option<&Spec> {
        let built = self.domain.as_ref().and_then(|d| d.spec.as_ref());
        let building = match &self.outstanding {
            Some(Op::Create(spec) | Op::Restore(spec)) => Some(spec),
            _ => None,
        };
        let wished = self.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
        built.or(building).or(wished).map(AsRef::as_ref)
    }

    /// Virtualisation mode of the domain.
    pub(super) fn mode(&self) -> Mode {
        self.spec().map(|spec| spec.mode).unwrap_or_default()
    }

    /// Name of the domain in Xen: from the spec or, without one, as last seen.
    pub(super) fn name(&self) -> Option<String> {
        let known = self.domain.as_ref().and_then(|d| d.name.clone());
        self.spec().map(|spec| spec.name.clone()).or(known)
    }
}
