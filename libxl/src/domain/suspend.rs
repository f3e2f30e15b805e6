//! Suspending and resuming: the point at which other toolstacks lose domains.

use libxl_sys as sys;

use super::{Domain, DomainState};
use crate::{Error, ErrorKind, Result, ShutdownReason, watcher};

impl Domain {
    /// Resumes a suspended domain: after a save or a migration that failed, or a checkpoint.
    ///
    /// `cooperative` tells the guest that its suspend was called off, which every Linux
    /// understands; without it the guest believes that it has been restored, and reconnects
    /// everything.
    ///
    /// Every [`Watcher`](crate::Watcher) of this process is armed anew and looks at the domain
    /// before this returns: a libxl event source reports one shutdown in its life, and the suspend
    /// was it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the domain is not suspended.
    #[doc(alias = "libxl_domain_resume")]
    pub fn resume(&self, cooperative: bool) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_resume";
        let state = self.info()?.state();
        if state != DomainState::Shutdown(ShutdownReason::SUSPEND) {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(format!("the domain is not suspended but {state}")));
        }
        let result = self
            .simple(FUNCTION, move |ctx, domid, how| {
                // SAFETY: called with a live context and a valid `how`.
                unsafe { sys::libxl_domain_resume(ctx, domid, cooperative.into(), how) }
            })
            .wait();
        // Also after a failure: the hypervisor may have resumed it before something else failed.
        watcher::rearm(self.id());
        result
    }

    /// Has the guest suspend, and leaves it so. Nothing is saved.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoParavirt`]; [`ErrorKind::GuestTimedOut`] if the guest did not suspend.
    #[doc(alias = "libxl_domain_suspend_only")]
    pub fn suspend_only(&self) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_suspend_only";
        let result = self
            .simple(FUNCTION, |ctx, domid, how| {
                // SAFETY: called with a live context and a valid `how`.
                unsafe { sys::libxl_domain_suspend_only(ctx, domid, how) }
            })
            .wait();
        // libxl reports success, too, when the guest has not acknowledged: only the state counts.
        watcher::rearm(self.id());
        let state = self.info()?.state();
        match (result, state) {
            (Ok(()), DomainState::Shutdown(ShutdownReason::SUSPEND)) => Ok(()),
            (Ok(()), state) => Err(Error::new(ErrorKind::GuestTimedOut, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(format!("the guest did not suspend; it is {state}"))),
            (Err(error), _) => Err(error),
        }
    }
}
