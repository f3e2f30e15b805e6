//! Handling of SIGCHLD in this process.

use std::{
    ffi::c_void,
    mem::MaybeUninit,
    ptr,
    sync::{
        MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use libxl_sys as sys;

use crate::{Error, ErrorKind, Result, log, per_process::PerProcess};

/// The owner of SIGCHLD in this process.
///
/// libxl forks to create, destroy, save and restore domains, and for hotplug scripts. All contexts
/// of a process must use the same mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigchldMode {
    /// libxl installs a handler and reaps its own children only. The program must not handle
    /// SIGCHLD itself, but may use [`std::process`].
    #[default]
    SelectiveReap,
    /// The program handles SIGCHLD and calls [`Context::sigchld_occurred`](crate::Context::sigchld_occurred) on every
    /// context.
    Mainloop,
}

/// Held while a context opens or closes.
pub(super) fn opening() -> MutexGuard<'static, ()> {
    static OPENING: PerProcess<()> = PerProcess::new(());
    OPENING.lock()
}

/// Number of open contexts of the process in each mode. Changed while [`opening`] is held.
pub(super) static OPEN: Open = Open {
    selective_reap: AtomicUsize::new(0),
    mainloop: AtomicUsize::new(0),
};

pub(super) struct Open {
    selective_reap: AtomicUsize,
    mainloop: AtomicUsize,
}

impl Open {
    pub(super) fn of(&self, mode: SigchldMode) -> &AtomicUsize {
        match mode {
            SigchldMode::SelectiveReap => &self.selective_reap,
            SigchldMode::Mainloop => &self.mainloop,
        }
    }

    /// Fails if a context is open in the other mode.
    ///
    /// The handlers of libxl and of the program cannot both be installed, and libxl ends the
    /// process when it finds another handler in place of its own.
    pub(super) fn check(&self, wanted: SigchldMode) -> Result<()> {
        let other = match wanted {
            SigchldMode::SelectiveReap => SigchldMode::Mainloop,
            SigchldMode::Mainloop => SigchldMode::SelectiveReap,
        };
        if self.of(other).load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Invalid, "libxl_childproc_setmode").with_message(format!(
                "a context with SigchldMode::{other:?} is open: all of a process must use the same"
            )),
        )
    }

    pub(super) fn forget(&self) {
        self.selective_reap.store(0, Ordering::SeqCst);
        self.mainloop.store(0, Ordering::SeqCst);
    }
}

/// Returns the current action for SIGCHLD.
fn action() -> Result<libc::sigaction> {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only reads the current action.
    let rc = unsafe { libc::sigaction(libc::SIGCHLD, ptr::null(), now.as_mut_ptr()) };
    if rc != 0 {
        return Err(Error::io("sigaction", std::io::Error::last_os_error()));
    }
    // SAFETY: filled in by the call above, and any bit pattern would be valid.
    Ok(unsafe { now.assume_init() })
}

/// Fails if the program has installed a handler: any but the default, `SIG_IGN` or libxl's own.
pub(super) fn check_sigchld() -> Result<()> {
    let handler = action()?.sa_sigaction;
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN || is_libxls(handler) {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::Unsupported, "libxl_childproc_setmode").with_message(
            "this program has a SIGCHLD handler, beside which libxl would end the process: \
         remove it, or use SigchldMode::Mainloop",
        ),
    )
}

/// Runs a call in which libxl may change the action for SIGCHLD, and then restores the previous
/// action if it was not libxl's.
///
/// libxl (4.14 to 4.22) installs its handler anew whenever a context is freed, and removes the
/// handler with the last context, without checking whose handler is installed.
pub(super) fn keeping_a_foreign_action(call: impl FnOnce()) {
    let foreign = action().ok().filter(|now| !is_libxls(now.sa_sigaction));
    call();
    if let Some(foreign) = foreign {
        log::warn!(
            "libxl: the program has replaced libxl's handler of SIGCHLD while a context was open: \
             libxl does not learn of the end of its children then"
        );
        // SAFETY: an action that was in force before.
        unsafe { libc::sigaction(libc::SIGCHLD, &raw const foreign, ptr::null_mut()) };
    }
}

/// The handler of libxl, once it is known; 0 before. libxl is never unloaded.
static LIBXLS: AtomicUsize = AtomicUsize::new(0);

/// Returns true if a signal handler is code of the libxl library, and so belongs to another
/// context.
fn is_libxls(handler: usize) -> bool {
    // dladdr looks at every symbol of libxl: that takes as long as a tenth of opening a context.
    if handler != 0 && handler == LIBXLS.load(Ordering::Relaxed) {
        return true;
    }
    let is = is_in_libxl(handler);
    if is {
        LIBXLS.store(handler, Ordering::Relaxed);
    }
    is
}

fn is_in_libxl(address: usize) -> bool {
    let mut here = MaybeUninit::<libc::Dl_info>::zeroed();
    let mut there = MaybeUninit::<libc::Dl_info>::zeroed();
    let libxl = sys::libxl_ctx_alloc as *const c_void;
    // SAFETY: dladdr takes any address and fills in a structure whose fields may all be zero.
    unsafe {
        libc::dladdr(libxl, here.as_mut_ptr()) != 0
            && libc::dladdr(ptr::with_exposed_provenance(address), there.as_mut_ptr()) != 0
            && here.assume_init().dli_fbase == there.assume_init().dli_fbase
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use libxl_sys as sys;

    use super::{Open, SigchldMode, check_sigchld, is_libxls};

    #[test]
    fn a_process_has_one_way_with_sigchld() {
        let open = Open {
            selective_reap: AtomicUsize::new(0),
            mainloop: AtomicUsize::new(0),
        };
        open.check(SigchldMode::Mainloop).unwrap();
        open.of(SigchldMode::SelectiveReap)
            .fetch_add(1, Ordering::SeqCst);
        open.check(SigchldMode::SelectiveReap).unwrap();
        let error = open.check(SigchldMode::Mainloop).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("SigchldMode::SelectiveReap is open"),
            "{error}"
        );
        open.forget();
        open.check(SigchldMode::Mainloop).unwrap();
    }

    #[test]
    fn the_default_sigchld_action_is_accepted() {
        check_sigchld().unwrap();
        assert!(!is_libxls(0x1000));
        assert!(!is_libxls(0));
    }

    #[test]
    fn code_of_libxl_is_libxls_each_time() {
        let code = (sys::libxl_ctx_free as *const ()).expose_provenance();
        for _ in 0..3 {
            assert!(is_libxls(code));
            assert!(!is_libxls(check_sigchld as *const () as usize));
        }
    }
}
