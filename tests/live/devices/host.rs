//! The lab's assignable devices, as dom0's kernel sees them.

use std::{fs, path::Path, process::Command};

use crate::support::{context, wait_for};

pub(super) const NIC: &str = "0000:00:10.0";
pub(super) const OTHER_NIC: &str = "0000:00:11.0";
pub(super) const USB: &str = "0000:00:12.0";

fn path(address: &str) -> String {
    format!("/sys/bus/pci/devices/{address}")
}

/// Returns the driver that holds the device in dom0.
pub(super) fn driver(address: &str) -> Option<String> {
    let link = fs::read_link(Path::new(&path(address)).join("driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// Returns whether the device is taken from dom0.
pub(super) fn pciback(address: &str) -> bool {
    driver(address).as_deref() == Some("pciback")
}

/// Returns the network interface of the device in dom0.
pub(super) fn interface(address: &str) -> Option<String> {
    let mut entries = fs::read_dir(Path::new(&path(address)).join("net")).ok()?;
    let entry = entries.next()?.ok()?;
    Some(entry.file_name().to_string_lossy().into_owned())
}

/// Renames an interface, which must be down.
pub(super) fn rename(from: &str, to: &str) {
    let done = Command::new("ip")
        .args(["link", "set", from, "name", to])
        .status()
        .unwrap();
    assert!(done.success(), "{from} to {to}");
}

/// Returns all devices to dom0, under the names they have after a boot, whatever an earlier test has left.
pub(super) fn restore() {
    let ctx = context();
    for address in [NIC, OTHER_NIC, USB] {
        if pciback(address) {
            let pci = address.parse().unwrap();
            ctx.pci_assignable_remove(&pci, true).unwrap();
        }
    }
    for address in [NIC, OTHER_NIC] {
        wait_for("an interface", || interface(address).is_some());
        rename(
            &interface(address).unwrap(),
            &format!("spare{}", &address[9..10]),
        );
    }
    for (address, name) in [(NIC, "eth1"), (OTHER_NIC, "eth2")] {
        rename(&interface(address).unwrap(), name);
    }
}
