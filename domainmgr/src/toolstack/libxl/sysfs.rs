//! PCI devices of the host, as its kernel lists them in sysfs.

use std::fs;
use std::io;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use crate::spec::PciAddress;
use crate::toolstack::domain::HostPci;

/// Names of the driver that keeps devices for domains. In some kernels, the module's name differs from the driver's.
const PCIBACK: [&str; 2] = ["pciback", "xen-pciback"];

/// Directory at which sysfs is mounted.
#[derive(Clone, Debug)]
pub(super) struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self("/sys".into())
    }
}

impl Sysfs {
    /// Uses another directory.
    #[cfg(test)]
    pub(super) fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Returns all PCI devices, without their owners, which only Xen knows.
    ///
    /// # Errors
    /// From the file system. A host without PCI has no devices, which is no error.
    pub(super) fn devices(&self) -> io::Result<Vec<HostPci>> {
        let entries = match fs::read_dir(self.0.join("bus/pci/devices")) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut devices = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(address) = name.to_str().and_then(|n| n.parse().ok()) {
                devices.push(self.device(address));
            }
        }
        devices.sort_by_key(|d| d.address);
        self.add_interfaces(&mut devices);
        Ok(devices)
    }

    /// Returns one device, without its interfaces.
    fn device(&self, address: PciAddress) -> HostPci {
        let driver = fs::read_link(self.path(address).join("driver")).ok();
        let driver = driver
            .as_ref()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        HostPci {
            address,
            assignable: driver.as_deref().is_some_and(|d| PCIBACK.contains(&d)),
            driver,
            interfaces: Vec::new(),
            owner: None,
        }
    }

    /// Returns the driver that the device is bound to now.
    #[must_use]
    pub(super) fn driver(&self, address: PciAddress) -> Option<String> {
        self.device(address).driver
    }

    /// Returns the network interfaces of one device.
    ///
    /// # Errors
    /// From the file system.
    pub(super) fn interfaces(&self, address: PciAddress) -> io::Result<Vec<String>> {
        let mut devices = vec![self.device(address)];
        self.add_interfaces(&mut devices);
        Ok(devices.swap_remove(0).interfaces)
    }

    /// Adds the host's network interfaces to their devices.
    ///
    /// An interface may lie several levels below its device, as that of a virtio or USB adapter does. Of all addresses in its
    /// path, the deepest is the device, and the others are bridges.
    fn add_interfaces(&self, devices: &mut [HostPci]) {
        let Ok(entries) = fs::read_dir(self.0.join("class/net")) else {
            return;
        };
        let mut names: Vec<_> = entries.flatten().map(|e| e.file_name()).collect();
        names.sort();
        for name in names {
            let path = self.0.join("class/net").join(&name).join("device");
            let Ok(path) = fs::canonicalize(path) else {
                continue;
            };
            let parts = path.iter().rev();
            let address = parts
                .filter_map(|part| part.to_str()?.parse::<PciAddress>().ok())
                .next();
            let name = name.to_string_lossy().into_owned();
            if let Some(device) = devices.iter_mut().find(|d| Some(d.address) == address) {
                device.interfaces.push(name);
            }
        }
    }

    /// Makes the kernel look for a driver.
    ///
    /// # Errors
    /// From the file system.
    pub(super) fn probe(&self, address: PciAddress) -> io::Result<()> {
        fs::write(self.0.join("bus/pci/drivers_probe"), address.to_string())
    }

    fn path(&self, address: PciAddress) -> PathBuf {
        self.0.join("bus/pci/devices").join(address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A host with a bridge, a network adapter behind it, a virtio adapter, and a device that pciback has.
    fn host() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let sys = dir.path();
        for made in [
            "bus/pci/devices",
            "bus/pci/drivers/e1000",
            "bus/pci/drivers/pciback",
            "devices/0000:00:01.0/0000:02:00.0/net/eth1",
            "devices/0000:00:03.0/virtio0/net/eth0",
            "devices/0000:00:05.0",
            "class/net/lo",
        ] {
            fs::create_dir_all(sys.join(made)).unwrap();
        }
        let link = |to: &str, at: &str| symlink(sys.join(to), sys.join(at)).unwrap();
        for (device, at) in [
            ("0000:00:01.0", "0000:00:01.0"),
            ("0000:02:00.0", "0000:00:01.0/0000:02:00.0"),
            ("0000:00:03.0", "0000:00:03.0"),
            ("0000:00:05.0", "0000:00:05.0"),
        ] {
            link(
                &format!("devices/{at}"),
                &format!("bus/pci/devices/{device}"),
            );
        }
        link(
            "bus/pci/drivers/e1000",
            "devices/0000:00:01.0/0000:02:00.0/driver",
        );
        link("bus/pci/drivers/pciback", "devices/0000:00:05.0/driver");
        for (net, at) in [
            ("eth1", "0000:00:01.0/0000:02:00.0"),
            ("eth0", "0000:00:03.0/virtio0"),
        ] {
            link(
                &format!("devices/{at}/net/{net}"),
                &format!("class/net/{net}"),
            );
            link(
                &format!("devices/{at}"),
                &format!("devices/{at}/net/{net}/device"),
            );
        }
        dir
    }

    #[test]
    fn devices_drivers_and_interfaces() {
        let dir = host();
        let devices = Sysfs::at(dir.path()).devices().unwrap();
        let told: Vec<String> = devices
            .iter()
            .map(|d| {
                format!(
                    "{} {:?} {:?} {}",
                    d.address, d.driver, d.interfaces, d.assignable
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "0000:00:01.0 None [] false",
                "0000:00:03.0 None [\"eth0\"] false",
                "0000:00:05.0 Some(\"pciback\") [] true",
                "0000:02:00.0 Some(\"e1000\") [\"eth1\"] false",
            ]
        );
    }

    #[test]
    fn a_host_without_pci_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Sysfs::at(dir.path()).devices().unwrap(), []);
    }
}
