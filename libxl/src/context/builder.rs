//! Opening a context, with everything that must be set up before it can be shared.

use std::{
    ffi::c_int,
    ptr::{self, NonNull},
    sync::{Arc, Mutex, atomic::Ordering},
};

use libxl_sys as sys;

use super::{
    connection::Context,
    core::{Core, EVENTS, Handle, MAINLOOP, SELECTIVE_REAP},
    sigchld::{OPEN, SigchldMode, check_sigchld, opening},
};
use crate::{
    Error, ErrorKind, LogLevel, Result, loaded, logger::Logger, pump::Pump, xenstore_socket,
};

impl Context {
    /// Opens a context with the defaults.
    ///
    /// # Errors
    ///
    /// As [`ContextBuilder::open`].
    pub fn open() -> Result<Self> {
        Self::builder().open()
    }

    /// Returns a builder with the defaults.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }
}

/// Builder for a [`Context`]. Holds the settings that libxl accepts only before first use.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ContextBuilder {
    /// `None` follows the level of the `log` crate; `Some(None)` forwards no lines.
    log_level: Option<Option<LogLevel>>,
    sigchld: SigchldMode,
}

impl ContextBuilder {
    /// Sets the lowest severity of libxl's log lines that go to the [`log`] crate, with target
    /// `libxl`.
    ///
    /// Default: the value of [`log::max_level`] when the context is opened. Warnings and errors are
    /// always kept for [`Error::log`]. Needs the feature `log`.
    ///
    /// The program's logger receives the lines after the libxl call that wrote them has returned,
    /// so it may call this crate. A panic in the logger is caught; the next error quotes it.
    #[cfg(feature = "log")]
    pub fn log_level(mut self, level: log::LevelFilter) -> Self {
        self.log_level = Some(level.to_level().map(LogLevel::from));
        self
    }

    /// Sets the owner of SIGCHLD. Default: [`SigchldMode::SelectiveReap`].
    pub fn sigchld(mut self, mode: SigchldMode) -> Self {
        self.sigchld = mode;
        self
    }

    /// Opens the context.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAvailable`] when Xen cannot be reached: the process does not run on Xen, in
    /// dom0 and as root, or xenstored is not running. [`ErrorKind::Unsupported`] when the program
    /// has a SIGCHLD handler of its own and the mode is [`SigchldMode::SelectiveReap`]: libxl would
    /// end the process; or when the loaded libxl is not the one this crate was built for.
    /// [`ErrorKind::Invalid`] when a context in the other mode is open.
    #[doc(alias = "libxl_ctx_alloc")]
    #[doc(alias = "libxl_childproc_setmode")]
    #[doc(alias = "libxl_event_register_callbacks")]
    pub fn open(self) -> Result<Context> {
        const FUNCTION: &str = "libxl_ctx_alloc";
        loaded::check(FUNCTION)?;
        let level = self.log_level.unwrap_or_else(wanted_by_the_program);
        let logger = Logger::new(level).ok_or_else(|| Error::new(ErrorKind::NoMemory, FUNCTION))?;
        let pump = Arc::new(Pump::new());

        // Opening also changes the process-wide SIGCHLD handler, so contexts open one at a time.
        let _opening = opening();
        OPEN.check(self.sigchld)?;
        if self.sigchld == SigchldMode::SelectiveReap {
            check_sigchld()?;
        }
        let disaster = Arc::into_raw(Arc::clone(&pump)).cast_mut();
        // SAFETY: never NULL.
        let disaster = unsafe { NonNull::new_unchecked(disaster) };
        let mut raw = ptr::null_mut();
        let rc = {
            let _turn = xenstore_socket::turn();
            // SAFETY: a place for the context; the logger outlives it, see `Core::drop`.
            unsafe { sys::libxl_ctx_alloc(&raw mut raw, version(), 0, logger.as_ptr()) }
        };
        let raw = match NonNull::new(raw) {
            Some(raw) if rc == 0 => raw,
            _ => {
                // SAFETY: from `Arc::into_raw` above; libxl never received the pointer.
                drop(unsafe { Arc::from_raw(disaster.as_ptr()) });
                logger.flush();
                return Err(Error::from_code(FUNCTION, rc)
                    .with_kind(ErrorKind::NotAvailable)
                    .with_message(
                        "Xen cannot be reached: this needs root in dom0 of a Xen host with \
                         xenstored running",
                    )
                    .with_log(logger.since(0)));
            }
        };
        let children: &'static _ = match self.sigchld {
            SigchldMode::SelectiveReap => &SELECTIVE_REAP,
            SigchldMode::Mainloop => &MAINLOOP,
        };
        // SAFETY: the context is not shared yet and has no children and no event source; both
        // tables are static, and `disaster` lives until the context is freed.
        unsafe {
            sys::libxl_event_register_callbacks(
                raw.as_ptr(),
                &raw const EVENTS.0,
                disaster.as_ptr().cast(),
            );
            sys::libxl_childproc_setmode(raw.as_ptr(), &raw const children.0, ptr::null_mut());
        }
        if cfg!(any(target_arch = "arm", target_arch = "aarch64")) {
            // On Arm, libxl reads the version itself when it builds a domain, so it is filled in
            // here. On other architectures only `version_info` needs it, and a context is spared
            // the hypercalls.
            // SAFETY: a live context that is not shared yet.
            unsafe { sys::libxl_get_version_info(raw.as_ptr()) };
        }
        OPEN.of(self.sigchld).fetch_add(1, Ordering::SeqCst);
        logger.flush();
        let core = Arc::new(Core {
            raw,
            version: Mutex::default(),
            logger,
            pump,
            disaster,
            sigchld: self.sigchld,
        });
        Ok(Context(Arc::new(Handle {
            core,
            driver: Mutex::default(),
        })))
    }
}

/// Log level that the program has set in the `log` crate.
fn wanted_by_the_program() -> Option<LogLevel> {
    #[cfg(feature = "log")]
    return log::max_level().to_level().map(LogLevel::from);
    #[cfg(not(feature = "log"))]
    None
}

fn version() -> c_int {
    c_int::try_from(sys::LIBXL_VERSION).unwrap_or(0)
}
