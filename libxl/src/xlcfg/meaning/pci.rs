//! Devices of the host: PCI, and those of the device tree.

use super::hvm::reserved_memory;
use super::reader::{Reader, Result};
use crate::{
    config::{DomainConfig, Dtdev, Guest, Pci, RdmReservePolicy},
    xlcfg::pci_specs::parse_pci_with,
};

const KEY: &str = "pci";

/// Reads the devices of the host. A PV guest with PCI devices gets the host's memory map.
pub(super) fn read(reader: &Reader<'_>, config: &mut DomainConfig) -> Result<()> {
    let preset = Pci {
        msitranslate: reader.flag("pci_msitranslate").unwrap_or(false),
        power_mgmt: reader.flag("pci_power_mgmt").unwrap_or(false),
        permissive: reader.flag("pci_permissive").unwrap_or(false),
        seize: reader.flag("pci_seize").unwrap_or(false),
        rdm_policy: policy(reader, &config.b_info.guest),
        ..Pci::default()
    };
    for spec in reader.texts(KEY).unwrap_or_default() {
        match parse_pci_with(&spec, &preset) {
            Ok(device) => config.pcidevs.push(device),
            Err(error) => {
                return reader.refuse(
                    KEY,
                    format!("{spec:?} is no device ({error}); write \"07:00.1\" or \"0000:07:00.1@5,permissive=1\""),
                );
            }
        }
    }
    if let (Guest::Pv(pv), false) = (&mut config.b_info.guest, config.pcidevs.is_empty()) {
        pv.e820_host = Some(true);
    }
    for path in reader.texts("dtdev").unwrap_or_default() {
        config.dtdevs.push(Dtdev::new(path));
    }
    Ok(())
}

/// Returns the policy about reserved memory for a device without one of its own.
///
/// `xl` reads the field of HVM guests even for other kinds of guests, where that memory holds
/// zeroes: the number for strict.
fn policy(reader: &Reader<'_>, guest: &Guest) -> Option<RdmReservePolicy> {
    match guest {
        Guest::Hvm(hvm) => hvm.rdm.policy.clone(),
        Guest::Pv(_) | Guest::Pvh(_) => Some(
            reserved_memory(reader)
                .policy
                .unwrap_or(RdmReservePolicy::Strict),
        ),
    }
}
