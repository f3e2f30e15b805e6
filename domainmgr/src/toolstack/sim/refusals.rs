//! What libxl, Xen and QEMU refuse whatever else the host does, in their words.

use super::super::{Error, ErrorKind};
use crate::limits;
use crate::spec::{Mode, Spec};

/// Pages of 4 KiB in a MiB.
const PAGES: u64 = 256;
/// Memory of the emulated graphics adapter, in MiB.
const VIDEO: u64 = 8;

fn other(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, text)
}

/// The error that building `spec` ends with on any host.
pub(super) fn refused(spec: &Spec) -> Option<Error> {
    populated_on_demand(spec)
        .or_else(|| too_small(spec))
        .or_else(|| no_slot(spec))
}

/// `libxl__domain_config_setdefault`.
fn populated_on_demand(spec: &Spec) -> Option<Error> {
    let given = spec.given.as_ref();
    let devices = spec.assigned.pci.len() + given.map_or(0, |given| given.pcidevs.len());
    let grows = spec.max_memory_mib.is_some_and(|m| m > spec.memory_mib);
    (spec.mode != Mode::Pv && devices > 0 && grows)
        .then(|| other("IOMMU required for device passthrough but not supported together with PoD"))
}

/// `count_pgtables` and `xc_dom_chk_alloc_pages` of libxenguest.
fn too_small(spec: &Spec) -> Option<Error> {
    let pages = spec.memory_mib * PAGES;
    let too_large = |pages: u64| {
        other(format!(
            "xc_dom_chk_alloc_pages: segment kernel too large (0x100 > {pages:#x} - 0x100 pages)"
        ))
    };
    match spec.mode {
        Mode::Pv if pages < 4 * PAGES => Some(other(format!(
            "count_pgtables: not enough memory for initial mapping (0x3ff > {pages:#x})"
        ))),
        Mode::Pvh if pages < 2 * PAGES => Some(too_large(pages)),
        Mode::Hvm if pages < (VIDEO + 2) * PAGES => {
            Some(too_large(pages.saturating_sub(VIDEO * PAGES)))
        }
        _ => None,
    }
}

/// QEMU's PCI bus.
fn no_slot(spec: &Spec) -> Option<Error> {
    let cards = limits::emulated_cards(spec.mode, &spec.nics);
    let devices = match spec.mode {
        Mode::Hvm => spec.assigned.pci.len(),
        Mode::Pv | Mode::Pvh => 0,
    };
    (cards + devices > limits::PCI_SLOTS).then(|| {
        other(
            "device model did not start; PCI: no slot/function available for rtl8139, all in use or reserved",
        )
    })
}
