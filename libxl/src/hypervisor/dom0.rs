//! Functions of libxl for dom0 itself: files for logs, words for backends, and devices that are
//! served to other domains.

use std::{
    ffi::{c_char, c_int},
    path::PathBuf,
    ptr,
};

use libxl_sys as sys;

use crate::{
    Context, DomId, Error, ErrorKind, Operation, Result,
    config::DiskBackend,
    logger::expecting_failure,
    operation::Call,
    raw::{c_string, copy_str, take_str},
};

impl Context {
    /// Path of a log file for `name` in libxl's directory (`/var/log/xen`). Earlier files are kept
    /// under numbers, ten at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the earlier files cannot be renamed.
    #[doc(alias = "libxl_create_logfile")]
    pub fn create_logfile(&self, name: &str) -> Result<PathBuf> {
        const FUNCTION: &str = "libxl_create_logfile";
        if name.is_empty() || name.contains('/') {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("name: {name:?} is no name of a file")));
        }
        let name = c_string(FUNCTION, "name", name)?;
        let mut path: *mut c_char = ptr::null_mut();
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated name, a place for the path.
            unsafe { sys::libxl_create_logfile(ctx, name.as_ptr(), &raw mut path) }
        })?;
        // SAFETY: a string that is ours to free, or NULL.
        let path = unsafe { take_str(path) };
        path.map(PathBuf::from).ok_or_else(|| {
            Error::new(ErrorKind::Failed, FUNCTION).with_message("no path came back")
        })
    }

    /// Disk backend for the word that old configurations use: `phy`, `file`, `qdisk` and, since Xen
    /// 4.17, `standalone`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for any other word. `tap` is one of these: libxl requires a format
    /// after it, and does not know it with one.
    #[doc(alias = "libxl_string_to_backend")]
    pub fn string_to_backend(&self, word: &str) -> Result<DiskBackend> {
        const FUNCTION: &str = "libxl_string_to_backend";
        let c_word = c_string(FUNCTION, "word", word)?;
        let mut raw = sys::libxl_disk_backend(0);
        // SAFETY: a live context, a NUL-terminated text, which libxl does not change, and a place
        // for the number.
        let rc = expecting_failure(|| unsafe {
            sys::libxl_string_to_backend(
                self.enter().ptr(),
                c_word.as_ptr().cast_mut(),
                &raw mut raw,
            )
        });
        // SAFETY: a literal of libxl's, or NULL for a number that it does not know.
        let known = unsafe { copy_str(sys::libxl_disk_backend_to_string(raw)) };
        match known.and_then(|word| word.parse().ok()) {
            Some(backend) if rc == 0 => Ok(backend),
            _ => Err(Error::from_code(FUNCTION, rc)
                .with_kind(ErrorKind::Invalid)
                .with_message(format!("{word:?} is no backend"))),
        }
    }

    /// Serves devices to other domains, in a driver domain.
    ///
    /// Runs hotplug scripts and device models as devices come and go. **The operation never ends**,
    /// and libxl advises against aborting it: end the process.
    #[doc(alias = "libxl_device_events_handler")]
    pub fn device_events_handler(&self) -> Operation<()> {
        Operation::new(self, EventsHandler)
    }
}

struct EventsHandler;

impl Call for EventsHandler {
    type Output = ();

    fn function(&self) -> &'static str {
        "libxl_device_events_handler"
    }

    fn domain(&self) -> Option<DomId> {
        None
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise.
        unsafe { sys::libxl_device_events_handler(ctx, how) }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<()> {
        Ok(())
    }
}
