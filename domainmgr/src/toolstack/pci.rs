//! The host's side of giving PCI devices away: what libxl leaves to its caller.

use std::thread;
use std::time::{Duration, Instant};

use super::sysfs::Sysfs;
use super::{Error, ErrorKind, HostPci, Result, link};
use crate::spec::PciAddress;

/// How long a driver gets to make its network interface.
const PATIENCE: Duration = Duration::from_secs(10);

fn failed(device: PciAddress) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::new(ErrorKind::Other, format!("{device}: {e}"))
}

/// The host's devices, without who has them.
pub(super) fn host() -> Result<Vec<HostPci>> {
    Sysfs::default()
        .devices()
        .map_err(|e| Error::new(ErrorKind::Other, format!("/sys/bus/pci/devices: {e}")))
}

/// Whether it is taken from the host already.
pub(super) fn is_taken(device: PciAddress) -> bool {
    let all = host().unwrap_or_default();
    all.iter().any(|d| d.address == device && d.assignable)
}

pub(super) fn theirs(device: PciAddress) -> libxl::config::Pci {
    libxl::config::Pci::new(device.domain, device.bus, device.dev, device.func)
}

/// Sees to it that a device that was given back has a driver, and its network interface the name it had.
pub(super) fn settle(device: PciAddress, interface: Option<&str>) -> Result<()> {
    let sysfs = Sysfs::default();
    if sysfs.driver(device).is_none() {
        // libxl knows only drivers that it has taken the device from itself.
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
