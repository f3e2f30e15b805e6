//! The host's side of PCI passthrough: the steps that libxl leaves to its caller.

use std::thread;
use std::time::{Duration, Instant};

use super::link;
use super::sysfs::Sysfs;
use crate::spec::PciAddress;
use crate::toolstack::domain::HostPci;
use crate::toolstack::error::{Error, ErrorKind, Result};

/// Time that a driver gets to create its network interface.
const PATIENCE: Duration = Duration::from_secs(10);

fn failed(device: PciAddress) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::new(ErrorKind::Other, format!("{device}: {e}"))
}

/// Returns the host's devices, without their owners.
pub(super) fn host() -> Result<Vec<HostPci>> {
    Sysfs::default()
        .devices()
        .map_err(|e| Error::new(ErrorKind::Other, format!("/sys/bus/pci/devices: {e}")))
}

/// Returns true if the device has already been taken from the host.
pub(super) fn is_taken(device: PciAddress) -> bool {
    let all = host().unwrap_or_default();
    all.iter().any(|d| d.address == device && d.assignable)
}

pub(super) fn theirs(device: PciAddress) -> libxl::config::Pci {
    libxl::config::Pci::new(device.domain, device.bus, device.dev, device.func)
}

/// Makes sure that a device that was given back has a driver, and its network interface the former name.
pub(super) fn settle(device: PciAddress, interface: Option<&str>) -> Result<()> {
    let sysfs = Sysfs::default();
    if sysfs.driver(device).is_none() {
        // libxl knows only a driver that it has itself taken the device from.
        sysfs.probe(device).map_err(failed(device))?;
    }
    let Some(wanted) = interface else {
        return Ok(());
    };
    let begin = Instant::now();
    loop {
        let there = sysfs.interfaces(device).map_err(failed(device))?;
        if there.iter().any(|name| name == wanted) {
            return Ok(());
        }
        if let Some(now) = there.first() {
            log::info!("{device}: its interface is {now}, and was {wanted}");
            return link::rename(now, wanted).map_err(|e| {
                let text = format!("{device}: {now} cannot be renamed to {wanted}: {e}");
                Error::new(ErrorKind::Other, text)
            });
        }
        if begin.elapsed() > PATIENCE {
            let driver = sysfs
                .driver(device)
                .unwrap_or_else(|| "no driver".to_owned());
            let text = format!("{device}: {wanted} has not come back ({driver})");
            return Err(Error::new(ErrorKind::Other, text));
        }
        thread::sleep(Duration::from_millis(100));
    }
}
