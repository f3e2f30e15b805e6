//! Restarting a guest in place.

use std::ptr;

use libxl_sys as sys;

use super::handle::Domain;
use crate::{
    DomainConfig, DomainState, Error, ErrorKind, Result, ShutdownReason, config::DomainType, rearm,
};

impl Domain {
    /// Gives a fully virtualised guest a fresh set of devices around its memory.
    ///
    /// The guest must have asked for that
    /// ([`ShutdownReason::SOFT_RESET`](crate::ShutdownReason::SOFT_RESET), for a kexec). The domain
    /// keeps its domid, and is paused afterwards. `config` is the configuration that
    /// [`retrieve_configuration`](Self::retrieve_configuration) returns.
    ///
    /// Blocks, and cannot be aborted: libxl's asynchronous variant writes to a stack frame that is
    /// gone (Xen 4.14 to 4.22), and is never used. Best called on a context of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a domain that is not HVM, or has not asked for a reset; the
    /// domain is unchanged then. After any other failure the domain is unusable, and may be gone.
    #[doc(alias = "libxl_domain_soft_reset")]
    pub fn soft_reset(&self, config: &DomainConfig) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_soft_reset";
        let refuse = |why: String| {
            Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(why))
        };
        self.check(FUNCTION)?;
        // libxl checks only the configuration, and the state only when the devices are gone.
        if !self.is_hvm()? || config.domain_type() != DomainType::Hvm {
            return refuse("only an HVM domain can be soft-reset".to_owned());
        }
        let state = self.info()?.state();
        if state != DomainState::Shutdown(ShutdownReason::SOFT_RESET) {
            return refuse(format!(
                "the domain has not asked for a soft reset: it is {state}"
            ));
        }
        let config = self.ctx.config_to_c(config)?;
        rearm::is_stopped(self.id(), ShutdownReason::SOFT_RESET);
        let result = self.ctx.call(FUNCTION, Some(self.domid()), |ctx| {
            // libxl polls in this call, and works on the operations of other threads.
            self.ctx.pump().within(|| {
                // SAFETY: a live context and an initialised structure, which libxl is done with when
                // this returns, because there is no `how`.
                unsafe {
                    sys::libxl_domain_soft_reset(
                        ctx,
                        config.as_ptr(),
                        self.domid().0,
                        ptr::null(),
                        ptr::null(),
                    )
                }
            })
        });
        // The call may have ended operations that other threads wait for.
        self.ctx.pump().kick();
        // The reset was a shutdown, and the event source reports only one.
        if result.is_ok() {
            rearm::went_on(self.id());
        } else {
            rearm::rearm(self.id());
        }
        result
    }
}
