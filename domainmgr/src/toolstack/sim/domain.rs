//! One simulated domain.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::devices::SimLive;
use super::guest::{ACK, Answer, Guest, Millis};
use crate::spec::ShutdownReason;
use crate::toolstack::domain::Life;

/// State of one domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SimDomain {
    pub(super) uuid: Uuid,
    pub(super) name: Option<String>,
    pub(super) memory_mib: u64,
    pub(super) hvm: bool,
    /// The device model has ended.
    #[serde(default)]
    pub(super) orphaned: bool,
    pub(super) paused: bool,
    pub(super) shutdown: Option<u8>,
    /// xenstored has announced the shutdown, and announces no other before it is told of a resume.
    pub(super) announced: bool,
    /// The domain is being torn down, and is listed until this time.
    pub(super) dying_until: Option<Millis>,
    pub(super) started: bool,
    pub(super) ran_ms: Millis,
    pub(super) running_since: Option<Millis>,
    /// Running time after which the guest's drivers are up.
    #[serde(default)]
    pub(super) up_at: Millis,
    pub(super) guest: Guest,
    /// Command line of the guest.
    #[serde(default)]
    pub(super) cmdline: String,
    pub(super) preserved: bool,
    /// Number of the VNC display.
    #[serde(default)]
    pub(super) screen: Option<u32>,
    /// Disks that the domain may write to, and names of its interfaces: no other domain can have them.
    #[serde(default)]
    pub(super) holds: BTreeSet<String>,
    /// Figures and devices that can be changed while the domain runs.
    #[serde(default)]
    pub(super) live: SimLive,
    /// The last request to suspend.
    #[serde(default)]
    pub(super) suspend: Option<SuspendRequest>,
    /// Shutdowns that the guest is going to make: running time of the domain, and reason.
    pub(super) plans: Vec<(Millis, u8)>,
}

/// A request to suspend, by the running time of the domain.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SuspendRequest {
    /// Time at which the guest acknowledges the request, which cannot be taken back from then on.
    acknowledged_at: Millis,
    /// Time at which it suspends.
    at: Millis,
}

impl SimDomain {
    pub(super) fn is_suspended(&self) -> bool {
        self.shutdown == Some(ShutdownReason::SUSPEND.0)
    }

    pub(super) fn life(&self) -> Life {
        match self.shutdown {
            _ if self.dying_until.is_some() => Life::Dying,
            Some(reason) => Life::Shutdown(ShutdownReason(reason)),
            None if self.paused => Life::Paused,
            None => Life::Running,
        }
    }

    /// Returns the state of the domain, worded as by libxl.
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

    /// Removes the shutdown that the guest makes at `now`, and returns its reason.
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

    /// Starts the boot of the guest's kernel.
    pub(super) fn boot(&mut self, now: Millis) {
        self.up_at = self.ran(now) + self.guest.boot.unwrap_or(0);
    }

    /// Returns the time that the guest still has to run before its drivers are up.
    pub(super) fn boots_for(&self, now: Millis) -> Millis {
        self.up_at.saturating_sub(self.ran(now))
    }

    /// Asks the guest for a shutdown with `reason`, which it makes after running for `after`; `None`: it only acknowledges.
    ///
    /// A request that is made while the guest boots stays in xenstore. The guest finds it there when its drivers come up,
    /// unless libxl has taken it back.
    pub(super) fn ask(&mut self, now: Millis, after: Option<Millis>, reason: u8) -> Answer {
        let boots = self.boots_for(now);
        // A paused guest hears nothing, nor does a suspended one.
        if self.guest.boot.is_none() || self.running_since.is_none() {
            return Answer::Never;
        }
        let suspends = reason == ShutdownReason::SUSPEND.0;
        let acknowledged_at = self.ran(now) + boots;
        // Only a request to suspend is taken back by its requester, not in advance.
        if let Some(after) = after.filter(|_| boots < ACK || suspends) {
            let at = acknowledged_at + after;
            self.plans.push((at, reason));
            if suspends {
                self.suspend = Some(SuspendRequest {
                    acknowledged_at,
                    at,
                });
            }
        }
        if boots < ACK {
            Answer::In(boots)
        } else {
            Answer::Never
        }
    }

    /// Takes back the request to suspend, if the guest has not acknowledged it. Returns whether there was one.
    pub(super) fn withdraw_suspend(&mut self, now: Millis) -> bool {
        let ran = self.ran(now);
        // Nothing in xenstore tells of a request through an event channel.
        let Some(request) = self.suspend.take_if(|_| !self.guest.event_channel) else {
            return false;
        };
        let stands = ran < request.acknowledged_at;
        if stands {
            let plan = (request.at, ShutdownReason::SUSPEND.0);
            self.plans.retain(|planned| *planned != plan);
        }
        stands
    }

    /// Asks the guest to power off.
    pub(super) fn obey(&mut self, now: Millis) -> Answer {
        let after = (!self.guest.stubborn).then_some(self.guest.stop);
        self.ask(now, after, ShutdownReason::POWEROFF.0)
    }

    /// Returns true if the guest hears requests in xenstore.
    pub(super) fn hears(&self, now: u64) -> bool {
        let up = self.guest.boot.is_some() && self.boots_for(now) == 0;
        let drivers = !self.hvm || self.guest.pv;
        self.life() == Life::Running && up && drivers
    }
}
