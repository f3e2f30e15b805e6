//! Running, stopping and ending a domain.

use std::{
    ffi::{CString, c_int},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use libxl_sys as sys;

use super::Domain;
use crate::{Context, DomId, Error, ErrorKind, Limits, Operation, Result, operation::Call};

/// What can be signalled to a domain from outside (`libxl_trigger`).
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

/// By which way a guest was asked to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShutdownVia {
    /// The guest acknowledged a request through xenstore.
    Paravirt,
    /// The guest cannot be asked: its ACPI power button was pressed.
    PowerButton,
}

/// An operation that takes a domid and nothing else.
struct Simple<F> {
    function: &'static str,
    domid: DomId,
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
        Some(self.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        (self.start)(ctx, self.domid.0, how)
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
        Operation::new(
            &self.ctx,
            Simple {
                function,
                domid: self.domid(),
                start,
            },
        )
        .after(move || domain.check(function))
    }

    /// Stops it from running until [`unpause`](Self::unpause).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_pause")]
    pub fn pause(&self) -> Operation<()> {
        // SAFETY: `start` is called with a live context and a valid `how`.
        self.simple("libxl_domain_pause", |ctx, domid, how| unsafe {
            sys::libxl_domain_pause(ctx, domid, how)
        })
    }

    /// Lets it run: after its creation, or after [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`]; for HVM, that the device model does not answer.
    #[doc(alias = "libxl_domain_unpause")]
    pub fn unpause(&self) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.simple("libxl_domain_unpause", |ctx, domid, how| unsafe {
            sys::libxl_domain_unpause(ctx, domid, how)
        })
    }

    /// Asks the guest to power off, and waits until it acknowledges that, not until it has. libxl
    /// itself waits for 60 s at most. The end is seen through a [`Watcher`](crate::Watcher).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoParavirt`] if the guest cannot be asked; [`ErrorKind::TimedOut`] if it did
    /// not acknowledge: a paused or hung guest; [`ErrorKind::DomainNotFound`].
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

    /// Asks the guest to reboot, and waits for its acknowledgement. The guest then shuts down with
    /// [`ShutdownReason::REBOOT`](crate::ShutdownReason::REBOOT); to start it again is the
    /// toolstack's part.
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

    /// Ends it at once, and takes its devices apart. Takes seconds; with hotplug scripts or a big
    /// guest up to minutes.
    ///
    /// A destroyed domain may stay in Xen's list as [`DomainState::Dying`](crate::DomainState) for
    /// as long as another domain or a program maps a page of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`] if it is gone already, which most callers take for success.
    /// After any other failure look again: the domain may be gone nevertheless.
    #[doc(alias = "libxl_domain_destroy")]
    pub fn destroy(&self) -> Operation<()> {
        // SAFETY: as in `pause`.
        self.simple("libxl_domain_destroy", |ctx, domid, how| unsafe {
            sys::libxl_domain_destroy(ctx, domid, how)
        })
    }

    /// Sends a trigger to an HVM or PVH domain; `vcpu` counts only for [`Trigger::Init`] and
    /// [`Trigger::Nmi`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] or [`ErrorKind::Failed`] for what the domain cannot take.
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
    /// [`ErrorKind::Failed`]; the log says whether it was the file or the domain.
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
