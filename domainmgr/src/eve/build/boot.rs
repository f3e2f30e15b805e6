//! What a guest boots from.

use super::{Result, some};
use crate::eve::{DomainConfig, FieldError};
use crate::spec::Mode;

pub(super) fn what_boots(c: &DomainConfig, mode: Mode) -> Result<()> {
    match mode {
        Mode::Pv if c.kernel.is_empty() && c.boot_loader.is_empty() => Err(FieldError::new(
            "Kernel",
            "a PV domain needs a Kernel or a BootLoader",
        )),
        Mode::Pv if !c.boot_loader.is_empty() && c.disk_config_list.is_empty() => {
            Err(FieldError::new(
                "BootLoader",
                "there is no disk that it could find a kernel on",
            ))
        }
        Mode::Pvh if c.kernel.is_empty() => {
            Err(FieldError::new("Kernel", "a PVH domain needs one"))
        }
        _ => Ok(()),
    }
}

pub(super) fn bootloader(c: &DomainConfig, mode: Mode) -> Option<String> {
    let path = some(&c.boot_loader).filter(|_| mode == Mode::Pv)?;
    // Wherever EVE's image had it, libxl finds its own.
    let pygrub = path.ends_with("pygrub");
    Some(if pygrub { "pygrub".to_owned() } else { path })
}
