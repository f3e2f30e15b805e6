//! Device tree overlays: devices that reach Xen, or a domain, while the host runs. Arm.
//!
//! On Arm a device tree describes the devices of a machine. An *overlay* is a piece of a device
//! tree for devices that come later, for example when a programmable chip has been loaded. Xen gets
//! the overlay first; then a domain may be given the devices.
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

/// Change that an overlay makes to a device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverlayOp {
    /// Adds the nodes of the overlay (`LIBXL_DT_OVERLAY_ADD`).
    Add = 1,
    /// Removes the nodes of the overlay (`LIBXL_DT_OVERLAY_REMOVE`).
    Remove = 2,
}

impl Context {
    /// Adds the nodes of a device tree overlay to Xen's device tree, or removes them. Since Xen
    /// 4.18; Arm.
    ///
    /// `overlay` is the compiled overlay, with the devices of a programmable chip, for example.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] before Xen 4.18 and on other machines than Arm's;
    /// [`ErrorKind::Failed`] if the bytes are not an overlay, or Xen refuses it; the log says why.
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
    /// [`ErrorKind::Failed`] if the bytes are not an overlay, or Xen refuses it; the log says why.
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

/// Copies the overlay, because libxl takes a pointer that it may write through. Returns its length,
/// too.
#[cfg(any(target_arch = "arm", target_arch = "aarch64"))]
#[allow(dead_code)] // Unused if the headers have neither function.
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

#[allow(dead_code)] // Unused on Arm if the headers have both functions.
fn absent(function: &'static str, feature: &str) -> Error {
    if crate::have(feature) {
        return Error::new(ErrorKind::Unsupported, function)
            .with_message(format!("libxl {BUILT_FOR} has {function} on Arm only"));
    }
    Context::lacks(function, feature)
}
