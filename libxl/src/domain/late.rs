//! Background supervision of a domain after a failed suspend: its guest may still obey the request,
//! or could not be resumed.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    handle::Domain,
    info::{DomainInfo, DomainState},
    recover::{LATE, Undo},
};
use crate::{DomainId, ShutdownReason, log, per_process::PerProcess};

/// Interval between two looks at a domain.
const LOOK: Duration = Duration::from_secs(1);

/// A thread that looks after a domain until the sender is dropped.
struct Keeper {
    undo: Undo,
    hold: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

static KEEPERS: PerProcess<BTreeMap<DomainId, Keeper>> = PerProcess::new(BTreeMap::new());

impl Domain {
    /// Watches the domain in the background for some time, and resumes it from the suspend that
    /// `undo` names.
    ///
    /// Only for the holder of the claim to the domain: the next holder that begins a suspend finds
    /// this supervision and ends it.
    pub(super) fn look_after(&self, undo: Undo) {
        let (hold, held) = mpsc::channel();
        let domain = self.clone();
        let spawned = thread::Builder::new()
            .name(format!("late-suspend-{}", self.domid()))
            .spawn(move || domain.look_for_suspend(undo, &held));
        match spawned {
            Ok(thread) => {
                let mut keepers = KEEPERS.lock();
                keepers.retain(|_, keeper| !keeper.thread.is_finished());
                keepers.insert(self.id(), Keeper { undo, hold, thread });
            }
            Err(error) => log::error!(
                "domain {}: cannot look for a late suspend: {error}",
                self.id()
            ),
        }
    }

    /// Ends the supervision, and returns its purpose if it had not finished.
    pub(super) fn look_no_more(&self) -> Option<Undo> {
        let keeper = KEEPERS.lock().remove(&self.id());
        let Keeper { undo, hold, thread } = keeper?;
        let unfinished = !thread.is_finished();
        drop(hold);
        // The thread may be resuming the domain just now, and must not resume it from the next
        // suspend.
        let _ = thread.join();
        unfinished.then_some(undo)
    }

    fn look_for_suspend(&self, undo: Undo, held: &mpsc::Receiver<()>) {
        let time = match undo {
            Undo::Any { late } => late,
            Undo::This { .. } => LATE,
        };
        let mut until = Instant::now() + time;
        while Instant::now() < until {
            if held.recv_timeout(LOOK) != Err(mpsc::RecvTimeoutError::Timeout) {
                // A new suspend begins, or another thread looks after the domain.
                return;
            }
            match self.info().map(|info| next(undo, &info)) {
                Ok(Next::Resume) => match self.resume_claimed(true) {
                    Ok(()) => {
                        log::warn!(
                            "domain {} was suspended after this had been given up: resumed",
                            self.id()
                        );
                        break;
                    }
                    Err(error) => log::error!("domain {} cannot be resumed: {error:#}", self.id()),
                },
                Ok(Next::Wait) => {}
                Ok(Next::WaitAnew) => until = Instant::now() + time,
                Ok(Next::Stop) => break,
                Err(error) if error.is_domain_gone() => break,
                Err(error) => log::warn!("domain {}: {error:#}", self.id()),
            }
        }
    }
}

/// The action after a look.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Resume,
    Wait,
    /// Wait, and start the time again.
    WaitAnew,
    Stop,
}

fn next(undo: Undo, info: &DomainInfo) -> Next {
    match (info.state(), undo) {
        (DomainState::Shutdown(ShutdownReason::SUSPEND), undo) if undo.is_it(info) => Next::Resume,
        (DomainState::Running, Undo::Any { .. }) => Next::Wait,
        // A paused guest cannot obey before it runs again.
        (DomainState::Paused, Undo::Any { .. }) => Next::WaitAnew,
        // The domain has ended, or somebody else has resumed it: a later suspend is another one.
        _ => Next::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainInfo, Next, Undo, next};
    use crate::{ShutdownReason, domain::recover::SOON};

    fn is(change: impl FnOnce(&mut DomainInfo)) -> DomainInfo {
        DomainInfo::for_test(5, change)
    }

    #[test]
    fn a_request_that_stands_may_be_obeyed_at_any_time() {
        let any = Undo::Any { late: SOON };
        let suspended = is(|info| info.shutdown_reason = Some(ShutdownReason::SUSPEND));
        assert_eq!(next(any, &suspended), Next::Resume);
        assert_eq!(next(any, &is(|_| {})), Next::Wait);
        assert_eq!(next(any, &is(|info| info.paused = true)), Next::WaitAnew);
        assert_eq!(next(any, &is(|info| info.dying = true)), Next::Stop);
        let ended = is(|info| info.shutdown_reason = Some(ShutdownReason::POWEROFF));
        assert_eq!(next(any, &ended), Next::Stop);
    }

    #[test]
    fn one_suspend_is_not_taken_for_the_next() {
        let this = |cpu_time_ns| Undo::This { cpu_time_ns };
        let suspended = is(|info| info.shutdown_reason = Some(ShutdownReason::SUSPEND));
        assert_eq!(next(this(5), &suspended), Next::Resume);
        assert_eq!(next(this(4), &suspended), Next::Stop);
        // Resumed by somebody else: should it suspend again, that is another suspend.
        assert_eq!(next(this(5), &is(|_| {})), Next::Stop);
        assert_eq!(next(this(5), &is(|info| info.paused = true)), Next::Stop);
    }
}
