//! FLASK: mandatory access control between domains.
//!
//! On a Xen with FLASK, each domain has a *label* such as `system_u:system_r:domU_t`, which the
//! hypervisor knows as a number, its SID. A *policy* states what may be done between labels. Most
//! distributions build Xen without FLASK, or leave it off: then everything here fails.
//!
//! ```no_run
//! use libxl::Context;
//!
//! let ctx = Context::open()?;
//! println!("enforcing: {}", ctx.flask_enforcing()?);
//! let dom0 = ctx.domain_info(libxl::DomId::DOM0)?;
//! println!("dom0 is {}", ctx.flask_sid_to_context(dom0.ssidref)?);
//! # Ok::<(), libxl::Error>(())
//! ```

use std::{
    ffi::{c_char, c_int},
    ptr,
};

use libxl_sys as sys;

use crate::{
    Context, Error, ErrorKind, Result,
    raw::{c_string, take_str},
};

impl Context {
    /// The SID of a label.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] for a label that the policy does not have, or without FLASK.
    #[doc(alias = "libxl_flask_context_to_sid")]
    pub fn flask_context_to_sid(&self, label: &str) -> Result<u32> {
        const FUNCTION: &str = "libxl_flask_context_to_sid";
        let text = c_string(FUNCTION, "label", label)?;
        let mut sid = 0;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a text that libxl does not change and its length, and a place
            // for the SID.
            unsafe {
                sys::libxl_flask_context_to_sid(
                    ctx,
                    text.as_ptr().cast_mut(),
                    label.len(),
                    &raw mut sid,
                )
            }
        })?;
        Ok(sid)
    }

    /// The label of a SID.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] for an invalid SID, or without FLASK.
    #[doc(alias = "libxl_flask_sid_to_context")]
    pub fn flask_sid_to_context(&self, sid: u32) -> Result<String> {
        const FUNCTION: &str = "libxl_flask_sid_to_context";
        let mut label: *mut c_char = ptr::null_mut();
        let mut length = 0;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, places for the label and its length.
            unsafe { sys::libxl_flask_sid_to_context(ctx, sid, &raw mut label, &raw mut length) }
        })?;
        // SAFETY: on success a string that is ours to free.
        unsafe { take_str(label) }.ok_or_else(|| {
            Error::new(ErrorKind::Failed, FUNCTION).with_message("no label came back")
        })
    }

    /// Returns true if Xen refuses what the policy forbids, and does not only log it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] without FLASK.
    #[doc(alias = "libxl_flask_getenforce")]
    pub fn flask_enforcing(&self) -> Result<bool> {
        // SAFETY: a live context.
        let mode = self.number("libxl_flask_getenforce", None, |ctx| unsafe {
            sys::libxl_flask_getenforce(ctx)
        })?;
        Ok(mode != 0)
    }

    /// Sets whether Xen refuses what the policy forbids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the policy does not allow it, or without FLASK.
    #[doc(alias = "libxl_flask_setenforce")]
    pub fn set_flask_enforcing(&self, enforce: bool) -> Result<()> {
        self.call("libxl_flask_setenforce", None, |ctx| {
            // SAFETY: a live context.
            unsafe { sys::libxl_flask_setenforce(ctx, c_int::from(enforce)) }
        })
    }

    /// Loads another policy, in its binary form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] if the bytes are not a policy, or without FLASK.
    #[doc(alias = "libxl_flask_loadpolicy")]
    pub fn flask_load_policy(&self, policy: &[u8]) -> Result<()> {
        const FUNCTION: &str = "libxl_flask_loadpolicy";
        let size = u32::try_from(policy.len()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("{} bytes are too many", policy.len()))
        })?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, and `size` bytes that libxl copies and does not change.
            unsafe { sys::libxl_flask_loadpolicy(ctx, policy.as_ptr().cast_mut().cast(), size) }
        })
    }
}
