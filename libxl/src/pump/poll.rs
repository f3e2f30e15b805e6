//! The calls of libxl that poll: `libxl_osevent_beforepoll`, poll(2), `libxl_osevent_afterpoll`.

use std::{
    ffi::c_int,
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd},
    ptr,
    time::{Duration, Instant},
};

use libxl_sys as sys;

use super::{
    descriptor::Descriptor,
    token::Token,
    turns::{Pump, earlier},
};

/// The descriptors that libxl waits for, and the timeout.
struct Interest {
    fds: Vec<sys::pollfd>,
    /// Timeout in milliseconds; negative for ever.
    timeout: c_int,
}

impl Pump {
    /// Asks libxl for its descriptors and its timeout, `until` at the latest. Only for the thread
    /// that has the turn.
    fn interest(&self, ctx: *mut sys::libxl_ctx, until: Option<Instant>) -> io::Result<Interest> {
        let mut fds: Vec<sys::pollfd> = Vec::with_capacity(16);
        let mut timeout = millis_until(until);
        loop {
            let mut count = c_int::try_from(fds.capacity()).unwrap_or(c_int::MAX);
            // SAFETY: `fds` has room for `count` entries, and only the thread that set `polling`
            // gets here: libxl allows one.
            let rc = self.within(|| unsafe {
                sys::libxl_osevent_beforepoll(
                    ctx,
                    &mut count,
                    fds.as_mut_ptr(),
                    &mut timeout,
                    time_of_day(),
                )
            });
            let count = usize::try_from(count).unwrap_or(0);
            match rc {
                0 => {
                    // SAFETY: libxl has filled in that many.
                    unsafe { fds.set_len(count.min(fds.capacity())) };
                    return Ok(Interest { fds, timeout });
                }
                // Too little room; `count` is the room that it takes.
                _ if count > fds.capacity() => fds.reserve(count),
                _ => return Err(io::Error::other(format!("libxl_osevent_beforepoll: {rc}"))),
            }
        }
    }

    /// One round of beforepoll, poll and afterpoll.
    pub(super) fn poll(&self, ctx: *mut sys::libxl_ctx, until: Option<Instant>) -> io::Result<()> {
        let bell = self.bell()?;
        let Interest { mut fds, timeout } = self.interest(ctx, until)?;
        let of_libxl = fds.len();
        fds.push(sys::pollfd {
            fd: bell.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        let nfds = libc::nfds_t::try_from(fds.len()).unwrap_or(0);
        // SAFETY: `fds` holds `nfds` entries; sys::pollfd is the C structure itself.
        let ready = unsafe { libc::poll(fds.as_mut_ptr().cast(), nfds, timeout) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            for fd in &mut fds {
                fd.revents = 0;
            }
        }
        if fds[of_libxl].revents != 0 {
            // Takes back the kicks: a thread that is woken checks everything anyway.
            bell.silence();
        }
        // SAFETY: the descriptors of the beforepoll above, as poll left them, without our own.
        self.within(|| unsafe {
            sys::libxl_osevent_afterpoll(
                ctx,
                c_int::try_from(of_libxl).unwrap_or(0),
                fds.as_ptr(),
                time_of_day(),
            );
        });
        Ok(())
    }

    /// Makes a loop's descriptor wait for the same as libxl. Only for the thread that has the turn.
    pub(super) fn prepare(
        &self,
        ctx: *mut sys::libxl_ctx,
        descriptor: &Descriptor,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let Interest { fds, timeout } = self.interest(ctx, None)?;
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        let libxls = timeout.and_then(|time| Instant::now().checked_add(time));
        let fds = fds.iter().map(|fd| (fd.fd, fd.events));
        descriptor.wait_for(fds, earlier(libxls, deadline))
    }

    /// Has libxl abort an operation.
    pub(super) fn abort(&self, ctx: *mut sys::libxl_ctx, token: Token) {
        let how = how(token);
        // SAFETY: a live context; `how` is only compared. "Not found" means that the operation has
        // just ended, as intended.
        self.within(|| unsafe { sys::libxl_ao_abort(ctx, &raw const how) });
        // The call may have ended the operation, and wakes nobody who waits for something else.
        self.kick();
    }
}

/// Makes libxl report the end of an operation by an event with our token.
///
/// A call without `how` would poll itself, and neither notice an abort nor leave the context to
/// others.
pub(crate) fn how(token: Token) -> sys::libxl_asyncop_how {
    sys::libxl_asyncop_how {
        callback: None,
        u: sys::libxl_asyncop_how__bindgen_ty_1 {
            for_event: ManuallyDrop::new(token.0),
        },
    }
}

/// The current time, in libxl's type.
fn time_of_day() -> sys::timeval {
    let mut now = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    // SAFETY: a place for the time, and no time zone.
    unsafe { libc::gettimeofday(&mut now, ptr::null_mut()) };
    sys::timeval {
        tv_sec: now.tv_sec,
        tv_usec: now.tv_usec,
    }
}

/// Timeout for poll(2) in milliseconds, rounded up so that it does not end just before the
/// deadline.
pub(super) fn millis_until(deadline: Option<Instant>) -> c_int {
    let Some(deadline) = deadline else { return -1 };
    let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX)
}
