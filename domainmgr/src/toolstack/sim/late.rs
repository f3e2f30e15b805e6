//! Guests that suspend after the save for which they were asked has failed.
//!
//! libxl leaves its request standing. The crate `libxl` takes it back if the guest has not acknowledged it, looks at the
//! domain for some seconds, and resumes it.

use super::guest::Millis;
use super::model::{Late, Model};
use crate::spec::ShutdownReason;
use crate::toolstack::domain::{DomainId, Life};
use crate::toolstack::error::{Error, ErrorKind, Result};

/// Interval between two looks.
const LOOK: Millis = 1_000;
/// Time for which the domain is looked at, if the request was taken back or nothing shows that the guest was asked.
const SOON: Millis = 10_000;
/// As [`SOON`], otherwise.
const LATE: Millis = 120_000;

impl Model {
    /// Lets a domain go on whose save has failed so, now or when it suspends.
    pub fn bring_back(&mut self, id: DomainId, failed: &Error) {
        let withdrawn = self.withdraw_suspend(id).unwrap_or_default();
        if self.resume(id).is_err() {
            let time = match failed.kind {
                ErrorKind::Aborted | ErrorKind::TimedOut if !withdrawn => LATE,
                _ => SOON,
            };
            self.late.push(Late {
                id,
                next_look: self.now + LOOK,
                until: self.now + time,
                time,
            });
        }
    }

    /// Takes back a request to suspend that the guest has not acknowledged. Returns whether there was one.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn withdraw_suspend(&mut self, id: DomainId) -> Result<bool> {
        let now = self.now;
        Ok(self.get(id)?.withdraw_suspend(now))
    }

    /// Looks no more at this domain: it is asked to suspend anew.
    pub fn look_no_more(&mut self, id: DomainId) {
        self.late.retain(|late| late.id != id);
    }

    /// Ends the process that looks.
    pub fn end_process(&mut self) {
        self.late.clear();
    }

    pub(super) fn next_late_look(&self) -> Option<Millis> {
        self.late.iter().map(|late| late.next_look).min()
    }

    /// Makes the looks that are due.
    pub(super) fn look_after(&mut self) {
        let now = self.now;
        let (due, rest): (Vec<Late>, Vec<Late>) =
            self.late.iter().partition(|late| late.next_look <= now);
        self.late = rest;
        for late in due {
            match self.info(late.id).map(|seen| seen.life) {
                Some(Life::Shutdown(ShutdownReason::SUSPEND)) => drop(self.resume(late.id)),
                Some(Life::Running) if late.next_look < late.until => self.late.push(Late {
                    next_look: late.next_look + LOOK,
                    ..late
                }),
                // It cannot obey before it runs again.
                Some(Life::Paused) => self.late.push(Late {
                    next_look: now + LOOK,
                    until: now + late.time,
                    ..late
                }),
                _ => {}
            }
        }
    }
}
