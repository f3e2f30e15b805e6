//! Turns a [`Spec`] into the configuration for libxl, and into the equivalent text for people.

mod libxl;
#[cfg(test)]
mod tests;
mod xl_cfg;

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

pub use self::libxl::domain_config;
pub use self::xl_cfg::{quoted, xl_cfg};
use crate::disks;
use crate::eve::FieldError;
use crate::limits;
use crate::spec::{Mode, PciDevice, Spec, Vnc};
use crate::words;

/// Policy for the memory that the firmware reserves for a device (`rdm_policy` of libxl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RdmPolicy {
    Strict,
    Relaxed,
}

/// Returns the policy to set for a device, if one has to be set.
///
/// The policy has no effect on PV domains. But if none is set, xl reads the policy from the place for HVM domains, and
/// finds `strict`.
fn rdm_policy(mode: Mode, device: &PciDevice) -> Option<RdmPolicy> {
    match (device.relaxed, mode) {
        (true, _) => Some(RdmPolicy::Relaxed),
        (false, Mode::Pv) => Some(RdmPolicy::Strict),
        (false, _) => None,
    }
}

/// Returns the I/O ports of adapters that the domain is to have: none for an HVM domain, whose serial lines QEMU serves.
fn io_ports(spec: &Spec) -> impl Iterator<Item = (u16, u16)> {
    let all = spec.assigned.io_ports.iter().copied();
    all.filter(|_| spec.mode != Mode::Hvm)
}

/// Returns the address on which the screen is shown, and the display.
///
/// Because of the way in which libxl joins the two (`libxl_dm.c`), an address with colons has to be in brackets and has to
/// include the display.
fn vnc_place(wanted: &Vnc) -> (String, Option<u32>) {
    match wanted.listen {
        IpAddr::V4(address) => (address.to_string(), wanted.display),
        IpAddr::V6(address) => (
            format!("[{address}]:{}", wanted.display.unwrap_or_default()),
            None,
        ),
    }
}

/// Returns the configuration of a domain as text for people.
///
/// The text is one that xl reads. For a domain from a file of xl's, it is the JSON that `xl create -n` prints.
#[must_use]
pub fn written(spec: &Spec) -> String {
    match &spec.given {
        None => xl_cfg(spec),
        Some(_) => {
            let text = serde_json::to_string_pretty(&domain_config(spec));
            // The configuration was made from text, so it can be written as text.
            text.unwrap_or_default() + "\n"
        }
    }
}

/// Checks that the files a domain is built from are there and can be read.
///
/// # Errors
/// The first file that is missing or unusable, with the name of its field.
pub fn check_files(spec: &Spec) -> Result<(), FieldError> {
    for (field, path) in words::files(spec) {
        let wrong = |why: String| FieldError::new(field, format!("{path}: {why}"));
        let found = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
        if !found.is_file() {
            return Err(wrong("not a plain file".to_owned()));
        }
        if found.len() == 0 {
            return Err(wrong("the file is empty".to_owned()));
        }
        File::open(path).map_err(|e| wrong(e.to_string()))?;
        let program = field == words::of(spec).bootloader;
        if program && found.permissions().mode() & 0o111 == 0 {
            return Err(wrong("not executable".to_owned()));
        }
    }
    ramdisk_fits(spec)?;
    if let (true, Some(node)) = (limits::WITHOUT_DEVICE_TREE, spec.dt_dev.first()) {
        let why = format!("{node}: this host has no device tree to give devices from");
        return Err(FieldError::new("DtDev[0]", why));
    }
    disks::check(spec)
}

/// Checks that the memory has room for the initial RAM disk.
///
/// The size of a kernel in memory is not known: most are compressed, and some have parts that are not loaded.
fn ramdisk_fits(spec: &Spec) -> Result<(), FieldError> {
    let Some(path) = &spec.ramdisk else {
        return Ok(());
    };
    let field = words::of(spec).ramdisk;
    let found = fs::metadata(path);
    let found = found.map_err(|e| FieldError::new(field, format!("{path}: {e}")))?;
    let memory = spec.memory_mib << 20;
    if found.len() < memory {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        format!(
            "{path}: its {} bytes do not fit into the {memory} bytes of memory",
            found.len()
        ),
    ))
}
