//! Kernels, RAM disks and boot loaders.

use super::fields::{Result, some};
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
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

/// Name of the boot loader that comes with Xen.
pub(super) const PYGRUB: &str = "pygrub";

/// The boot loader that libxl runs.
pub(super) fn bootloader(c: &DomainConfig, mode: Mode) -> Result<Option<String>> {
    let Some(path) = some(&c.boot_loader).filter(|_| mode == Mode::Pv) else {
        return Ok(None);
    };
    // EVE's images have pygrub in other places than Xen's own.
    if path == PYGRUB || (path.starts_with('/') && path.rsplit('/').next() == Some(PYGRUB)) {
        return Ok(Some(PYGRUB.to_owned()));
    }
    // libxl looks for a relative path in its own directory, whose other programs are not boot loaders. It takes the text as
    // the name of the program, and passes arguments of its own.
    if !path.starts_with('/') {
        return Err(FieldError::new(
            "BootLoader",
            format!("expected \"pygrub\" or an absolute path, without arguments, found {path:?}"),
        ));
    }
    Ok(Some(path))
}
