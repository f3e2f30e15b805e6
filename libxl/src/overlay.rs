//! Device tree overlays: devices that reach Xen, or a domain, while the host runs. Arm.
//!
//! On Arm a device tree says which devices a machine has. An *overlay* is a piece of one: for what
//! comes later, when a programmable chip has been loaded, for example. Xen is told first, and a domain
//! may be given the devices then.
//!
//! ```no_run
//! use libxl::{Context, overlay::OverlayOp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ctx = Context::open()?;
//! let overlay = std::fs::read("/lib/firmware/chip.dtbo")?;
//! ctx.dt_overlay(&overlay, OverlayOp::Add)?;
//! ctx.domain_by_domid(ctx.name_to_domid("chip")?)?.dt_overlay(&overlay, OverlayOp::Add)?;
//! # Ok(())
//! # }
//! ```

#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
use libxl_sys as sys;

use crate::{Context, Domain, Error, ErrorKind, Result, have::BUILT_FOR};

/// What becomes of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverlayOp {
    /// Its nodes are added (`LIBXL_DT_OVERLAY_ADD`).
    Add = 1,
    /// Its nodes are taken away (`LIBXL_DT_OVERLAY_REMOVE`).
    Remove = 2,
}

impl Context {
    /// Adds the nodes of a device tree overlay to Xen's device tree, or takes them away: devices of
    /// a programmable chip, for example. `overlay` is the compiled overlay. Since Xen 4.18; Arm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] before Xen 4.18 and on other machines than Arm's;
    /// [`ErrorKind::Failed`] for what is no overlay, or that Xen does not take; the log says why.
    #[doc(alias = "libxl_dt_overlay")]
    pub fn dt_overlay(&self, overlay: &[u8], op: OverlayOp) -> Result<()> {
        const FUNCTION: &str = "libxl_dt_overlay";
        #[cfg(all(
            libxl_have = "dt_overlay",
            any(target_arch = "arm", target_arch = "aarch64")
        ))]
        {
            let (mut overlay, len) = copy(FUNCTION, overlay)?;
            self.call(FUNCTION, None, |ctx| {
                // SAFETY: a live context and a copy of the overlay with its length, which libxl is
                // done with when this returns.
                unsafe { sys::libxl_dt_overlay(ctx, overlay.as_mut_ptr().cast(), len, op as u8) }
            })
        }
        #[cfg(not(all(
            libxl_have = "dt_overlay",
            any(target_arch = "arm", target_arch = "aarch64")
        )))]
        {
            let _ = (overlay, op);
            Err(absent(FUNCTION, "dt_overlay"))
        }
    }
}

impl Domain {
    /// Gives the domain the devices of an overlay that [`Context::dt_overlay`] has added. Since Xen
    /// 4.19; Arm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] before Xen 4.19 and on other machines than Arm's;
    /// [`ErrorKind::Failed`] for what is no overlay, or that Xen does not take; the log says why.
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_dt_overlay_domain")]
    pub fn dt_overlay(&self, overlay: &[u8], op: OverlayOp) -> Result<()> {
        const FUNCTION: &str = "libxl_dt_overlay_domain";
        #[cfg(all(
            libxl_have = "dt_overlay_domain",
            any(target_arch = "arm", target_arch = "aarch64")
        ))]
        {
            let (mut overlay, len) = copy(FUNCTION, overlay)?;
            self.call(FUNCTION, |ctx, domid| {
                let overlay = overlay.as_mut_ptr().cast();
                // SAFETY: as above.
                unsafe { sys::libxl_dt_overlay_domain(ctx, domid, overlay, len, op as u8) }
            })
        }
        #[cfg(not(all(
            libxl_have = "dt_overlay_domain",
            any(target_arch = "arm", target_arch = "aarch64")
        )))]
        {
            let _ = (overlay, op);
            Err(absent(FUNCTION, "dt_overlay_domain"))
        }
    }
}

/// A copy, because libxl takes a pointer that it may write through, and its length.
#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
#[allow(dead_code)] // Whether there is a use for it depends on the headers.
fn copy(function: &'static str, overlay: &[u8]) -> Result<(Vec<u8>, u32)> {
    /// libxl looks at the header before it looks at the length.
    const HEADER: usize = 40;
    let refused = |text: &str| Error::new(ErrorKind::Invalid, function).with_message(text);
    if overlay.len() < HEADER {
        return Err(refused("this is no device tree"));
    }
    let len = u32::try_from(overlay.len());
    let len = len.map_err(|_| refused("the overlay is larger than 4 GiB"))?;
    Ok((overlay.to_vec(), len))
}

#[allow(dead_code)] // Whether anything is missing depends on the headers.
fn absent(function: &'static str, feature: &str) -> Error {
    if crate::have(feature) {
        return Error::new(ErrorKind::Unsupported, function)
            .with_message(format!("libxl {BUILT_FOR} has {function} on Arm only"));
    }
    Context::lacks(function, feature)
}
