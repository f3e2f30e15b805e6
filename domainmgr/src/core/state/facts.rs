//! The facts a worker holds about its key. Decisions are derived from them in [`step`](crate::core::step).

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::adapters::Adapters;
use super::backoff::Backoff;
use super::changing::Changing;
use super::disks::Disks;
use super::exit::After;
use super::job::Orders;
use super::looks::Looks;
use super::moving::Moved;
use super::past::Past;
use super::phase::Phase;
use super::saved::Saved;
use super::sibling::Sibling;
use super::wish::{File, Wished};
use crate::base::progress::Progress;
use crate::core::op::Op;
use crate::spec::change::Changes;
use crate::spec::settings::Settings;
use crate::spec::{Mode, Spec};
use crate::toolstack::DomainId;

/// Everything a worker knows about its key. Only [`step`](crate::core::step) changes these facts.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(in crate::core) uuid: Uuid,
    pub(in crate::core) settings: Settings,
    pub(in crate::core) wish: Wished,
    /// Orders of operators, and the hold that the last one has left.
    pub(in crate::core) orders: Orders,
    pub(in crate::core) phase: Phase,
    /// Other domains with our uuid, at the last look.
    pub(in crate::core) siblings: Vec<Sibling>,
    /// Age and reach of what is known about Xen.
    pub(in crate::core) looks: Looks,
    pub(in crate::core) outstanding: Option<Op>,
    /// Progress of that operation, if it tells.
    pub(in crate::core) progress: Option<Progress>,
    pub(in crate::core) disks: Disks,
    pub(in crate::core) adapters: Adapters,
    /// Changes made by hand, which apply in addition to the wish.
    pub(in crate::core) changes: Changes,
    /// The change under way.
    pub(in crate::core) changing: Option<Changing>,
    /// The saved domain, if there is one.
    pub(in crate::core) saved: Option<Saved>,
    /// The guest has gone to another host.
    pub(in crate::core) moved: Option<Moved>,
    /// There may be a file of a saved domain that is out of date.
    pub(in crate::core) forget_saved: bool,
    pub(in crate::core) past: Past,
    /// The facts come from the record of an earlier run of the agent.
    pub(in crate::core) recovered: bool,
    /// Reason why nothing is built, changed or removed, and its time: the recorded state cannot be relied on.
    pub(in crate::core) hands_off: Option<(String, OffsetDateTime)>,
    pub(in crate::core) error: Option<(String, OffsetDateTime)>,
    /// Failures for want of the agent's own resources.
    pub(in crate::core) starved: Backoff,
    /// Error of an operation for which the agent lacks resources of its own. Shown in preference to `error`.
    pub(in crate::core) lacking: Option<(String, OffsetDateTime)>,
}

/// Desired state of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Want {
    /// Unknown: the domain is left as it is.
    Unknown,
    /// The domain should run.
    Run,
    /// The domain should not run.
    Stop,
}

impl Facts {
    /// Tries a failed boot again at once.
    pub(in crate::core) fn try_boot_again(&mut self) {
        let Some(boot) = self.phase.boot_mut().filter(|boot| boot.failed.is_some()) else {
            return;
        };
        boot.at_once();
        self.past.tries = 0;
        // No event tells of a domain that an outsider has built meanwhile.
        self.looks.outdate();
    }

    /// Returns whether these facts can be published.
    ///
    /// The wish must have been read and, if an earlier run of the agent left a record, Xen must have been looked at, or
    /// a look must have failed. Before that, the status would show a wish as fulfilled that nobody has read, and a
    /// running domain as missing.
    #[must_use]
    pub fn publishable(&self) -> bool {
        self.wish.file != File::Unread
            && (self.looks.done || self.looks.backoff.failures > 0 || !self.recovered)
    }

    /// Returns the facts of a worker that has not looked anywhere yet.
    #[must_use]
    pub fn new(uuid: Uuid, settings: Settings) -> Self {
        Self {
            uuid,
            settings,
            wish: Wished::default(),
            orders: Orders::default(),
            phase: Phase::default(),
            siblings: Vec::new(),
            looks: Looks::default(),
            outstanding: None,
            progress: None,
            disks: Disks::default(),
            adapters: Adapters::default(),
            changes: Changes::default(),
            changing: None,
            saved: None,
            moved: None,
            forget_saved: false,
            past: Past::default(),
            recovered: false,
            hands_off: None,
            error: None,
            starved: Backoff::default(),
            lacking: None,
        }
    }

    /// Returns the same facts, with an error to show until the domain runs.
    #[must_use]
    pub fn faulted(mut self, text: String, at: OffsetDateTime) -> Self {
        (self.looks.failure, self.lacking) = (None, None);
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
        self.phase.domain().map(|d| d.id)
    }

    /// Returns whether the config file is there, as far as the worker knows.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wish.file != File::Absent
    }

    /// Returns whether nothing is to be known of the key any more: no file describes its domain, and it is of no use.
    pub(in crate::core) fn is_forgotten(&self) -> bool {
        let unwritten = self.wish.desired.as_ref().is_some_and(|d| d.unwritten);
        let used = self.orders.hold.is_some() || self.orders.under_way.is_some();
        // One that has just been made waits for its order, which does not outlive the agent.
        let known = self.past.has_run || self.recovered;
        unwritten && known && !used && !self.phase.has_domain() && self.saved.is_none()
    }

    /// Returns the spec that the present domain was built from, as far as known.
    #[must_use]
    pub fn built_from(&self) -> Option<Arc<Spec>> {
        self.phase.domain().and_then(|d| d.spec.clone())
    }

    /// Returns whether the domain may own what its spec names: disks, addresses, names.
    ///
    /// Until Xen has been looked at, it may.
    #[must_use]
    pub fn owns(&self) -> bool {
        let building = matches!(
            self.outstanding,
            Some(Op::Disks(..) | Op::Create(_) | Op::Restore(..) | Op::Receive(..))
        );
        !self.looks.done
            || self.phase.has_domain()
            || self.phase.restarts()
            || building
            || self.is_trying()
    }

    /// Returns whether attempts to boot the domain are under way: one was made, and none has failed for good.
    pub(in crate::core) fn is_trying(&self) -> bool {
        let given_up = self.phase.boot_failed() || self.phase.has_ended();
        self.want() == Want::Run && self.past.tries > 0 && !given_up
    }

    pub(in crate::core) fn want(&self) -> Want {
        let desired = match self.wish.file {
            File::Unread => None,
            File::Absent => return Want::Stop,
            File::Doubtful | File::There => self.wish.desired.as_ref(),
        };
        let Some(desired) = desired else {
            return Want::Unknown;
        };
        let held = self.orders.hold.as_ref().map(|hold| hold.run);
        if held.unwrap_or(desired.run) {
            Want::Run
        } else {
            Want::Stop
        }
    }

    /// Returns whether the wish asks for a running domain.
    pub(in crate::core) fn is_activated(&self) -> bool {
        self.wish.desired.as_ref().is_some_and(|d| d.run)
    }

    /// Returns the spec that the domain was or is being built from; otherwise the one that it would be built from.
    pub(in crate::core) fn spec(&self) -> Option<&Arc<Spec>> {
        let built = self.phase.domain().and_then(|d| d.spec.as_ref());
        let building = match &self.outstanding {
            Some(Op::Create(spec) | Op::Restore(spec, _) | Op::Receive(spec, _)) => Some(spec),
            _ => None,
        };
        let wished = self
            .wish
            .desired
            .as_ref()
            .and_then(|d| d.spec.as_ref().ok());
        built.or(building).or(wished)
    }

    /// Returns whether the dead domain stays where it is, because its action says so or could not be done.
    pub(in crate::core) fn is_preserved(&self) -> bool {
        match &self.phase {
            Phase::Ending(_, exit) => exit.after == After::Keep && exit.steps.is_empty(),
            _ => false,
        }
    }

    /// Virtualisation mode of the domain.
    pub(in crate::core) fn mode(&self) -> Mode {
        self.spec().map(|spec| spec.mode).unwrap_or_default()
    }

    /// Name of the domain in Xen: from the spec or, without one, as last seen.
    pub(in crate::core) fn name(&self) -> Option<String> {
        let known = self.phase.domain().and_then(|d| d.name.clone());
        self.spec().map(|spec| spec.name.clone()).or(known)
    }
}
