//! What a worker knows. Nothing here is a decision.

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

/// The present content of a domain's file.
#[derive(Clone, Debug)]
pub enum Wish {
    /// There is no file.
    Absent,
    /// There is one, but it cannot be used. The last usable one, if any, stays in force.
    Unusable(String),
    /// It cannot be seen whether there is one. Nothing is begun or removed, and what runs goes on.
    Doubtful(String),
    /// There is one.
    Wanted(Desired),
}

/// A file that could be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desired {
    /// As it came.
    #[serde(flatten)]
    pub origin: Origin,
    /// What to build, or why that cannot be built.
    pub spec: Result<Arc<Spec>, String>,
    /// What the config says and the guest gets nothing of. Shown to people.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Shown to people, who can tell by it whether the config has changed. Nothing is decided from it.
    pub digest: String,
}

impl Desired {
    /// Whether both wish for the same: the same domain, whether it runs, and the same version. How the file says it
    /// does not matter, nor does what a version of this agent adds to it.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.origin.activate() == other.origin.activate()
            && self.origin.version() == other.origin.version()
            && match (&self.spec, &other.spec) {
                (Ok(ours), Ok(theirs)) => ours.says_the_same(theirs),
                (ours, theirs) => ours == theirs,
            }
    }

    /// The same, for a guest that may have been built from `before`, which an earlier agent may have left.
    pub(super) fn after(mut self, before: Option<&Self>, recovered: bool) -> Self {
        if let (Ok(spec), Some(Ok(before))) = (&mut self.spec, before.map(|b| &b.spec)) {
            Arc::make_mut(spec).keep_instance(before, recovered);
        }
        self
    }
}

/// A domain of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Domain {
    pub(super) id: DomainId,
    pub(super) life: Life,
    /// Memory that it had when last looked at, in KiB.
    #[serde(default)]
    pub(super) memory_kib: u64,
    /// Warnings about what it was given when it was built.
    #[serde(default)]
    pub(super) doubts: Vec<String>,
    /// Its name in Xen when last looked at.
    pub(super) name: Option<String>,
    /// User who paused it through this agent.
    #[serde(default)]
    pub(super) paused_by: Option<String>,
    /// Since when it is suspended, as far as we know.
    pub(super) suspended: Option<OffsetDateTime>,
    /// It has been unpaused: by us, or before we came.
    pub(super) started: bool,
    /// It ran until its soft reset, and is to be started again.
    pub(super) reset: bool,
    /// Since when its device model is gone.
    #[serde(skip)]
    pub(super) orphaned: Option<Time>,
    /// … and that is not because the domain itself is going.
    #[serde(skip)]
    pub(super) broken: bool,
    /// Its VNC display.
    #[serde(default)]
    pub(super) screen: Screen,
    /// What is known of its devices.
    #[serde(skip)]
    pub(super) connected: Connected,
    /// A create that came to nothing left it behind.
    pub(super) leftover: bool,
    /// Since when it runs, as far as we know.
    #[serde(skip)]
    pub(super) since: Time,
    /// It was being started when the agent ended.
    #[serde(skip)]
    pub(super) maybe_started: bool,
    /// It was being reset in place when the agent ended.
    #[serde(skip)]
    pub(super) half_reset: bool,
    /// It was being given this ending of its name when the agent ended.
    #[serde(skip)]
    pub(super) renaming: Option<String>,
    /// What it was built from. Unknown for an adopted one.
    pub(super) spec: Option<Arc<Spec>>,
    /// Its memory is in a file, so that it must not run again.
    #[serde(default)]
    pub(super) saved: bool,
    /// It was made from a file.
    #[serde(default)]
    pub(super) restored: bool,
    /// If it is found suspended until then, that is for a save of ours which came to nothing.
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

/// How far dealing with a guest that ended by itself has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Exit {
    pub(super) reason: ShutdownReason,
    /// What is left to do, last first.
    pub(super) steps: Vec<ExitStep>,
    pub(super) after: After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ExitStep {
    CoreDump,
    SoftReset,
    Preserve,
    Destroy,
    /// Take from it what its successor needs.
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// … or nobody can see whether it is.
    pub(super) doubtful: bool,
    /// Hold that an operator has placed. It overrides the config.
    pub(super) hold: Option<Hold>,
    /// The domain that is being brought down is to be built again with what its guest has written.
    pub(super) cycle: bool,
    /// What was changed by hand, and stands beside the wish.
    pub(super) changes: Changes,
    /// What is being changed.
    pub(super) changing: Option<Changing>,
    /// State at the last event.
    pub(super) told: Told,
    /// Orders that came before anything was known.
    pub(super) unheard: Vec<Given>,
    /// An order that is being worked off.
    pub(super) order: Option<UnderWay>,
    /// The newest usable config.
    pub(super) desired: Option<Desired>,
    /// Why the newest file is not usable, or not to be built from.
    pub(super) problem: Option<(String, OffsetDateTime)>,
    /// The facts come from the record of an earlier run of the agent.
    pub(super) recovered: bool,
    /// … and Xen has not been looked at since: what is known of the domain is as old as that run's end.
    pub(super) rejoin: bool,
    /// … and the wish has changed meanwhile.
    pub(super) renewed: bool,
    /// Why, and since when, nothing is built, changed or removed: what is remembered cannot be relied on.
    pub(super) hands_off: Option<(String, OffsetDateTime)>,
    pub(super) outstanding: Option<Op>,
    /// What we know of Xen may be out of date.
    pub(super) stale: bool,
    /// The next look must be at all domains.
    pub(super) look_wide: bool,
    pub(super) looking: Backoff,
    /// Operations that failed for want of the agent's own resources.
    pub(super) starved: Backoff,
    /// Xen has been looked at.
    pub(super) looked: bool,
    /// A look at all domains, newer than any hint or operation, found none with our uuid.
    pub(super) clear: bool,
    /// A create of a domain with this name failed, and nobody has looked for what it left.
    pub(super) create_failed: Option<String>,
    pub(super) domain: Option<Domain>,
    /// Other domains with our uuid, when last looked at.
    pub(super) siblings: Vec<Sibling>,
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
    /// Disks as they were when they were last ready, and the digest of the config that said so.
    pub(super) disks: Option<(String, Vec<Disk>)>,
    /// Copies of images that were whole when the disks were last ready. One that is missing was lost, not yet to be
    /// made.
    pub(super) whole: BTreeSet<String>,
    /// Every copy that was ever made for the key: nothing else is removed.
    pub(super) made: BTreeSet<String>,
    /// Its memory is in a file.
    pub(super) saved: Option<Saved>,
    /// There may be a file that is worth nothing any more.
    pub(super) forget_saved: bool,
    /// How far the copy under way has come.
    pub(super) progress: Option<Progress>,
    /// There may be copies that the domain does not need while it is down.
    pub(super) untidy: bool,
    /// Failed attempts at that.
    pub(super) discarding: Backoff,
    pub(super) tries: u32,
    pub(super) boot_failed: bool,
    /// … because another domain of ours has something that it needs.
    pub(super) in_use: bool,
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
    /// Xen cannot be looked at: why. Shown before `error`, which is not touched by it.
    pub(super) unreadable: Option<(String, OffsetDateTime)>,
    /// The agent lacks resources of its own for an operation: which. Shown before `error`, too.
    pub(super) lacking: Option<(String, OffsetDateTime)>,
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
    /// Whether these facts can be shown: the wish has been read, and, if an earlier run of the agent left a record,
    /// Xen has been looked at, or would not be. Before that they would show a wish as fulfilled that nobody has heard, and a running
    /// domain as if there were none.
    #[must_use]
    pub fn publishable(&self) -> bool {
        self.heard && (self.looked || self.looking.failures > 0 || !self.recovered)
    }

    /// The facts of a worker that has not looked anywhere yet.
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

    /// The same facts, with an error to show until the domain runs.
    #[must_use]
    pub fn faulted(mut self, text: String, at: OffsetDateTime) -> Self {
        (self.unreadable, self.lacking) = (None, None);
        self.error = Some((text, at));
        self
    }

    /// The same facts, of a worker that is to change nothing, because what is remembered cannot be relied on.
    #[must_use]
    pub fn hands_off(mut self, why: String, at: OffsetDateTime) -> Self {
        self.hands_off = Some((why, at));
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

    /// Whether what its spec names is its own: disks, addresses, names. As long as nobody has looked, it may be.
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

    /// What the domain was built from, or is being built from; otherwise what it would be.
    pub(super) fn spec(&self) -> Option<&Spec> {
        let built = self.domain.as_ref().and_then(|d| d.spec.as_ref());
        let building = match &self.outstanding {
            Some(Op::Create(spec) | Op::Restore(spec)) => Some(spec),
            _ => None,
        };
        let wished = self.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
        built.or(building).or(wished).map(AsRef::as_ref)
    }

    /// How the domain is virtualised.
    pub(super) fn mode(&self) -> Mode {
        self.spec().map(|spec| spec.mode).unwrap_or_default()
    }

    /// The name our domain has in Xen.
    pub(super) fn name(&self) -> Option<String> {
        let known = self.domain.as_ref().and_then(|d| d.name.clone());
        self.spec().map(|spec| spec.name.clone()).or(known)
    }
}
