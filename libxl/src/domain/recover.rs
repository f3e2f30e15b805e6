//! Recovery from a failed suspend: the domain is to run again, whatever has failed.
//!
//! libxl never resumes a domain after a failed save, and after an abort leaves a request standing
//! that the guest may obey minutes later. Both are handled here, so that no caller can forget them.

use std::{fmt, time::Duration};

use super::{
    claim::Claim,
    handle::Domain,
    info::{DomainInfo, DomainState},
};
use crate::{Error, ErrorKind, ShutdownReason, limits::Clock, log, rearm};

/// Time for which a guest that has acknowledged the request may still suspend.
///
/// libxl waits 60 s for the acknowledgement and then 60 s for the suspend.
pub(super) const LATE: Duration = Duration::from_secs(120);
/// As [`LATE`], if nothing shows that the guest was asked and is slow to answer, or if the request
/// was withdrawn. Some drivers acknowledge a request a moment after they have read it.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// As [`LATE`], if the guest has already suspended.
const NEVER: Duration = Duration::ZERO;

/// State of a domain after its suspend, save or migration has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// The guest had not been asked yet: the domain is unchanged.
    Untouched,
    /// The domain runs (or is paused, as before): it had not suspended, or has been resumed.
    ///
    /// If it had not suspended, it may have been asked a moment before, and the request was taken
    /// back. The domain is then watched in the background for ten seconds, and resumed should it
    /// suspend all the same. Have no other program suspend the
    /// domain in that time; a new suspend by this program ends the supervision.
    Runs,
    /// The domain runs, but has been asked to suspend, and its guest may have acknowledged that. If it
    /// suspends within two minutes, it is resumed in the background.
    ///
    /// Nobody can tell whether the guest obeys the old request or a new one of another program, so
    /// have no other program suspend the domain in that time. A new suspend by this program ends
    /// the supervision.
    MaySuspendYet,
    /// The domain is suspended, and could not be resumed. Resuming is tried again in the background
    /// for two minutes.
    Suspended(Error),
    /// Somebody else had resumed the domain by then, and it is suspended again, or about to be.
    ///
    /// The new suspend belongs to another save or migration, so the domain was left alone.
    TakenOver,
    /// The domain has shut down meanwhile, for this reason. It still exists, but will not run
    /// again.
    Ended(ShutdownReason),
    /// The domain no longer exists.
    Gone,
    /// The state of the domain cannot be read.
    Unknown(Error),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untouched => f.write_str("the domain was left alone"),
            Self::Runs => f.write_str("the domain goes on running"),
            Self::MaySuspendYet => f.write_str(
                "the domain goes on running; should it suspend after all, it will be resumed",
            ),
            Self::Suspended(error) => {
                write!(f, "the domain is suspended and cannot be resumed: {error}")
            }
            Self::TakenOver => f.write_str(
                "somebody else has resumed the domain, and what it does now was left alone",
            ),
            Self::Ended(reason) => write!(f, "the domain has shut down ({reason})"),
            Self::Gone => f.write_str("the domain is gone"),
            Self::Unknown(error) => write!(f, "the state of the domain is not known: {error}"),
        }
    }
}

/// The error of a failed suspend, save or migration, with the state of the domain after it.
#[derive(Debug)]
pub struct SuspendError {
    /// Cause of the failure.
    pub error: Error,
    /// State of the domain after the failure.
    pub source: Source,
}

impl SuspendError {
    /// The error for a failure before the guest was asked.
    pub(crate) fn untouched(error: Error) -> Self {
        Self {
            error,
            source: Source::Untouched,
        }
    }
}

impl fmt::Display for SuspendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)?;
        write!(f, "; {}", self.source)
    }
}

impl std::error::Error for SuspendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl From<SuspendError> for Error {
    fn from(failed: SuspendError) -> Self {
        failed.error
    }
}

/// Cause of a failed suspend, and the time for which the guest may still obey it.
#[derive(Debug)]
pub(super) struct Failed {
    error: Error,
    late: Duration,
}

impl Failed {
    /// A failure after the guest has suspended.
    pub(super) fn obeyed(error: Error) -> Self {
        Self { error, late: NEVER }
    }

    /// Replaces the error with its cause. The time for which the guest may still suspend stays that
    /// of the earlier error.
    pub(super) fn because_of(self, cause: Error) -> Self {
        let cause = cause
            .with_domain(self.error.domain())
            .with_log(self.error.log().to_vec());
        Self {
            error: cause,
            late: self.late,
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let late = may_be_late(&error);
        Self { error, late }
    }
}

/// The suspend of a domain that is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// Any suspend, also one that comes within this time: the guest may still obey our request.
    Any { late: Duration },
    /// Only the suspend at which the domain had this CPU time, and none that came after it.
    This { cpu_time_ns: u64 },
}

impl Undo {
    /// Returns true if the domain is suspended, by the suspend that is to be undone.
    pub(super) fn is_it(self, info: &DomainInfo) -> bool {
        let this = match self {
            Self::Any { .. } => true,
            Self::This { cpu_time_ns } => info.cpu_time_ns == cpu_time_ns,
        };
        this && info.state() == DomainState::Shutdown(ShutdownReason::SUSPEND)
    }
}

/// A suspend that has begun. It is the only one of its domain in this process until this is
/// dropped.
///
/// One suspend must not undo the effect of another, nor send it to a target as its own.
pub(crate) struct Suspending {
    domain: Domain,
    /// The unfinished undoing of an earlier suspend that has failed.
    unfinished: Option<Undo>,
    claim: Claim,
}

impl Suspending {
    /// The error for a failure before the guest is asked. If an earlier request may still be
    /// obeyed, the domain is supervised again.
    pub(crate) fn untouched(&self, error: Error) -> SuspendError {
        if self.asked_before() {
            self.domain.look_after(Undo::Any { late: LATE });
        }
        SuspendError::untouched(error)
    }

    /// Lets the domain run again after `failed`, rearms its watches, and returns the error with the
    /// state found.
    pub(super) fn recover(&self, failed: impl Into<Failed>) -> SuspendError {
        let Failed { error, late } = failed.into();
        let late = if self.asked_before() { LATE } else { late };
        let source = self.domain.bring_back(Undo::Any { late });
        self.domain.recovered(error, source)
    }

    /// Returns true if an earlier suspend has failed and the guest may still obey it.
    fn asked_before(&self) -> bool {
        matches!(self.unfinished, Some(Undo::Any { .. }))
    }
}

impl Domain {
    /// Begins a new suspend, and ends the supervision for an earlier one.
    ///
    /// Fails if the domain does not run: somebody else may have suspended it for a save, and then
    /// it must be left alone.
    pub(crate) fn suspend_begins(
        &self,
        function: &'static str,
        clock: &Clock,
    ) -> Result<Suspending, SuspendError> {
        let claim = Claim::take(self.id(), function, clock).map_err(SuspendError::untouched)?;
        let begun = Suspending {
            domain: self.clone(),
            unfinished: self.look_no_more(),
            claim,
        };
        let error = match self.info().map(|info| info.state()) {
            Ok(DomainState::Running | DomainState::Paused) => {
                begun.claim.lasts("this process is suspending the domain");
                return Ok(begun);
            }
            // Only the freeing of its memory keeps the domain in the list.
            Ok(DomainState::Dying) => self.no_more(function),
            Ok(state) => Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domid()))
                .with_message(format!("the domain does not run; it is {state}")),
            Err(error) => error,
        };
        Err(match begun.unfinished {
            // The earlier suspend may have suspended the domain.
            Some(Undo::Any { .. }) => begun.recover(error),
            Some(this) => self.recovered(error, self.bring_back(this)),
            None => SuspendError::untouched(error),
        })
    }

    pub(super) fn recovered(&self, error: Error, source: Source) -> SuspendError {
        log::info!("domain {}: {error}; {source}", self.id());
        SuspendError { error, source }
    }

    /// Takes back the request that the guest may still obey, and returns what is left to be undone.
    fn withdraw(&self, undo: Undo) -> Undo {
        let Undo::Any { late } = undo else {
            return undo;
        };
        if late == NEVER {
            return undo;
        }
        match self.withdraw_suspend() {
            Ok(true) => Undo::Any {
                late: late.min(SOON),
            },
            Ok(false) => undo,
            Err(error) => {
                if !error.is_domain_gone() {
                    log::warn!("domain {}: {error:#}", self.id());
                }
                undo
            }
        }
    }

    /// Undoes a suspend, rearms the watches, and returns the state found. Only for the holder of
    /// the claim to the domain.
    pub(super) fn bring_back(&self, undo: Undo) -> Source {
        let undo = self.withdraw(undo);
        let again = match undo {
            Undo::Any { .. } => Undo::Any { late: LATE },
            this @ Undo::This { .. } => this,
        };
        let info = match self.info() {
            Ok(info) => info,
            Err(error) => {
                rearm::rearm(self.id());
                if error.is_domain_gone() {
                    return Source::Gone;
                }
                self.look_after(again);
                return Source::Unknown(error);
            }
        };
        match info.state() {
            DomainState::Shutdown(ShutdownReason::SUSPEND) if !undo.is_it(&info) => {
                rearm::rearm(self.id());
                Source::TakenOver
            }
            DomainState::Shutdown(ShutdownReason::SUSPEND) => match self.resume_claimed(true) {
                Ok(()) => Source::Runs,
                Err(error) => {
                    self.look_after(again);
                    Source::Suspended(error)
                }
            },
            DomainState::Shutdown(reason) => {
                rearm::rearm(self.id());
                Source::Ended(reason)
            }
            DomainState::Dying => {
                rearm::rearm(self.id());
                Source::Gone
            }
            DomainState::Running | DomainState::Paused => {
                rearm::rearm(self.id());
                match undo {
                    // Somebody has resumed the domain: the request was obeyed, and is not obeyed
                    // again.
                    Undo::This { .. } => Source::Runs,
                    Undo::Any { late } => {
                        if late != NEVER {
                            self.look_after(undo);
                        }
                        if late == LATE {
                            Source::MaySuspendYet
                        } else {
                            Source::Runs
                        }
                    }
                }
            }
        }
    }
}

/// Time for which the guest may still suspend after this error.
///
/// It has acknowledged the request: a request without an acknowledgement is
/// [withdrawn](Domain::withdraw).
fn may_be_late(error: &Error) -> Duration {
    match error.kind() {
        ErrorKind::GuestTimedOut | ErrorKind::TimedOut | ErrorKind::Aborted => LATE,
        _ => SOON,
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainInfo, Failed, LATE, NEVER, SOON, Undo};
    use crate::{DomId, Error, ErrorKind, LogLine, ShutdownReason};

    fn stopped(cpu_time_ns: u64, reason: Option<ShutdownReason>) -> DomainInfo {
        DomainInfo::for_test(cpu_time_ns, |info| info.shutdown_reason = reason)
    }

    #[test]
    fn what_has_run_since_is_not_the_same_suspend() {
        let this = Undo::This { cpu_time_ns: 5 };
        assert!(this.is_it(&stopped(5, Some(ShutdownReason::SUSPEND))));
        assert!(!this.is_it(&stopped(6, Some(ShutdownReason::SUSPEND))));
        // Resumed, but paused.
        assert!(!this.is_it(&stopped(5, None)));
        assert!(!this.is_it(&stopped(5, Some(ShutdownReason::POWEROFF))));
    }

    #[test]
    fn a_cause_says_nothing_of_what_the_guest_may_do() {
        for (kind, late) in [
            (ErrorKind::Aborted, LATE),
            (ErrorKind::TimedOut, LATE),
            (ErrorKind::GuestTimedOut, LATE),
            (ErrorKind::Failed, SOON),
            (ErrorKind::Io, SOON),
        ] {
            let libxls = Error::new(kind, "libxl_domain_suspend")
                .with_domain(Some(DomId(7)))
                .with_log(vec![LogLine::for_test("libxl", "a line")]);
            let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            let failed = Failed::from(libxls).because_of(Error::io("f", gone));
            assert_eq!(failed.late, late, "{kind:?}");
            assert_eq!(failed.error.kind(), ErrorKind::Io);
            assert_eq!(failed.error.domain(), Some(DomId(7)));
            assert_eq!(failed.error.log().len(), 1);
        }
        let after = Error::new(ErrorKind::TimedOut, "f");
        assert_eq!(Failed::obeyed(after).late, NEVER);
    }

    #[test]
    fn a_suspend_that_nobody_saw_is_whichever_there_is() {
        let any = Undo::Any { late: SOON };
        assert!(any.is_it(&stopped(6, Some(ShutdownReason::SUSPEND))));
        assert!(!any.is_it(&stopped(6, None)));
    }
}
