//! The interface between an operation and the C function that does its work.

use std::ffi::c_int;

use libxl_sys as sys;

use crate::{Context, DomId, Error, Result};

/// The work of an operation, without a handle to the context, which would live as long as an operation that nobody waits for.
///
/// The value keeps its address from `start` until the operation is over,
/// so that `start` may give C pointers into it.
pub(crate) trait Call: Send {
    /// Result for the caller.
    type Output;

    /// Name of the C function, for errors.
    fn function(&self) -> &'static str;

    /// Domain of the operation, for errors. For a creation: the new domain, if there is one yet.
    fn domain(&self) -> Option<DomId>;

    /// Returns true if libxl reads sound cards during the operation; see [`crate::sound_cards`].
    fn reads_cards(&self) -> bool {
        false
    }

    /// Calls the C function with `how`, and returns its code.
    ///
    /// # Safety
    ///
    /// `ctx` and `how` are valid. Unless this fails, `self` stays where it is and is not touched
    /// until the operation is over.
    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int;

    /// Returns the error of an operation that failed with `error`, if it knows more of the reason.
    fn explain(&self, ctx: &Context, error: Error) -> Error {
        let _ = ctx;
        error
    }

    /// Converts an operation that ended with 0 into the caller's result.
    fn succeed(self: Box<Self>, ctx: &Context) -> Result<Self::Output>;
}

/// A value that is held until an operation is over.
pub(crate) type Hold = Box<dyn Send>;
