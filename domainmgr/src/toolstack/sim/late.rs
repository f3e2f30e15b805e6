//! Guests that suspend after the save for which they were asked has failed.
//!
//! libxl leaves its request standing. The crate `libxl` looks at such a domain for some seconds, and resumes it.

use super::guest::Millis;
use super::model::{Late, Model};
use crate::spec::ShutdownReason;
use crate::toolstack::domain::{DomainId, Life};
use crate::toolstack::error::{Error, ErrorKind};

/// Interval between two looks.
const LOOK: Millis = 1_000;
/// Time for which the domain is looked at, if nothing shows that its guest was asked and is slow to answer.
const SOON: Millis = 10_000;
/// As [`SOON`], otherwise.
const LATE: Millis = 120_000;

impl Model {
    /// Lets a domain go on whose save has failed so, now or when it suspends.
    pub fn bring_back(&mut self, id: DomainId, failed: &Error) {
        if self.resume(id).is_err() {
            let time = match failed.kind {
                ErrorKind::Aborted | ErrorKind::TimedOut => LATE,
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
