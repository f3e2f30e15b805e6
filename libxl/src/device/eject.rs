//! Reports of guests that eject a disc.

use std::ptr::{self, NonNull};

use libxl_sys as sys;

use crate::{
    Context, Domain, Error, Limits, Result, config::Disk, limits::Clock, pump::Token, raw::c_string,
};

const FUNCTION: &str = "libxl_evenable_disk_eject";

/// Reports when a guest ejects the disc of one drive. Dropping the value ends the reports.
#[derive(Debug)]
#[doc(alias = "libxl_evdisable_disk_eject")]
#[must_use = "nothing is heard of ejects once this is dropped"]
pub struct DiskEjects {
    ctx: Context,
    raw: NonNull<sys::libxl_evgen_disk_eject>,
    token: Token,
    vdev: String,
}

// SAFETY: the event source belongs to its context, which is thread-safe, and which it keeps alive;
// `raw` is only used to disarm it, once.
unsafe impl Send for DiskEjects {}
// SAFETY: as above.
unsafe impl Sync for DiskEjects {}

impl Domain {
    /// Reports when the guest ejects the disc of a drive, from now on.
    ///
    /// `vdev` names the drive, as in [`Disk::vdev`]. A paravirtual guest announces an eject in
    /// xenstore. Ejects from a drive that QEMU emulates are not reported.
    ///
    /// ```no_run
    /// # fn example(domain: &libxl::Domain) -> libxl::Result<()> {
    /// use libxl::Limits;
    ///
    /// let ejects = domain.watch_disk_eject("xvdb")?;
    /// let empty = ejects.wait(&Limits::none())?;
    /// // The drive goes on without a disc.
    /// domain.cdrom_insert(&empty)?.wait()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the domain has no such drive,
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
    #[doc(alias = "libxl_evenable_disk_eject")]
    pub fn watch_disk_eject(&self, vdev: &str) -> Result<DiskEjects> {
        // libxl arms a source for any name, and corrupts memory if arming fails (Xen 4.14 to 4.22:
        // it removes a watch that was not set up). So a source is armed only for drives that exist.
        self.disk_by_vdev(vdev)?;
        let name = c_string(FUNCTION, "vdev", vdev)?;
        let ctx = self.context();
        let token = Token::fresh();
        let mut raw = ptr::null_mut();
        // Before the call, because an event may come before the call returns.
        ctx.pump().expect_ejects(token);
        let armed = self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context, a NUL-terminated name, which libxl copies, and a place for
            // the handle.
            unsafe {
                sys::libxl_evenable_disk_eject(ctx, domid, name.as_ptr(), token.0, &raw mut raw)
            }
        });
        // As with every event source: libxl does not wake a thread that polls already.
        ctx.pump().kick();
        match (armed, NonNull::new(raw)) {
            (Ok(()), Some(raw)) => Ok(DiskEjects {
                ctx: ctx.clone(),
                raw,
                token,
                vdev: vdev.to_owned(),
            }),
            (armed, _) => {
                ctx.pump().forget_ejects(token);
                Err(armed.err().unwrap_or_else(|| {
                    Error::new(crate::ErrorKind::Failed, FUNCTION).with_message("no handle came")
                }))
            }
        }
    }
}

impl DiskEjects {
    /// Name of the drive, as in [`Disk::vdev`].
    #[must_use]
    pub fn vdev(&self) -> &str {
        &self.vdev
    }

    /// Waits until the guest ejects the disc, and returns the empty drive to pass to
    /// [`Domain::cdrom_insert`].
    ///
    /// An eject since the last call, or since the watch began, ends the wait at once. Several
    /// ejects count as one, because each leaves the same empty drive.
    ///
    /// The death of the domain does not end the wait: pull an [`AbortHandle`](crate::AbortHandle)
    /// when a [`Watcher`](crate::Watcher) reports the death.
    ///
    /// # Errors
    ///
    /// The errors of the limits; [`ErrorKind::Io`](crate::ErrorKind::Io) when the context cannot be
    /// polled; [`ErrorKind::NotAvailable`](crate::ErrorKind::NotAvailable) after
    /// [`Context::is_poisoned`].
    pub fn wait(&self, limits: &Limits) -> Result<Disk> {
        let clock = Clock::start(limits);
        let pump = self.ctx.pump();
        if let Some(abort) = clock.abort_handle() {
            abort.attach(self.ctx.core());
        }
        loop {
            let now = pump.now();
            if let Some(disk) = pump.take_eject(self.token) {
                return Ok(Disk {
                    // libxl looks for the name in the wrong place, and leaves it out.
                    vdev: Some(self.vdev.clone()),
                    ..disk
                });
            }
            if self.ctx.is_poisoned() {
                return Err(Error::poisoned(FUNCTION));
            }
            clock.check(FUNCTION)?;
            self.ctx
                .core()
                .wait(now, clock.deadline())
                .map_err(|e| Error::io(FUNCTION, e))?;
        }
    }
}

impl Drop for DiskEjects {
    fn drop(&mut self) {
        // SAFETY: armed on this context when the value was made, disarmed once.
        unsafe { sys::libxl_evdisable_disk_eject(self.ctx.enter().ptr(), self.raw.as_ptr()) };
        self.ctx.pump().forget_ejects(self.token);
    }
}
