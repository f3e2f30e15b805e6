//! Pausing, shutting down and destroying a domain; triggers and core dumps.

use std::{
    ffi::{CString, c_int},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use libxl_sys as sys;

use super::handle::Domain;
use crate::{
    Context, DomId, DomainId, Error, ErrorKind, Limits, Operation, Result, operation::Call,
};

/// A signal that can be sent to a domain from outside (`libxl_trigger`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_trigger")]
pub enum Trigger {
    /// The ACPI power button.
    Power,
    /// The ACPI sleep button.
    Sleep,
    /// A non-maskable interrupt.
    Nmi,
    /// An INIT of a virtual CPU.
    Init,
    /// A reset.
    Reset,
    /// The end of an ACPI S3 sleep.
    S3Resume,
}

impl Trigger {
    fn raw(self) -> sys::libxl_trigger {
        match self {
            Self::Power => sys::libxl_trigger::LIBXL_TRIGGER_POWER,
            Self::Sleep => sys::libxl_trigger::LIBXL_TRIGGER_SLEEP,
            Self::Nmi => sys::libxl_trigger::LIBXL_TRIGGER_NMI,
            Self::Init => sys::libxl_trigger::LIBXL_TRIGGER_INIT,
            Self::Reset => sys::libxl_trigger::LIBXL_TRIGGER_RESET,
            Self::S3Resume => sys::libxl_trigger::LIBXL_TRIGGER_S3RESUME,
        }
    }
}

/// The channel through which a guest was asked to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShutdownVia {
    /// The guest acknowledged a request through xenstore.
    Paravirt,
    /// The guest cannot be asked, so its ACPI power button was pressed.
    PowerButton,
}

/// An operation on a domid that has no result.
struct Simple<F> {
    function: &'static str,
    id: DomainId,
    /// An earlier check may stand, so that the domain can be gone.
    is_frequent: bool,
    start: F,
}

impl<F> Call for Simple<F>
where
    F: Fn(*mut sys::libxl_ctx, u32, *const sys::libxl_asyncop_how) -> c_int + Send,
{
    type Output = ();

    fn function(&self) -> &'static str {
        self.function
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.id.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        (self.start)(ctx, self.id.domid.0, how)
    }

    fn explain(&self, ctx: &Context, error: Error) -> Error {
        if self.is_frequent {
            ctx.domain(self.id).explain(error)
        } else {
            error
        }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<()> {
        Ok(())
    }
}

impl Domain {
    pub(crate) fn simple<F>(&self, function: &'static str, start: F) -> Operation<()>
    where
        F: Fn(*mut sys::libxl_ctx, u32, *const sys::libxl_asyncop_how) -> c_int + Send + 'static,
    {
        let domain = self.clone();
        self.unchecked(function, false, start)
            .after(move || domain.check(function))
    }

    /// As [`simple`](Self::simple), for what a program may repeat many times in a second, and what fails on a domain that is gone.
    fn frequent<F>(&self, function: &'static str, start: F) -> Operation<()>
    where
        F: Fn(*mut sys::libxl_ctx, u32, *const sys::libxl_asyncop_how) -> c_int + Send + 'static,
    {
        let domain = self.clone();
        self.unchecked(function, true, start)
            .after(move || domain.check_again(function))
    }

    fn unchecked<F>(&self, function: &'static str, is_frequent: bool, start: F) -> Operation<()>
    where
        F: Fn(*mut sys::libxl_ctx, u32, *const sys::libxl_asyncop_how) -> c_int + Send + 'static,
    {
        let call = Simple {
            function,
            id: self.id(),
            is_frequent,
            start,
        };
        Operation::new(&self.ctx, call)
    }

    /// Stops the domain from running until [`unpause`](Self::unpause).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_pause")]
    pub fn pause(&self) -> Operation<()> {
        // SAFETY: `start` is called with a live context and a valid `how`.
        self.frequent("libxl_domain_pause", |ctx, domid, how| unsafe {
            sys::libxl_domain_pause(ctx, domid, how)
        })
    }

    /// Lets the domain run, after its creation or after [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`]; for HVM, an error if the device model does not answer.
    #[doc(alias = "libxl_domain_unpause")]
    pub fn unpause(&self) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.frequent("libxl_domain_unpause", |ctx, domid, how| unsafe {
            sys::libxl_domain_unpause(ctx, domid, how)
        })
    }

    /// Asks the guest to power off, and waits for its acknowledgement, not for the power-off.
    ///
    /// libxl waits for 60 s at most. A [`Watcher`](crate::Watcher) reports when the guest has shut
    /// down.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoParavirt`] if the guest cannot be asked; [`ErrorKind::TimedOut`] if the guest
    /// did not acknowledge, because it is paused or hangs; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_shutdown")]
    pub fn shutdown(&self) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.simple("libxl_domain_shutdown", |ctx, domid, how| unsafe {
            sys::libxl_domain_shutdown(ctx, domid, how)
        })
    }

    /// Asks the guest to power off: by [`shutdown`](Self::shutdown) or, if it has no
    /// paravirtualised control channel, by its ACPI power button.
    ///
    /// # Errors
    ///
    /// As [`shutdown`](Self::shutdown); [`ErrorKind::NoParavirt`] for a guest that has neither.
    pub fn request_shutdown(&self, limits: &Limits) -> Result<ShutdownVia> {
        match self.shutdown().limits(limits).wait() {
            Ok(()) => Ok(ShutdownVia::Paravirt),
            Err(error) if error.kind() == ErrorKind::NoParavirt => {
                self.send_trigger(Trigger::Power, 0).limits(limits).wait()?;
                Ok(ShutdownVia::PowerButton)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the guest to reboot, and waits for its acknowledgement.
    ///
    /// The guest then shuts down with [`ShutdownReason::REBOOT`](crate::ShutdownReason::REBOOT),
    /// and the toolstack has to start it again.
    ///
    /// # Errors
    ///
    /// As [`shutdown`](Self::shutdown).
    #[doc(alias = "libxl_domain_reboot")]
    pub fn reboot(&self) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.simple("libxl_domain_reboot", |ctx, domid, how| unsafe {
            sys::libxl_domain_reboot(ctx, domid, how)
        })
    }

    /// Ends the domain at once, and removes its devices. Takes seconds; with hotplug scripts or a
    /// big guest up to minutes.
    ///
    /// A destroyed domain may stay in Xen's list as [`DomainState::Dying`](crate::DomainState) for
    /// as long as another domain or a program maps a page of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if the domain is gone already, which most callers treat as
    /// success. After any other failure check the state: the domain may be gone nevertheless.
    #[doc(alias = "libxl_domain_destroy")]
    pub fn destroy(&self) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.simple("libxl_domain_destroy", |ctx, domid, how| unsafe {
            sys::libxl_domain_destroy(ctx, domid, how)
        })
    }

    /// Sends a trigger to an HVM or PVH domain; `vcpu` matters only for [`Trigger::Init`] and
    /// [`Trigger::Nmi`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] or [`ErrorKind::Failed`] for a trigger that the domain does not
    /// accept.
    #[doc(alias = "libxl_send_trigger")]
    pub fn send_trigger(&self, trigger: Trigger, vcpu: u32) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.simple("libxl_send_trigger", move |ctx, domid, how| unsafe {
            sys::libxl_send_trigger(ctx, domid, trigger.raw(), vcpu, how)
        })
    }

    /// Writes the memory and the CPU state of the domain to a file, in Xen's ELF core format. The
    /// file is overwritten.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`]; the log shows whether the file or the domain is the cause.
    #[doc(alias = "libxl_domain_core_dump")]
    pub fn core_dump(&self, path: &Path) -> Result<Operation<()>> {
        const FUNCTION: &str = "libxl_domain_core_dump";
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("path: contains a NUL byte: {}", path.display()))
        })?;
        Ok(self.simple(FUNCTION, move |ctx, domid, how| {
            // SAFETY: as in `pause`; the path lives in the operation.
            unsafe { sys::libxl_domain_core_dump(ctx, domid, path.as_ptr(), how) }
        }))
    }
}
