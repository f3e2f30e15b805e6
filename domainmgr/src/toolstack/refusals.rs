//! Refusals that the real and the simulated Xen have in common.

use super::error::{Error, ErrorKind};
use crate::spec::{Format, Spec};

/// Returns the error for a domain that needs more memory than is available.
pub(super) fn short_of_memory(needed_kib: u64, free_kib: u64) -> Error {
    Error::new(
        ErrorKind::NoMemory,
        format!(
            "the domain needs {} MiB, {} MiB are free, and dom0 gives no more back: stop another domain, or \
             ask for less",
            needed_kib.div_ceil(1024),
            free_kib >> 10
        ),
    )
}

/// Returns an error if the domain cannot be built because the QEMU of dom0 is not running.
///
/// A boot loader reads the first disk of a PV domain in dom0, before the domain exists. A format that Linux cannot read
/// must be served by a QEMU that belongs to dom0.
pub(super) fn missing_qemu(spec: &Spec, serves_dom0: impl FnOnce() -> bool) -> Option<Error> {
    let disk = spec.bootloader.as_ref().and(spec.disks.first())?;
    if disk.format == Format::Raw || serves_dom0() {
        return None;
    }
    let format = disk.format.word();
    Some(Error::new(
        ErrorKind::Other,
        format!(
            "DiskConfigList[0].Format: the BootLoader reads a {format} disk through the QEMU of dom0 \
             (qemu-system-i386 -xen-domid 0), which is not running: start it \
             (/etc/init.d/xen start, or xencommons start), or give a raw disk, or a Kernel instead of a BootLoader"
        ),
    ))
}
