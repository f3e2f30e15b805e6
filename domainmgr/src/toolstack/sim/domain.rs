//! One simulated domain.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{Life, ShutdownReason};
use super::guest::{Answer, Guest};
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
    pub(super) guest: Guest,
    pub(super) preserved: bool,
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

    pub(super) fn obey(&mut self, now: Millis) -> Answer {
        // A paused guest hears nothing, nor does a suspended one.
        if self.guest.deaf || self.running_since.is_none() {
            return Answer::Never;
        }
        if !self.guest.stubborn {
            let at = self.ran(now) + self.guest.stop;
            self.plans.push((at, ShutdownReason::POWEROFF.0));
        }
        Answer::Yes
    }
}
