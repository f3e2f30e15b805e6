//! Values that libxl's configuration and the text for people have in common.

use std::net::IpAddr;

use crate::spec::adapters::PciDevice;
use crate::spec::domain::{Mode, Spec, Vnc};

/// Policy for the memory that the firmware reserves for a device (`rdm_policy` of libxl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RdmPolicy {
    Strict,
    Relaxed,
}

/// Returns the policy to set for a device, if one has to be set.
///
/// The policy has no effect on PV domains. But if none is set, xl reads the policy from the place for HVM domains, and
/// finds `strict`.
pub(super) fn rdm_policy(mode: Mode, device: &PciDevice) -> Option<RdmPolicy> {
    match (device.relaxed, mode) {
        (true, _) => Some(RdmPolicy::Relaxed),
        (false, Mode::Pv) => Some(RdmPolicy::Strict),
        (false, _) => None,
    }
}

/// Returns the I/O ports of adapters that the domain is to have: none for an HVM domain, whose serial lines QEMU serves.
pub(super) fn io_ports(spec: &Spec) -> impl Iterator<Item = (u16, u16)> {
    let all = spec.assigned.io_ports.iter().copied();
    all.filter(|_| spec.mode != Mode::Hvm)
}

/// Returns the address on which the screen is shown, and the display.
///
/// Because of the way in which libxl joins the two (`libxl_dm.c`), an address with colons has to be in brackets and has to
/// include the display.
pub(super) fn vnc_place(wanted: &Vnc) -> (String, Option<u32>) {
    match wanted.listen {
        IpAddr::V4(address) => (address.to_string(), wanted.display),
        IpAddr::V6(address) => (
            format!("[{address}]:{}", wanted.display.unwrap_or_default()),
            None,
        ),
    }
}
