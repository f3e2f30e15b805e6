//! An armed event source of libxl.

use std::ptr::{self, NonNull};

use libxl_sys as sys;

use crate::{Context, DomId, Result, pump::Token};

/// `libxl_evgen_domain_death`: reports at most one shutdown and one death of the domain that has
/// this domid, as an event with `token`. Disarmed when dropped.
pub(super) struct Armed {
    ctx: Context,
    raw: NonNull<sys::libxl_evgen_domain_death>,
    token: Token,
}

// SAFETY: belongs to its context, which is thread-safe, and which it keeps alive.
unsafe impl Send for Armed {}

impl Armed {
    pub(super) fn new(ctx: &Context, domid: DomId) -> Result<Self> {
        let token = Token::fresh();
        let mut raw = ptr::null_mut();
        ctx.call("libxl_evenable_domain_death", Some(domid), |c| {
            // SAFETY: a live context and a place for the handle.
            unsafe { sys::libxl_evenable_domain_death(c, domid.0, token.0, &raw mut raw) }
        })?;
        // libxl does not wake a thread that polls already when it starts to need another
        // descriptor: without this the first watch of a context would never be heard.
        ctx.pump().kick();
        match NonNull::new(raw) {
            Some(raw) => Ok(Self {
                ctx: ctx.clone(),
                raw,
                token,
            }),
            None => unreachable!("libxl_evenable_domain_death sets the handle when it succeeds"),
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // SAFETY: armed in `new` on this context, disarmed once. Events that are queued already
        // carry a token that nobody knows any more.
        unsafe { sys::libxl_evdisable_domain_death(self.ctx.enter().ptr(), self.raw.as_ptr()) };
    }
}
