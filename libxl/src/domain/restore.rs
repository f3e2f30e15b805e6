//! Restoring a domain from a saved stream.

use std::{
    ffi::c_int,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    panic::resume_unwind,
    ptr,
    sync::Arc,
    thread,
};

use libxl_sys as sys;
use uuid::Uuid;

use super::{create::OutDomid, handle::Domain, save::StopOnDrop};
use crate::{
    Context, DomId, DomainConfig, DomainId, Error, ErrorKind, Limits, Operation, Progress, Result,
    SavedHeader,
    limits::{Clock, Gate},
    log,
    operation::Call,
    raw::Owned,
    stream::{
        Silence,
        relay::{self, Incoming, Until, pipe, read_opening},
    },
};

const FUNCTION: &str = "libxl_domain_create_restore";

impl Context {
    /// Creates a domain from a stream that [`Domain::suspend`] has written, and leaves it paused.
    ///
    /// [`Domain::unpause`] lets the guest continue. `config` is the configuration of the saved
    /// domain, perhaps with another name. `report` is called with each progress report of libxl.
    ///
    /// The descriptor is read ahead: bytes that follow the stream may be lost unless the sender
    /// waits for an answer first. If the restore fails or `report` panics, no domain is left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the input is not such a stream; those
    /// of [`domain_create_new`](Self::domain_create_new) and of the limits.
    #[doc(alias = "libxl_domain_create_restore")]
    pub fn domain_create_restore(
        &self,
        config: &DomainConfig,
        from: impl AsFd,
        limits: &Limits,
        report: impl FnMut(&Progress),
    ) -> Result<Domain> {
        self.restore_within(config, from, &Clock::start(limits), report)
    }

    /// Creates a domain from the output of [`Domain::save`] or `xl save`, and leaves it paused. If
    /// the restore fails, no domain is left.
    ///
    /// # Errors
    ///
    /// The errors of [`SavedHeader::read`] and
    /// [`domain_create_restore`](Self::domain_create_restore).
    pub fn restore(&self, from: impl AsFd, limits: &Limits) -> Result<Domain> {
        let clock = Clock::start(limits);
        let saved = SavedHeader::read_within(&from, &clock)?;
        self.restore_within(&saved.config, from, &clock, |_| {})
    }

    pub(crate) fn restore_within(
        &self,
        config: &DomainConfig,
        from: impl AsFd,
        clock: &Clock,
        mut report: impl FnMut(&Progress),
    ) -> Result<Domain> {
        let mut config = config.clone();
        // xl writes 0 for "any".
        config.c_info.domid = config.c_info.domid.filter(|domid| *domid != 0);
        let uuid = *config.c_info.uuid.get_or_insert_with(Uuid::new_v4);
        let params = Owned::<sys::libxl_domain_restore_params>::new();
        // SAFETY: initialised, and not shared. Version 2 is the stream of Xen 4.6 and later.
        unsafe { (*params.as_ptr()).stream_version = 2 };
        let pipe = pipe(FUNCTION)?;
        let gate = Arc::new(Gate::default());
        let restore = Restore {
            config: self.config_to_c(&config)?,
            domid: OutDomid::new(),
            uuid,
            from: pipe.reader,
            params,
        };
        let opening = read_opening(FUNCTION, from.as_fd(), clock)?;
        let restore = Operation::new(self, restore)
            .limits(&clock.rest())
            .held_by(&gate);

        // Not the caller's limits: libxl must not miss data too early.
        let over = Until::new();
        // The other end may be waiting for its guest.
        let silence = Silence::of(clock, &|| true);
        let incoming = Incoming::new(FUNCTION, opening, pipe.writer, &over)?.allowing(silence);
        let over = &over.handle;
        let (result, panic) = thread::scope(|scope| {
            let carrying = relay::spawn(FUNCTION, scope, {
                let (from, gate) = (from.as_fd(), &gate);
                let came = |bytes| {
                    self.logger().report(&Progress::received(bytes));
                    self.pump().kick();
                };
                move || incoming.carry(from, gate, came)
            });
            let carrying = match carrying {
                Ok(carrying) => carrying,
                Err(error) => return (Err(error), None),
            };
            let _stop = StopOnDrop(over);
            let (result, panicked) = restore.wait_despite_panics(&mut report);
            over.abort();
            // If reading failed, that error is the cause, and libxl only saw the end of the stream.
            match (result, carrying.join()) {
                (Err(error), Ok(Err(cause))) if is_read_error(&cause) => {
                    let cause = cause
                        .with_domain(error.domain())
                        .with_log(error.log().to_vec());
                    (Err(cause), panicked)
                }
                (result, Ok(_)) => (result, panicked),
                (result, Err(panic)) => (result, panicked.or(Some(panic))),
            }
        });
        if let Some(id) = left_behind(&result, uuid, panic.is_some()) {
            self.clear_away(id);
        }
        match panic {
            Some(panic) => resume_unwind(panic),
            None => result.map(|id| self.domain(id)),
        }
    }

    /// Destroys a domain that a restore has left without a handle.
    fn clear_away(&self, id: DomainId) {
        let domain = self.domain(id);
        if domain.info().is_err() {
            return;
        }
        if let Err(error) = domain.destroy().wait() {
            if !error.is_domain_gone() {
                log::error!("domain {id} is left half restored: {error:#}");
            }
        }
    }
}

/// The domain that a restore leaves without an owner, if any.
///
/// libxl keeps a partial domain after an abort, and after a panic nobody gets the handle to a
/// complete one.
fn left_behind(result: &Result<DomainId>, uuid: Uuid, panicked: bool) -> Option<DomainId> {
    match result {
        Ok(id) => panicked.then_some(*id),
        Err(error) => error.domain().map(|domid| DomainId { domid, uuid }),
    }
}

/// Returns true if the stream could not be read. A broken pipe does not count: it only means that
/// libxl has closed its end.
fn is_read_error(error: &Error) -> bool {
    error.kind() == ErrorKind::TimedOut
        || error.kind() == ErrorKind::Io && error.io_kind() != Some(io::ErrorKind::BrokenPipe)
}

struct Restore {
    config: Owned<sys::libxl_domain_config>,
    domid: OutDomid,
    uuid: Uuid,
    from: OwnedFd,
    params: Owned<sys::libxl_domain_restore_params>,
}

impl Call for Restore {
    type Output = DomainId;

    fn function(&self) -> &'static str {
        FUNCTION
    }

    fn domain(&self) -> Option<DomId> {
        self.domid.get()
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; structures, descriptor and the place
        // for the id live as long as `self`, which is until the operation is over. There is no
        // descriptor to send back on (only COLO has one) and no console callback.
        unsafe {
            sys::libxl_domain_create_restore(
                ctx,
                self.config.as_ptr(),
                self.domid.as_ptr(),
                self.from.as_raw_fd(),
                -1,
                self.params.as_ptr(),
                how,
                ptr::null(),
            )
        }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<DomainId> {
        self.domid.identity(self.uuid, FUNCTION)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::left_behind;
    use crate::{DomId, DomainId, Error, ErrorKind};

    #[test]
    fn what_nobody_gets_is_left_behind() {
        let uuid = Uuid::new_v4();
        let id = DomainId {
            domid: DomId(7),
            uuid,
        };
        let aborted = |domid| Err(Error::new(ErrorKind::Aborted, "f").with_domain(domid));
        for panicked in [true, false] {
            assert_eq!(
                left_behind(&aborted(Some(id.domid)), uuid, panicked),
                Some(id)
            );
            assert_eq!(left_behind(&aborted(None), uuid, panicked), None);
        }
        assert_eq!(left_behind(&Ok(id), uuid, true), Some(id));
        assert_eq!(left_behind(&Ok(id), uuid, false), None);
    }
}
