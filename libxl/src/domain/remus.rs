//! Keeping a copy of a running domain on another host.

use std::{
    convert::Infallible,
    ffi::c_int,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
};

use libxl_sys as sys;

use super::{handle::Domain, recover::SuspendError};
use crate::{
    Context, DomId, Error, ErrorKind, Limits, Operation, Result,
    config::Remus,
    limits::{Clock, Gate},
    operation::Call,
    raw::Owned,
    stream::relay::pipe,
};

const FUNCTION: &str = "libxl_domain_remus_start";

/// `libxl_domain_remus_start`.
struct Replication {
    domid: DomId,
    info: Owned<sys::libxl_domain_remus_info>,
    to: OwnedFd,
    from: OwnedFd,
}

impl Call for Replication {
    type Output = ();

    fn function(&self) -> &'static str {
        FUNCTION
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; the structure and the descriptors are
        // ours until the operation is over.
        unsafe {
            sys::libxl_domain_remus_start(
                ctx,
                self.info.as_ptr(),
                self.domid.0,
                self.to.as_raw_fd(),
                self.from.as_raw_fd(),
                how,
            )
        }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<()> {
        Ok(())
    }
}

impl Domain {
    /// Keeps a copy of the domain up to date on another host, which takes over should this host
    /// fail (Remus).
    ///
    /// The guest suspends again and again, each time for as long as it takes to send the changes.
    /// `to` and `from` lead to a receiver that restores such a stream, as
    /// `xl migrate-receive --remus` does after its preamble. Only COLO reads from `from`.
    ///
    /// Blocks until the copying fails or `limits` end it, so it never returns without an error. The
    /// guest then goes on running here; see [`SuspendError`].
    ///
    /// ```no_run
    /// # fn example(domain: &libxl::Domain) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::{fs::File, time::Duration};
    ///
    /// use libxl::{Limits, config::Remus};
    ///
    /// // What would it cost?
    /// let how = Remus {
    ///     interval: Some(200),
    ///     allow_unsafe: Some(true),
    ///     blackhole: Some(true),
    ///     netbuf: Some(false),
    ///     diskbuf: Some(false),
    ///     ..Remus::default()
    /// };
    /// let nowhere = File::options().read(true).write(true).open("/dev/null")?;
    /// let minute = Limits::none().deadline(Duration::from_secs(60));
    /// let Err(ended) = domain.remus_start(&nowhere, &nowhere, &how, &minute);
    /// println!("{ended}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] or [`ErrorKind::Aborted`] when the limits have ended the copying,
    /// [`ErrorKind::Invalid`] for a domain that does not run, [`ErrorKind::Failed`] when the
    /// copying has failed or could not begin; the log has the cause.
    #[doc(alias = "libxl_domain_remus_start")]
    pub fn remus_start(
        &self,
        to: impl AsFd,
        from: impl AsFd,
        how: &Remus,
        limits: &Limits,
    ) -> Result<Infallible, SuspendError> {
        let clock = Clock::start(limits);
        let mut how = how.clone();
        // libxl refuses a configuration without the first field, and with COLO it ends the process
        // if the second one is missing (4.14 to 4.22).
        how.colo.get_or_insert(false);
        how.userspace_colo_proxy.get_or_insert(false);
        let untouched =
            |error: Error| SuspendError::untouched(error.with_domain(Some(self.domid())));
        let info = self.context().make_c(&how).map_err(untouched)?;
        let from = from.as_fd().try_clone_to_owned();
        let from = from.map_err(|e| untouched(Error::io(FUNCTION, e)))?;
        let begun = self.suspend_begins(FUNCTION, &clock)?;
        let pipe = clock.check(FUNCTION).and_then(|()| pipe(FUNCTION));
        let pipe = pipe.map_err(|error| begun.untouched(error))?;
        let gate = Arc::new(Gate::default());
        let domain = self.clone();
        let replication = Replication {
            domid: self.domid(),
            info,
            to: pipe.writer,
            from,
        };
        let operation = Operation::new(self.context(), replication)
            .limits(&clock.rest())
            .held_by(&gate)
            .after(move || domain.check(FUNCTION));
        let ended = self.carry_stream(operation, pipe.reader, to.as_fd(), &clock, &gate, None);
        let failed = ended.err().unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Failed, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message("the copying has ended");
            error.into()
        });
        Err(begun.recover(failed))
    }
}
