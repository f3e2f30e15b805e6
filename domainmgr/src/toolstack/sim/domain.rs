//! One simulated domain.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{Life, ShutdownReason};
use super::guest::{ACK, Answer, Guest};
use super::live::SimLive;
use super::model::Millis;

/// One domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SimDomain {
    pub(super) uuid: Uuid,
    pub(super) name: Option<String>,
    pub(super) memory_mib: u64,
    pub(super) hvm: bool,
    /// It has no device model any more.
    #[serde(default)]
    pub(super) orphaned: bool,
    pub(super) paused: bool,
    pub(super) shutdown: Option<u8>,
    /// xenstored has told everybody that it has shut down, and will not do so again before it is told of a resume.
    pub(super) announced: bool,
    /// Taken apart; listed until then.
    pub(super) dying_until: Option<Millis>,
    pub(super) started: bool,
    pub(super) ran_ms: Millis,
    pub(super) running_since: Option<Millis>,
    /// Its drivers are up once it has run for so long.
    #[serde(default)]
    pub(super) up_at: Millis,
    pub(super) guest: Guest,
    pub(super) preserved: bool,
    /// Its VNC display.
    #[serde(default)]
    pub(super) screen: Option<u32>,
    /// Disks that it may write to, and names of its interfaces: no other domain can have them.
    #[serde(default)]
    pub(super) holds: BTreeSet<String>,
    /// What can be changed while it runs.
    #[serde(default)]
    pub(super) live: SimLive,
    /// What the guest will do, counted in time it runs.
    pub(super) plans: Vec<(Millis, u8)>,
}

impl SimDomain {
    pub(super) fn life(&self) -> Life {
        match self.shutdown {
            _ if self.dying_until.is_some() => Life::Dying,
            Some(reason) => Life::Shutdown(ShutdownReason(reason)),
            None if self.paused => Life::Paused,
            None => Life::Running,
        }
    }

    /// What it does, in libxl's words.
    pub(super) fn words(&self) -> String {
        match self.life() {
            Life::Dying => "dying".to_owned(),
            Life::Shutdown(reason) => format!("shut down ({reason})"),
            Life::Paused => "paused".to_owned(),
            Life::Running => "running".to_owned(),
        }
    }

    pub(super) fn ran(&self, now: Millis) -> Millis {
        self.ran_ms
            + self
                .running_since
                .map_or(0, |since| now.saturating_sub(since) + 1)
    }

    pub(super) fn stop_running(&mut self, now: Millis) {
        self.ran_ms = self.ran(now);
        self.running_since = None;
    }

    pub(super) fn go_on_running(&mut self, now: Millis) {
        if self.running_since.is_none() && self.life() == Life::Running {
            self.running_since = Some(now);
        }
    }

    pub(super) fn next_due(&self) -> Option<Millis> {
        let since = self.running_since.filter(|_| self.dying_until.is_none());
        let plan = self.plans.iter().map(|(at, _)| *at).min();
        let act = since
            .zip(plan)
            .map(|(since, at)| since + at.saturating_sub(self.ran_ms));
        self.dying_until.or(act)
    }

    /// What the guest does by itself at `now`.
    pub(super) fn act(&mut self, now: Millis) -> Option<u8> {
        if self.next_due().is_none_or(|due| due > now) || self.dying_until.is_some() {
            return None;
        }
        let first = self
            .plans
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)?
            .0;
        Some(self.plans.swap_remove(first).1)
    }

    /// It has been started: its kernel boots.
    pub(super) fn boot(&mut self, now: Millis) {
        self.up_at = self.ran(now) + self.guest.boot.unwrap_or(0);
    }

    /// For how long it has to run before its drivers are up.
    pub(super) fn boots_for(&self, now: Millis) -> Millis {
        self.up_at.saturating_sub(self.ran(now))
    }

    /// It is asked for something that it does after it has run for so long. What it is asked in xenstore while it boots,
    /// it finds there when its drivers come up, unless that is too late.
    pub(super) fn ask(&mut self, now: Millis, after: Option<Millis>, reason: u8) -> Answer {
        let boots = self.boots_for(now);
        // A paused guest hears nothing, nor does a suspended one.
        if self.guest.boot.is_none() || self.running_since.is_none() || boots >= ACK {
            return Answer::Never;
        }
        if let Some(after) = after {
            self.plans.push((self.ran(now) + boots + after, reason));
        }
        Answer::In(boots)
    }

    /// It is asked to power off.
    pub(super) fn obey(&mut self, now: Millis) -> Answer {
        let after = (!self.guest.stubborn).then_some(self.guest.stop);
        self.ask(now, after, ShutdownReason::POWEROFF.0)
    }
}
