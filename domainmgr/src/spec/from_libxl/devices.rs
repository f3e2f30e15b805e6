//! Disks and network interfaces of a libxl configuration, as far as they concern the agent.

use std::path::Path;

use libxl::config::{self, DiskFormat, NicType};

use crate::spec::disks::{Disk, Format};
use crate::spec::domain::{Nic, NicKind};

/// A disk, as far as it concerns the agent.
pub fn disk(disk: &config::Disk) -> Disk {
    // The target of a script, or of a disk that another domain serves, is no path of this host.
    let elsewhere = disk.script.as_deref().is_some_and(is_special)
        || disk.backend_domname.is_some()
        || disk.backend_domid.is_some_and(|domid| domid != 0);
    let path = disk.pdev_path.as_deref().filter(|_| !elsewhere);
    Disk {
        path: path.map(in_dev).unwrap_or_default(),
        as_it_is: true,
        format: match disk.format {
            Some(DiskFormat::Qcow) => Format::Qcow,
            Some(DiskFormat::Qcow2) => Format::Qcow2,
            Some(DiskFormat::Vhd) => Format::Vhd,
            _ => Format::Raw,
        },
        cdrom: disk.is_cdrom,
        vdev: disk.vdev.clone().unwrap_or_default(),
        read_only: !disk.readwrite,
        ..Disk::default()
    }
}

/// Returns whether a script knows what its target means. The one that a disk has by default, and any program that takes its place
/// under its name, takes a path.
fn is_special(script: &str) -> bool {
    Path::new(script).file_name() != Some("block".as_ref())
}

/// Xen's script looks for block devices in /dev.
fn in_dev(path: &str) -> String {
    if path.starts_with('/') || path.is_empty() {
        path.to_owned()
    } else {
        format!("/dev/{path}")
    }
}

/// An interface, as far as it concerns the agent.
pub fn nic(nic: &config::Nic) -> Nic {
    Nic {
        bridge: nic.bridge.clone(),
        vif: nic.ifname.clone(),
        mac: nic.mac.unwrap_or_default().0,
        kind: nic.nictype.as_ref().map(|kind| match kind {
            NicType::Vif => NicKind::Vif,
            _ => NicKind::Ioemu,
        }),
        mtu: nic.mtu,
        ..Nic::default()
    }
}
