//! Suspending and resuming: the point at which other toolstacks lose domains.

use libxl_sys as sys;

use super::{
    claim::Claim, handle::Domain, info::DomainState, recover::SuspendError, suspended::Suspended,
};
use crate::{
    Error, ErrorKind, Limits, Result, ShutdownReason, limits::Clock, rearm, xenstore::Xenstore,
    xenstore_socket,
};

impl Domain {
    /// Resumes a suspended domain: after a save or a migration that failed, or a checkpoint.
    ///
    /// `cooperative` tells the guest that its suspend was cancelled, which every Linux understands.
    /// Without it the guest believes that it has been restored, and reconnects everything.
    ///
    /// Every [`Watcher`](crate::Watcher) of this process is rearmed before this returns, and then
    /// looks at the domain: a libxl event source reports one shutdown in its life, and the suspend
    /// has used it up.
    ///
    /// A [`Suspended`], or a migration that has not sent GO, is out of date after this call: it can
    /// neither give the domain away nor resume it again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the domain is not suspended, while this process is still
    /// suspending or saving it, and while it waits for what the target of a migration reports
    /// ([`Committed`](crate::migrate::Committed)); [`ErrorKind::DomainNotFound`] if the domain is
    /// gone or dying.
    #[doc(alias = "libxl_domain_resume")]
    pub fn resume(&self, cooperative: bool) -> Result<()> {
        let _claim = Claim::take(self.id(), "libxl_domain_resume", &Clock::none())?;
        self.resume_claimed(cooperative)
    }

    /// As [`resume`](Self::resume), for a caller that holds the claim to the domain, or that ends
    /// before any holder suspends the domain.
    pub(super) fn resume_claimed(&self, cooperative: bool) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_resume";
        let state = self.info()?.state();
        if state == DomainState::Dying {
            return Err(self.no_more(FUNCTION));
        }
        if state != DomainState::Shutdown(ShutdownReason::SUSPEND) {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(format!("the domain is not suspended but {state}")));
        }
        rearm::is_stopped(self.id(), ShutdownReason::SUSPEND);
        let result = self
            .simple(FUNCTION, move |ctx, domid, how| {
                // SAFETY: called with a live context and a valid `how`.
                unsafe { sys::libxl_domain_resume(ctx, domid, cooperative.into(), how) }
            })
            .wait();
        // Also after a failure: the hypervisor may have resumed the domain before something else
        // failed.
        rearm::rearm(self.id());
        result
    }

    /// Takes back a request to suspend that the guest has not acknowledged. Returns whether there was
    /// one.
    ///
    /// libxl takes its request back when the guest has not answered in time, but not after an abort,
    /// and it cannot if its process ends. A guest that is still booting finds the request as soon as
    /// its drivers are up, and then suspends for nobody. A save, a suspend or a migration by this
    /// crate that fails takes its request back itself; call this for the request of a process that
    /// has ended.
    ///
    /// After `true` the guest does not obey, unless its driver reads the request and acknowledges it
    /// in two steps (Linux does both in one). After `false` there was no request, or the guest has
    /// acknowledged it and may suspend at any moment. A guest that is asked through an event channel
    /// is not covered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if the domain is gone or dying; those of
    /// [`Xenstore::replace`].
    pub fn withdraw_suspend(&self) -> Result<bool> {
        const FUNCTION: &str = "xs_transaction_end";
        if self.info()?.state() == DomainState::Dying {
            return Err(self.no_more(FUNCTION));
        }
        let request = format!("/local/domain/{}/control/shutdown", self.domid());
        let withdrawn = Xenstore::open()?.replace(&request, "suspend", "");
        withdrawn.map_err(|error| error.with_domain(Some(self.domid())))
    }

    /// Has the guest suspend, and leaves it suspended. Nothing is saved.
    ///
    /// A guest that does not suspend goes on running, and is resumed should it suspend late. libxl
    /// gives the guest two minutes; `limits` may give it less.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoParavirt`]; [`ErrorKind::GuestTimedOut`] if the guest did not suspend; those of
    /// the limits.
    #[doc(alias = "libxl_domain_suspend_only")]
    pub fn suspend_only(&self, limits: &Limits) -> Result<Suspended, SuspendError> {
        const FUNCTION: &str = "libxl_domain_suspend_only";
        let clock = Clock::start(limits);
        let begun = self.suspend_begins(FUNCTION, &clock)?;
        if let Err(error) = clock.check(FUNCTION) {
            return Err(begun.untouched(error.with_domain(Some(self.domid()))));
        }
        let result = self
            .simple(FUNCTION, |ctx, domid, how| {
                let _turn = xenstore_socket::turn();
                // SAFETY: called with a live context and a valid `how`.
                unsafe { sys::libxl_domain_suspend_only(ctx, domid, how) }
            })
            .limits(&clock.rest())
            .wait();
        // libxl also reports success when the guest has not acknowledged, so only the state counts.
        match result.and_then(|()| Suspended::find(self)) {
            Ok(Ok(suspended)) => Ok(suspended),
            Ok(Err(state)) => {
                let error = Error::new(ErrorKind::GuestTimedOut, FUNCTION)
                    .with_domain(Some(self.domid()))
                    .with_message(format!("the guest did not suspend; it is {state}"));
                Err(begun.recover(error))
            }
            Err(error) => Err(begun.recover(error)),
        }
    }
}
