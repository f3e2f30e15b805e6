//! PCI devices of the host that are given to a running domain, or taken from it.
//!
//! Only the files of xl's name devices by their address, which [`Spec::given`] keeps. A DomainConfig has adapters instead,
//! which the agent manages by itself.

use libxl::config::{self, Guest, Passthrough, Pci};

use super::replace::replace;
use crate::spec::adapters::PciAddress;
use crate::spec::disks::Written;
use crate::spec::domain::{Mode, Spec};

/// Returns the devices that a file of xl's has given to the domain; `None` if the domain does not come from such a file.
fn devices(spec: &Spec) -> Option<&[Pci]> {
    Some(&spec.given.as_ref()?.pcidevs)
}

fn has(devices: &[Pci], address: PciAddress) -> bool {
    devices.iter().any(|pci| PciAddress::from(pci) == address)
}

/// Adds a device.
pub(super) fn attach(spec: &mut Spec, written: &Written<Pci>) {
    let Some(given) = &mut spec.given else {
        return;
    };
    let address = PciAddress::from(&written.config);
    let device = written.config.clone();
    replace(&mut given.pcidevs, device, |pci| {
        PciAddress::from(pci) == address
    });
    if let Guest::Pv(pv) = &mut given.b_info.guest {
        // As xl does: the guest must not have memory where the device has its registers.
        pv.e820_host = Some(true);
    }
}

/// Takes a device away.
pub(super) fn detach(spec: &mut Spec, address: PciAddress) {
    let Some(given) = &mut spec.given else {
        return;
    };
    if has(&given.pcidevs, address) {
        given.pcidevs.retain(|pci| PciAddress::from(pci) != address);
        // The domain can still have devices.
        given.c_info.passthrough = Some(passthrough(given))
            .filter(is_on)
            .or(Some(Passthrough::Enabled));
    }
}

fn passthrough(config: &config::DomainConfig) -> Passthrough {
    config
        .c_info
        .passthrough
        .clone()
        .unwrap_or(Passthrough::Default)
}

fn is_on(passthrough: &Passthrough) -> bool {
    !matches!(passthrough, Passthrough::Default | Passthrough::Disabled)
}

/// Returns the reason why the domain can never have the device.
pub(super) fn refuse_attach(pci: &Pci, spec: &Spec) -> Option<String> {
    let why = match &spec.given {
        None => NO_FILE.to_owned(),
        Some(_) if spec.mode == Mode::Pvh => "Xen gives no PCI devices to a PVH domain".to_owned(),
        Some(given) if passthrough(given) == Passthrough::Disabled => {
            "the domain's file says passthrough=\"disabled\"".to_owned()
        }
        Some(given) if has(&given.pcidevs, pci.into()) => {
            format!("it has {} already", PciAddress::from(pci))
        }
        Some(_) if spec.mode == Mode::Hvm && spec.max_memory_mib > Some(spec.memory_mib) => {
            "an HVM domain can have devices only if all of its memory is there from the beginning (maxmem is more than memory)".to_owned()
        }
        Some(_) => return None,
    };
    Some(format!("pci: {why}"))
}

/// Returns the reason why the device cannot be taken from the domain.
pub(super) fn refuse_detach(address: PciAddress, spec: &Spec) -> Option<String> {
    let Some(devices) = devices(spec) else {
        return Some(format!("pci: {NO_FILE}"));
    };
    if has(devices, address) {
        return None;
    }
    let all: Vec<String> = devices
        .iter()
        .map(|pci| PciAddress::from(pci).to_string())
        .collect();
    let others = match all.as_slice() {
        [] => "nor any other".to_owned(),
        all => format!("but {}", all.join(", ")),
    };
    Some(format!("pci: there is no {address}, {others}"))
}

const NO_FILE: &str =
    "the devices of a domain that comes from a DomainConfig are those of its IoAdapterList";

/// Returns the reason why a domain that runs with `spec` can have a device only with its next start.
pub(super) fn later(spec: &Spec) -> Option<String> {
    let given = spec.given.as_ref()?;
    if given.pcidevs.is_empty() && !is_on(&passthrough(given)) {
        return Some(
            "the domain that runs was built without passthrough (passthrough=\"enabled\" in its file)".to_owned(),
        );
    }
    match &given.b_info.guest {
        Guest::Pv(pv) if pv.e820_host != Some(true) => Some(
            "the domain that runs may have memory where the device has its registers (e820_host=1 in its file)".to_owned(),
        ),
        _ => None,
    }
}
