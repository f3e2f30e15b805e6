//! The facts as seen from outside, in no frontend's terms.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::changing;
use super::elsewhere;
use super::reasons;
use super::state::boot::Boot;
use super::state::domain::Domain;
use super::state::exit::After;
use super::state::facts::{Facts, Want};
use super::state::job::{Job, UnderWay};
use super::state::order::Hold;
use super::state::origin::Origin;
use super::state::phase::Phase;
use super::state::wish::Pending;
use crate::base::progress::Progress;
use crate::spec::{Disk, Mode, Spec};
use crate::toolstack::{Life, ShutdownReason};

/// State of a key's domain, as people know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// There never was a domain.
    #[default]
    Installed,
    /// A domain is being built or started.
    Booting,
    /// The guest runs.
    Running,
    /// The domain is suspended.
    Suspended,
    /// The domain is paused.
    Paused,
    /// The domain has lost its device model.
    Broken,
    /// The domain is going down.
    Halting,
    /// The domain is gone.
    Halted,
    /// The domain's memory is in a file.
    Saved,
    /// The guest has ended, and its domain is kept.
    Preserved,
}

impl State {
    /// All states.
    pub const ALL: [Self; 10] = [
        Self::Installed,
        Self::Booting,
        Self::Running,
        Self::Suspended,
        Self::Paused,
        Self::Broken,
        Self::Halting,
        Self::Halted,
        Self::Saved,
        Self::Preserved,
    ];

    /// Name of the state.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Installed => "INSTALLED",
            Self::Booting => "BOOTING",
            Self::Running => "RUNNING",
            Self::Suspended => "SUSPENDED",
            Self::Paused => "PAUSED",
            Self::Broken => "BROKEN",
            Self::Halting => "HALTING",
            Self::Halted => "HALTED",
            Self::Saved => "SAVED",
            Self::Preserved => "PRESERVED",
        }
    }
}

/// A domain that does not run, and is kept for somebody to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Domid.
    pub domid: u32,
    /// Name in Xen, if it is known.
    pub name: Option<String>,
    /// Reason of its end.
    pub reason: String,
}

/// Everything that can be seen of a key.
#[derive(Clone, Debug)]
pub struct View {
    /// The key.
    pub key: Uuid,
    /// Source of the newest usable wish.
    pub origin: Option<Origin>,
    /// The writer's own number for the newest usable wish; empty if there is none.
    pub version: String,
    /// Digest of the newest usable config; empty if there is none.
    pub digest: String,
    /// The config is there, as far as known.
    pub wanted: bool,
    /// The change of the wish that is being worked off.
    pub pending: Option<Pending>,
    /// State of the domain.
    pub state: State,
    /// Explanation of the state where somebody else has a hand in it; else empty.
    pub reason: String,
    /// There is a domain, and it has been started.
    pub started: bool,
    /// Name of the domain in Xen, by its spec or as last seen; empty if unknown.
    pub name: String,
    /// Name that somebody else has given to the domain.
    pub renamed_to: Option<String>,
    /// Domid; 0 if there is no domain.
    pub domid: u32,
    /// Memory of the domain in KiB; 0 if there is none.
    pub memory_kib: u64,
    /// Virtualisation mode.
    pub mode: Mode,
    /// Spec that the domain was built from, or is to be built from.
    pub spec: Option<Arc<Spec>>,
    /// Disks of the existing domain, or those that were made ready for the present config.
    pub disks: Option<Vec<Disk>>,
    /// Progress of the copy or the save under way.
    pub progress: Option<Progress>,
    /// VNC display that the domain has, or is to have.
    pub display: Option<u32>,
    /// Time at which the domain was started.
    pub boot_time: Option<OffsetDateTime>,
    /// Time since which the domain has been suspended.
    pub suspended_since: Option<OffsetDateTime>,
    /// Files that somebody has named and that are out of date, unless they were written since this time.
    pub spent: Vec<(String, OffsetDateTime)>,
    /// The file that the domain is saved in, if somebody has named one.
    pub saved_in: Option<String>,
    /// The other host that the guest has gone to.
    pub moved_to: Option<String>,
    /// The other host that the guest was given away to, as long as it is not known whether it runs there.
    pub given_to: Option<String>,
    /// Time since which the domain's memory has been in a file.
    pub saved_since: Option<OffsetDateTime>,
    /// Number of boot attempts.
    pub tries: u32,
    /// The boot has failed for good.
    pub boot_failed: bool,
    /// Time of the next attempt to boot.
    pub next_retry: Option<OffsetDateTime>,
    /// Adapters that the domain needs cannot be reserved.
    pub adapters_failed: bool,
    /// Number of restarts because the guest had ended.
    pub restarts: u32,
    /// Reason of the guest's last end; empty if there was none.
    pub last_exit: String,
    /// Action taken at that end; empty if there was none.
    pub last_action: String,
    /// The guest ended although it should run.
    pub ended: bool,
    /// An outsider ended the domain.
    pub vanished: bool,
    /// Hold that an operator has placed.
    pub hold: Option<Hold>,
    /// The order that is being worked off, after the last one that has come to its end.
    pub jobs: Vec<Job>,
    /// Changes made by hand.
    pub changed: Vec<String>,
    /// Those of the changes that the domain does not have yet, and the reasons.
    pub waiting: Vec<String>,
    /// Domains that are kept.
    pub preserved: Vec<Kept>,
    /// The error to show, and its time.
    pub error: Option<(String, OffsetDateTime)>,
    /// Warnings about the config and about the domain.
    pub warnings: Vec<String>,
}

/// Returns what can be seen of the facts `f`.
#[must_use]
pub fn view(f: &Facts) -> View {
    let domain = f.phase.domain();
    let desired = f.wish.desired.as_ref();
    let digest = desired.map(|d| d.digest.clone()).unwrap_or_default();
    let name = f.name();
    let warned = desired.map(|d| d.warnings.clone()).unwrap_or_default();
    let doubts = domain.map(|d| d.doubts.clone()).unwrap_or_default();
    View {
        key: f.uuid,
        origin: desired.map(|d| d.origin.clone()),
        version: desired.map(|d| d.version.clone()).unwrap_or_default(),
        wanted: f.is_wanted(),
        pending: f.wish.pending,
        state: state(f),
        reason: reasons::of(f),
        started: f.phase.is_started(),
        renamed_to: domain
            .and_then(|d| d.name.clone())
            .filter(|known| Some(known) != name.as_ref()),
        name: name.unwrap_or_default(),
        domid: domain.map_or(0, |d| d.id.domid),
        memory_kib: domain.map_or(0, |d| d.memory_kib),
        mode: f.mode(),
        spec: f.spec().cloned(),
        disks: disks(f, &digest),
        progress: f.progress,
        display: f.display(),
        boot_time: f.past.boot_time,
        suspended_since: domain.and_then(|d| d.suspended),
        spent: f.past.spent.clone(),
        saved_in: f.saved.as_ref().and_then(|saved| saved.file.clone()),
        moved_to: f.moved.as_ref().map(|moved| moved.to.clone()),
        given_to: elsewhere::in_doubt(f),
        saved_since: f.saved.as_ref().map(|saved| saved.at),
        tries: f.past.tries,
        boot_failed: f.phase.boot_failed(),
        next_retry: f.phase.boot().and_then(|boot| boot.next_retry),
        adapters_failed: f.adapters.failed,
        restarts: f.past.restarts,
        last_exit: f.past.last_exit.clone().unwrap_or_default(),
        last_action: f.past.last_action.clone().unwrap_or_default(),
        ended: f.phase.has_ended(),
        vanished: f.phase.has_vanished(),
        hold: f.orders.hold.clone(),
        jobs: jobs(f),
        changed: f.changes.words(),
        waiting: changing::waiting(f),
        preserved: preserved(f),
        error: error(f),
        warnings: warned.into_iter().chain(doubts).collect(),
        digest,
    }
}

/// The order that is being worked off, after the last one that has come to its end.
fn jobs(f: &Facts) -> Vec<Job> {
    let under_way = f.orders.under_way.as_ref().map(UnderWay::job);
    f.orders.last.clone().into_iter().chain(under_way).collect()
}

/// Returns the error to show. Without a usable config, the reason for that goes before errors of the domain.
fn error(f: &Facts) -> Option<(String, OffsetDateTime)> {
    let problem = f.wish.problem.as_ref();
    let first = problem.filter(|_| f.wish.desired.is_none());
    let (mut text, when) = f
        .hands_off
        .as_ref()
        .or(first)
        .or(f.looks.failure.as_ref())
        .or(f.lacking.as_ref())
        .or(f.error.as_ref())
        .or(problem)
        .cloned()?;
    // Somebody who corrects the config of a domain that did not start must learn that the new config is unusable.
    let newer = problem.filter(|_| f.phase.boot_failed() && !f.phase.has_ended());
    if let Some((since, _)) = newer.filter(|(since, _)| *since != text) {
        text = format!("{text}; since then: {since}");
    }
    Some((text, when))
}

/// Disks of the existing domain, or those that were made ready for the present config.
fn disks(f: &Facts, digest: &str) -> Option<Vec<Disk>> {
    let known = f.disks.shown.as_ref();
    let (_, disks) = known.filter(|(of, _)| of == digest || f.phase.has_domain())?;
    Some(disks.clone())
}

/// Domains with our uuid that are kept for somebody to look into.
fn preserved(f: &Facts) -> Vec<Kept> {
    let ours = f.phase.domain().filter(|_| f.is_preserved());
    let ours = ours.map(|d| (d.id, &d.name, d.life));
    let kept = f.siblings.iter().filter(|b| b.kept);
    kept.map(|b| (b.id, &b.name, b.life))
        .chain(ours)
        .filter_map(|(id, name, life)| {
            Some(Kept {
                domid: id.domid,
                name: name.clone(),
                reason: reasons::of_kept(life)?,
            })
        })
        .collect()
}

/// Returns the state of the domain.
pub(super) fn state(f: &Facts) -> State {
    match &f.phase {
        Phase::Down(boot) => of_none(f, boot),
        Phase::Halting(..) | Phase::PutAway(_) => State::Halting,
        Phase::Leftover(..) if f.want() != Want::Run => State::Halting,
        Phase::Built(..) | Phase::Leftover(..) => State::Booting,
        Phase::Up(domain) | Phase::GivenAway(domain, _) => of_life(domain, None),
        Phase::Ending(domain, exit) => of_life(domain, Some(exit.after)),
    }
}

/// State of a key without a domain.
fn of_none(f: &Facts, boot: &Boot) -> State {
    if boot.is_restart() || f.is_trying() {
        State::Booting
    } else if f.is_wanted() && f.saved.is_some() {
        State::Saved
    } else if f.past.has_run || !f.is_wanted() {
        State::Halted
    } else {
        State::Installed
    }
}

/// State of a domain that has been started, and of which this comes after its end.
fn of_life(domain: &Domain, after: Option<After>) -> State {
    match (domain.life, after) {
        (Life::Shutdown(ShutdownReason::SUSPEND), _) => State::Suspended,
        (Life::Paused | Life::Running, _) if domain.is_broken() => State::Broken,
        (Life::Paused, _) => State::Paused,
        (Life::Running, _) => State::Running,
        (_, Some(After::Restart)) => State::Booting,
        (_, Some(After::Keep)) => State::Preserved,
        (Life::Dying | Life::Shutdown(_), _) => State::Halting,
    }
}
