//! What follows a suspend that came to nothing: the domain is to run again, whatever it was that
//! failed.
//!
//! libxl never resumes a domain after a failed save, and leaves a request standing that the guest
//! may obey minutes later. Both are seen to here, so that no caller can forget it.

use std::{fmt, time::Duration};

use super::{Domain, DomainInfo, DomainState, claim::Claim};
use crate::{Error, ErrorKind, ShutdownReason, limits::Clock, log, rearm};

/// For how long a guest that was asked may still suspend: libxl waits 60 s for its answer and then
/// 60 s for the deed, and an abort ends that wait but does not withdraw the request.
pub(super) const LATE: Duration = Duration::from_secs(120);
/// The same where nothing says that the guest has been asked and taken its time over it.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// And where it has obeyed already.
const NEVER: Duration = Duration::ZERO;

/// What has become of a domain whose suspend, save or migration failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// Nothing had been asked of it yet: it is what it was.
    Untouched,
    /// It runs (or is paused, as before): it had not suspended, or has been resumed. If it had not,
    /// it may have been asked a moment before: in the background it is looked at for ten seconds,
    /// and resumed should it suspend. Have no other program suspend it in that time; a new suspend by
    /// this one ends that.
    Runs,
    /// It runs, but has been asked to suspend. If it does so within two minutes, it is resumed in
    /// the background. Nobody can tell whether it obeys the old request or a new one of another
    /// program: have no other program suspend it in that time. A new suspend by this one ends that.
    MaySuspendYet,
    /// It is suspended, and could not be resumed. That is tried again in the background for two
    /// minutes.
    Suspended(Error),
    /// Somebody else had resumed it by then, and it is suspended again, or about to be: for another
    /// save or migration, which decides what becomes of it. It was left alone.
    TakenOver,
    /// It has shut down meanwhile, for this reason: it is still there, but will not run again.
    Ended(ShutdownReason),
    /// It does not exist any more.
    Gone,
    /// Its state cannot be read.
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

/// A suspend, save or migration that failed, and what has become of the domain.
#[derive(Debug)]
pub struct SuspendError {
    /// What failed.
    pub error: Error,
    /// The domain since then.
    pub source: Source,
}

impl SuspendError {
    /// For what failed before anything was asked of the domain.
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

/// Why a suspend came to nothing, and for how long the guest may still obey it.
#[derive(Debug)]
pub(super) struct Failed {
    error: Error,
    late: Duration,
}

impl Failed {
    /// The guest has suspended, and something else failed.
    pub(super) fn obeyed(error: Error) -> Self {
        Self { error, late: NEVER }
    }

    /// This is the cause of it. What the guest may do is as the error before said.
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

/// Which suspend of a domain is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// Whichever there is, and one that comes within this time: the guest may still obey ours.
    Any { late: Duration },
    /// The one at which the domain had run for this long, and none that came after it.
    This { cpu_time_ns: u64 },
}

impl Undo {
    /// Whether the domain is suspended, and by that one.
    pub(super) fn is_it(self, info: &DomainInfo) -> bool {
        let this = match self {
            Self::Any { .. } => true,
            Self::This { cpu_time_ns } => info.cpu_time_ns == cpu_time_ns,
        };
        this && info.state() == DomainState::Shutdown(ShutdownReason::SUSPEND)
    }
}

/// A suspend that has begun, and is the only one of its domain in this process until this is
/// dropped. What one suspend makes of a guest another one must not undo, nor send to a target as its
/// own.
pub(crate) struct Suspending {
    domain: Domain,
    /// What is left of an earlier one that has failed.
    unfinished: Option<Undo>,
    claim: Claim,
}

impl Suspending {
    /// For what fails before anything is asked of the domain.
    pub(crate) fn untouched(&self, error: Error) -> SuspendError {
        if self.asked_before() {
            self.domain.look_after(Undo::Any { late: LATE });
        }
        SuspendError::untouched(error)
    }

    /// Lets the domain run again after `error`, arms the watches anew and looks.
    pub(super) fn recover(&self, failed: impl Into<Failed>) -> SuspendError {
        let Failed { error, late } = failed.into();
        let late = if self.asked_before() { LATE } else { late };
        let source = self.domain.bring_back(Undo::Any { late });
        self.domain.recovered(error, source)
    }

    /// An earlier one has failed, and the guest may still obey it.
    fn asked_before(&self) -> bool {
        matches!(self.unfinished, Some(Undo::Any { .. }))
    }
}

impl Domain {
    /// A new suspend is wanted from here on: what is left of an earlier one no longer counts.
    ///
    /// Fails if the domain does not run: it may be suspended because somebody else is saving it,
    /// and is none of our business then.
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
            // Nothing but its memory's being freed keeps it in the list.
            Ok(DomainState::Dying) => self.no_more(function),
            Ok(state) => Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domid()))
                .with_message(format!("the domain does not run; it is {state}")),
            Err(error) => error,
        };
        Err(match begun.unfinished {
            // The earlier suspend may be what has suspended it.
            Some(Undo::Any { .. }) => begun.recover(error),
            Some(this) => self.recovered(error, self.bring_back(this)),
            None => SuspendError::untouched(error),
        })
    }

    pub(super) fn recovered(&self, error: Error, source: Source) -> SuspendError {
        log::info!("domain {}: {error}; {source}", self.id());
        SuspendError { error, source }
    }

    /// Undoes a suspend, arms the watches anew and looks. For who has the claim to the domain.
    pub(super) fn bring_back(&self, undo: Undo) -> Source {
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
                    // Somebody has resumed it: the request was obeyed, and is not obeyed again.
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

/// For how long the guest may still suspend after this error.
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
