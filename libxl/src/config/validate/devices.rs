//! Checks of devices.

use super::check::{Check, required};
use crate::config::{
    disk::Disk,
    display::{Vdispl, Vfb, Vkb},
    enums::{DiskFormat, P9Type},
    error::Invalid,
    misc::{Channel, ChannelConnection, P9, Pvcallsif, Virtio, Vtpm},
    nic::Nic,
    pci::{Dtdev, Pci, Rdm},
    usb::{Usbctrl, Usbdev},
    vsnd::Vsnd,
};

impl Check for Disk {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // libxl dereferences these pointers without a check.
        required(at, "vdev", self.vdev.as_deref())?;
        if self.format == Some(DiskFormat::Empty) {
            return Ok(());
        }
        required(at, "pdev_path", self.pdev_path.as_deref())
    }
}

impl Check for Pci {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // libxl masks the excess bits away and takes the device at the resulting address.
        for (field, value, max) in [
            ("domain", self.domain, 0xffff),
            ("dev", self.dev.into(), 0x1f),
            ("func", self.func.into(), 7),
        ] {
            if value > max {
                let reason = format!("is {value:#x}, and the largest there is is {max:#x}");
                return Err(Invalid::new(format!("{at}{field}"), reason));
            }
        }
        Ok(())
    }
}

impl Check for Dtdev {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "path", self.path.as_deref())
    }
}

impl Check for Vdispl {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        self.connectors
            .iter()
            .enumerate()
            .try_for_each(|(index, connector)| {
                required(
                    &format!("{at}connectors[{index}]."),
                    "unique_id",
                    connector.unique_id.as_deref(),
                )
            })
    }
}

impl Check for Virtio {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "type", self.r#type.as_deref())
    }
}

impl Check for P9 {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // Xen 4.14 to 4.16 leave a hole in xenstore if a value is missing.
        required(at, "path", self.path.as_deref())?;
        required(at, "security_model", self.security_model.as_deref())?;
        if self.r#type == Some(P9Type::Xen9pfsd) {
            return Ok(());
        }
        required(at, "tag", self.tag.as_deref())
    }
}

impl Check for Channel {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "name", self.name.as_deref())?;
        match &self.connection {
            ChannelConnection::Socket { path } => {
                required(at, "connection.socket.path", path.as_deref())
            }
            ChannelConnection::Unknown {} | ChannelConnection::Pty {} => Ok(()),
        }
    }
}

impl Check for Nic {}
impl Check for Pvcallsif {}
impl Check for Rdm {}
impl Check for Usbctrl {}
impl Check for Usbdev {}
impl Check for Vfb {}
impl Check for Vkb {}
impl Check for Vsnd {}
impl Check for Vtpm {}
