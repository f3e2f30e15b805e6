//! Devices that the guest of a domain has not connected to.

use libxl::config::NicType;
use libxl::device::XenbusState;

use super::translate::error;
use crate::spec::limits;
use crate::toolstack::error::Result;

/// Describes the devices of `domain` that its guest has not connected to, and cannot use in another way.
pub(super) fn of(domain: &libxl::Domain) -> Result<Vec<String>> {
    let hvm = domain.is_hvm().map_err(error)?;
    let mut missing = Vec::new();
    for disk in domain.disk_list().map_err(error)? {
        let vdev = disk.vdev.clone().unwrap_or_default();
        // A guest without PV drivers has the emulated drive.
        let emulated = hvm && limits::IDE.contains(&vdev.as_str());
        let state = domain.disk_info(&disk).map_err(error)?.state;
        if state != XenbusState::CONNECTED && !emulated {
            missing.push(format!("the disk {vdev}"));
        }
    }
    for nic in domain.nic_list().map_err(error)? {
        let emulated = nic.nictype == Some(NicType::VifIoemu);
        let state = domain.nic_info(&nic).map_err(error)?.state;
        if state != XenbusState::CONNECTED && !emulated {
            let mac = nic.mac.map(|mac| mac.to_string()).unwrap_or_default();
            missing.push(format!("the interface {mac}"));
        }
    }
    Ok(missing)
}
