//! What follows a suspend that came to nothing: the domain is to run again, whatever it was that
//! failed.
//!
//! libxl never resumes a domain after a failed save, and leaves a request standing that the guest
//! may obey minutes later. Both are seen to here, so that no caller can forget it.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{MutexGuard, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use once_cell::sync::Lazy;

use super::{Domain, DomainState};
use crate::{DomainId, Error, ErrorKind, ShutdownReason, per_process::PerProcess, watcher};

/// For how long a guest that was asked may still suspend: libxl waits 60 s for its answer and then
/// 60 s for the deed, and an abort ends that wait but does not withdraw the request.
const LATE: Duration = Duration::from_secs(120);
/// The same where nothing says that the guest has been asked and taken its time over it.
const SOON: Duration = Duration::from_secs(10);
/// How often a domain is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// What has become of a domain whose suspend, save or migration failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// Nothing had been asked of it yet: it is what it was.
    Untouched,
    /// It runs (or is paused, as before): it had not suspended, or has been resumed.
    Runs,
    /// It runs, but has been asked to suspend. If it does so within two minutes, it is resumed in
    /// the background. Nobody can tell whether it obeys the old request or a new one of another
    /// program: have no other program suspend it in that time. A new suspend by this one ends that.
    MaySuspendYet,
    /// It is suspended, and could not be resumed. That is tried again in the background for two
    /// minutes.
    Suspended(Error),
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

/// Somebody who looks after a domain that may suspend late, until the sender is dropped.
struct Keeper {
    hold: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

static KEEPERS: Lazy<PerProcess<HashMap<DomainId, Keeper>>> = Lazy::new(PerProcess::default);

fn keepers() -> MutexGuard<'static, HashMap<DomainId, Keeper>> {
    KEEPERS.lock()
}

/// The domains that this process is suspending. What one suspend makes of a guest another one must
/// not undo, nor send to a target as its own.
static SUSPENDING: Lazy<PerProcess<HashSet<DomainId>>> = Lazy::new(PerProcess::default);

fn suspending() -> MutexGuard<'static, HashSet<DomainId>> {
    SUSPENDING.lock()
}

/// A suspend that has begun, and is the only one of its domain in this process until this is
/// dropped.
pub(crate) struct Suspending {
    domain: Domain,
    /// An earlier one has failed, and the guest may still obey it.
    asked_before: bool,
}

impl Suspending {
    /// For what fails before anything is asked of the domain.
    pub(crate) fn untouched(&self, error: Error) -> SuspendError {
        if self.asked_before {
            self.domain.resume_if_late(LATE);
        }
        SuspendError::untouched(error)
    }

    /// As [`Domain::recover`].
    pub(crate) fn recover(&self, error: Error) -> SuspendError {
        let late = if self.asked_before {
            LATE
        } else {
            may_be_late(&error)
        };
        self.domain.recover_within(error, late)
    }
}

impl Drop for Suspending {
    fn drop(&mut self) {
        suspending().remove(&self.domain.id());
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
    ) -> Result<Suspending, SuspendError> {
        if !suspending().insert(self.id()) {
            let error = Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domid()))
                .with_message("this process is suspending the domain already");
            return Err(SuspendError::untouched(error));
        }
        let mut begun = Suspending {
            domain: self.clone(),
            asked_before: false,
        };
        let keeper = keepers().remove(&self.id());
        if let Some(Keeper { hold, thread }) = keeper {
            begun.asked_before = !thread.is_finished();
            drop(hold);
            // It may be resuming the domain just now, and must not resume it from the next suspend.
            let _ = thread.join();
        }
        let error = match self.info().map(|info| info.state()) {
            Ok(DomainState::Running | DomainState::Paused) => return Ok(begun),
            // Nothing but its memory's being freed keeps it in the list.
            Ok(DomainState::Dying) => self.no_more(function),
            Ok(state) => Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domid()))
                .with_message(format!("the domain does not run; it is {state}")),
            Err(error) => error,
        };
        Err(if begun.asked_before {
            // The earlier suspend may be what has suspended it.
            begun.recover(error)
        } else {
            SuspendError::untouched(error)
        })
    }

    /// Lets the domain run again after `error`, arms the watches anew and looks.
    pub(crate) fn recover(&self, error: Error) -> SuspendError {
        let late = may_be_late(&error);
        self.recover_within(error, late)
    }

    fn recover_within(&self, error: Error, late: Duration) -> SuspendError {
        let source = self.bring_back(late);
        log::info!("domain {}: {error}; {source}", self.id());
        SuspendError { error, source }
    }

    fn bring_back(&self, late: Duration) -> Source {
        let state = match self.info() {
            Ok(info) => info.state(),
            Err(error) if error.is_domain_gone() => {
                watcher::rearm(self.id());
                return Source::Gone;
            }
            Err(error) => {
                watcher::rearm(self.id());
                self.resume_if_late(LATE);
                return Source::Unknown(error);
            }
        };
        match state {
            DomainState::Shutdown(ShutdownReason::SUSPEND) => match self.resume(true) {
                Ok(()) => Source::Runs,
                Err(error) => {
                    self.resume_if_late(LATE);
                    Source::Suspended(error)
                }
            },
            DomainState::Shutdown(reason) => {
                watcher::rearm(self.id());
                Source::Ended(reason)
            }
            DomainState::Dying => {
                watcher::rearm(self.id());
                Source::Gone
            }
            DomainState::Running | DomainState::Paused => {
                watcher::rearm(self.id());
                self.resume_if_late(late);
                if late == LATE {
                    Source::MaySuspendYet
                } else {
                    Source::Runs
                }
            }
        }
    }

    /// Looks at the domain for some time, in the background, and resumes it if it suspends.
    fn resume_if_late(&self, time: Duration) {
        let (hold, held) = mpsc::channel();
        let domain = self.clone();
        let spawned = thread::Builder::new()
            .name(format!("late-suspend-{}", self.domid()))
            .spawn(move || domain.look_for_late_suspend(time, &held));
        match spawned {
            Ok(thread) => {
                let mut keepers = keepers();
                keepers.retain(|_, keeper| !keeper.thread.is_finished());
                keepers.insert(self.id(), Keeper { hold, thread });
            }
            Err(error) => log::error!(
                "domain {}: cannot look for a late suspend: {error}",
                self.id()
            ),
        }
    }

    fn look_for_late_suspend(&self, time: Duration, held: &mpsc::Receiver<()>) {
        let mut until = Instant::now() + time;
        while Instant::now() < until {
            if held.recv_timeout(LOOK) != Err(mpsc::RecvTimeoutError::Timeout) {
                // A new suspend is wanted, or somebody else looks.
                return;
            }
            match self.info().map(|info| info.state()) {
                Ok(DomainState::Shutdown(ShutdownReason::SUSPEND)) => match self.resume(true) {
                    Ok(()) => {
                        log::warn!(
                            "domain {} suspended after this had been given up: resumed",
                            self.id()
                        );
                        break;
                    }
                    Err(error) => log::error!("domain {} cannot be resumed: {error:#}", self.id()),
                },
                Ok(DomainState::Shutdown(_) | DomainState::Dying) => break,
                Ok(DomainState::Running) => {}
                // It cannot obey before it goes on.
                Ok(DomainState::Paused) => until = Instant::now() + time,
                Err(error) if error.is_domain_gone() => break,
                Err(error) => log::warn!("domain {}: {error:#}", self.id()),
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
