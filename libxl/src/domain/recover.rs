//! What follows a suspend that came to nothing: the domain is to run again, whatever it was that
//! failed.
//!
//! libxl never resumes a domain after a failed save, and leaves a request standing that the guest
//! may obey minutes later. Both are seen to here, so that no caller can forget it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use once_cell::sync::Lazy;

use super::{Domain, DomainState};
use crate::{DomainId, Error, ErrorKind, ShutdownReason, watcher};

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

static KEEPERS: Lazy<Mutex<HashMap<DomainId, Keeper>>> = Lazy::new(Mutex::default);

fn keepers() -> MutexGuard<'static, HashMap<DomainId, Keeper>> {
    KEEPERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Domain {
    /// A new suspend is wanted from here on: what is left of an earlier one no longer counts.
    ///
    /// Fails if the domain does not run: it may be suspended because somebody else is saving it,
    /// and is none of our business then.
    pub(crate) fn suspend_begins(&self, function: &'static str) -> Result<(), SuspendError> {
        let keeper = keepers().remove(&self.id());
        if let Some(Keeper { hold, thread }) = keeper {
            drop(hold);
            // It may be resuming the domain just now, and must not resume it from the next suspend.
            let _ = thread.join();
        }
        let error = match self.info().map(|info| info.state()) {
            Ok(DomainState::Running | DomainState::Paused) => return Ok(()),
            Ok(state) => {
                let kind = match state {
                    // Nothing but its memory's being freed keeps it in the list.
                    DomainState::Dying => ErrorKind::DomainDestroyed,
                    _ => ErrorKind::Invalid,
                };
                Error::new(kind, function)
                    .with_domain(Some(self.domid()))
                    .with_message(format!("the domain does not run; it is {state}"))
            }
            Err(error) => error,
        };
        Err(SuspendError::untouched(error))
    }

    /// Lets the domain run again after `error`, arms the watches anew and looks.
    pub(crate) fn recover(&self, error: Error) -> SuspendError {
        let source = self.bring_back(may_be_late(&error));
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
            .spawn(move || domain.look_for_late_suspend(Instant::now() + time, &held));
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

    fn look_for_late_suspend(&self, until: Instant, held: &mpsc::Receiver<()>) {
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
                Ok(DomainState::Running | DomainState::Paused) => {}
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
