//! A suspended domain, and the check that it is still in the same suspend.

use std::{thread, time::Duration};

use super::{
    claim::Claim,
    handle::Domain,
    info::{DomainInfo, DomainState},
    recover::{Source, SuspendError, Undo},
};
use crate::{Error, ErrorKind, Operation, Result, ShutdownReason, limits::Clock};

/// Time after which no vCPU is still on its way out of the hypervisor.
const AT_REST: Duration = Duration::from_millis(1);

/// A domain that this program has suspended.
///
/// The caller decides whether to [`resume`](Self::resume) or to [`destroy`](Self::destroy) the
/// domain. Dropping this value leaves the domain suspended.
///
/// Anybody may resume the domain meanwhile, by [`Domain::resume`] or in another program, and
/// suspend it again for another save or migration. This value is then out of date: both methods
/// fail, and leave the domain alone.
#[derive(Debug)]
#[must_use = "the domain stays suspended until it is resumed or destroyed"]
pub struct Suspended {
    domain: Domain,
    /// CPU time of all vCPUs together, in nanoseconds. The domain cannot suspend again without
    /// running first, so the same value means the same suspend.
    cpu_time_ns: u64,
}

impl Suspended {
    /// Returns the domain as it is suspended now, or its state if it is not suspended.
    pub(crate) fn find(domain: &Domain) -> Result<Result<Self, DomainState>> {
        let info = at_rest(|| domain.info())?;
        Ok(match info.state() {
            DomainState::Shutdown(ShutdownReason::SUSPEND) => Ok(Self {
                domain: domain.clone(),
                cpu_time_ns: info.cpu_time_ns,
            }),
            state => Err(state),
        })
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Lets the domain run on where it was, as [`Domain::resume`] does with a guest that
    /// cooperates.
    ///
    /// # Errors
    ///
    /// As [`Domain::resume`]; [`ErrorKind::Invalid`] also if somebody else has resumed the domain
    /// since, whatever its state is now.
    pub fn resume(self) -> Result<()> {
        self.go_on(|| {})
    }

    /// Destroys the domain, as [`Domain::destroy`] does, when the guest goes on elsewhere, or later
    /// from a file.
    ///
    /// Fails with [`ErrorKind::Invalid`] if somebody else has resumed the domain since: the saved
    /// state is out of date then.
    pub fn destroy(self) -> Operation<()> {
        let destroy = self.domain.destroy();
        let function = destroy.function();
        // Until the domain is gone, nobody else in this process may resume it.
        destroy.holding(move || {
            let claim = Claim::take(self.domain.id(), function, &Clock::none())?;
            claim.lasts("this process is destroying the domain");
            self.check(function)?;
            Ok(claim)
        })
    }

    /// Lets the domain run on, after `prepare`.
    pub(crate) fn go_on(&self, prepare: impl FnOnce()) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_resume";
        let _claim = Claim::take(self.domain.id(), FUNCTION, &Clock::none())?;
        self.check(FUNCTION)?;
        prepare();
        self.domain.resume_claimed(true)
    }

    /// Fails unless the domain is still in the same suspend.
    ///
    /// The holder of the claim to the domain can rely on the result within this process.
    pub(crate) fn check(&self, function: &'static str) -> Result<()> {
        let info = self.domain.info()?;
        if self.undo().is_it(&info) {
            return Ok(());
        }
        Err(match info.state() {
            DomainState::Dying => self.domain.no_more(function),
            state => Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domain.domid()))
                .with_message(format!(
                    "somebody has resumed the domain since it was suspended for this; \
                     it is {state} now"
                )),
        })
    }

    /// Lets the domain run again after `error`, unless somebody else has resumed it.
    pub(crate) fn recover(&self, error: Error) -> SuspendError {
        match Claim::take(self.domain.id(), error.function(), &Clock::none()) {
            Ok(claim) => self.recover_claimed(&claim, error),
            // Another claim lasts: a later suspend saw the domain run, or a migration has given it
            // away.
            Err(_) => self.domain.recovered(error, Source::TakenOver),
        }
    }

    /// As [`recover`](Self::recover), for the holder of the claim to the domain.
    pub(crate) fn recover_claimed(&self, _: &Claim, error: Error) -> SuspendError {
        let source = self.domain.bring_back(self.undo());
        self.domain.recovered(error, source)
    }

    fn undo(&self) -> Undo {
        Undo::This {
            cpu_time_ns: self.cpu_time_ns,
        }
    }
}

/// Returns the result of `read` once a suspended domain gives the same one twice.
///
/// The vCPU that has suspended the domain may still be on its processor when the hypervisor calls
/// the domain shut down, and its CPU time grows until it has left.
fn at_rest(mut read: impl FnMut() -> Result<DomainInfo>) -> Result<DomainInfo> {
    let mut before = read()?;
    while before.state() == DomainState::Shutdown(ShutdownReason::SUSPEND) {
        thread::sleep(AT_REST);
        let now = read()?;
        if (now.state(), now.cpu_time_ns) == (before.state(), before.cpu_time_ns) {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::{DomainInfo, DomainState, at_rest};
    use crate::{Error, ErrorKind, ShutdownReason};

    fn suspended(cpu_time_ns: u64) -> DomainInfo {
        DomainInfo::for_test(cpu_time_ns, |info| {
            info.shutdown_reason = Some(ShutdownReason::SUSPEND);
        })
    }

    #[test]
    fn the_time_is_taken_when_it_stands_still() {
        let mut reads = [7, 9, 10, 10, 11].map(suspended).into_iter();
        let info = at_rest(|| Ok(reads.next().unwrap())).unwrap();
        assert_eq!(info.cpu_time_ns, 10);
        assert_eq!(reads.len(), 1);
    }

    #[test]
    fn what_is_resumed_meanwhile_is_not_suspended() {
        let running = DomainInfo::for_test(9, |_| {});
        let mut reads = [suspended(7), running].into_iter();
        let info = at_rest(|| Ok(reads.next().unwrap())).unwrap();
        assert_eq!(info.state(), DomainState::Running);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let mut reads = [
            Ok(suspended(7)),
            Err(Error::new(ErrorKind::Failed, "libxl_domain_info")),
        ]
        .into_iter();
        at_rest(|| reads.next().unwrap()).unwrap_err();
    }
}
