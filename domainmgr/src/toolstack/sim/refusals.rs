//! Refusals of libxl, Xen and QEMU, with their texts: `refused` is for any host, `refused_here` for this one.

use super::model::{CPUS, Model};
use crate::spec::feasibility::{self, Facts, Interface};
use crate::spec::limits;
use crate::spec::{IoMem, Mode, Nic, Spec};
use crate::toolstack::error::{Error, ErrorKind};

/// Pages of 4 KiB in a MiB.
const PAGES: u64 = 256;
/// Memory of the emulated graphics adapter, in MiB.
const VIDEO: u64 = 8;

fn other(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, text)
}

/// Returns the error with which building `spec` fails on any host.
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

/// Limits of QEMU: the memory for the firmware of network cards, and the slots of the PCI bus.
fn no_slot(spec: &Spec) -> Option<Error> {
    let cards = limits::emulated_cards(spec.mode, &spec.nics);
    if cards > limits::EMULATED_CARDS {
        return Some(other(
            "device model did not start; xen: failed to populate ram at 2140000",
        ));
    }
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

/// Network interfaces of the host itself, and their MAC addresses.
const INTERFACES: [(&str, &str); 3] = [
    ("lo", "00:00:00:00:00:00"),
    ("eth0", "52:54:00:12:34:56"),
    ("xenbr0", "52:54:00:12:34:56"),
];

impl Model {
    /// Returns the facts about the simulated host that decide whether `spec` can be built.
    #[must_use]
    pub fn facts_for(&self, spec: &Spec) -> Facts {
        let own = INTERFACES.iter().map(|(name, mac)| Interface {
            name: (*name).to_owned(),
            mac: (*mac).to_owned(),
            domain: None,
        });
        let living = self.domains.iter().filter(|(_, d)| d.dying_until.is_none());
        let theirs = living.flat_map(|(domid, d)| {
            let names = d.holds.iter().filter(|thing| !thing.starts_with('/'));
            names.map(|name| Interface {
                name: name.clone(),
                mac: "fe:ff:ff:ff:ff:ff".to_owned(),
                domain: Some(domid.to_string()),
            })
        });
        let here = |address: std::net::IpAddr| address.is_loopback() || address.is_unspecified();
        let elsewhere = feasibility::listens(spec).filter(|address| !here(*address));
        Facts {
            interfaces: own.chain(theirs).collect(),
            processors: 0..CPUS,
            deaf: elsewhere.map(|_| "Cannot assign requested address (os error 99)".to_owned()),
        }
    }

    /// Returns the error with which building `spec` fails on this host, worded as by a hotplug script, QEMU or libxl.
    pub(super) fn refused_here(&self, spec: &Spec) -> Option<Error> {
        let facts = self.facts_for(spec);
        let has = |name: &str| facts.interfaces.iter().any(|i| i.name == name);
        let emulated = |nic: &Nic| limits::emulated_cards(spec.mode, std::slice::from_ref(nic)) > 0;
        let taken = spec.nics.iter().any(|nic| {
            let tap = nic.vif.as_ref().filter(|_| emulated(nic));
            nic.vif.as_ref().is_some_and(|name| has(name))
                || tap.is_some_and(|name| has(&format!("{name}-emu")))
        });
        if taken {
            return Some(other(
                "unable to add vif devices; Cannot rename interface. An interface with that name already exists. (simulated)",
            ));
        }
        if let Some(why) = facts.deaf {
            return Some(other(format!("device model did not start; {why}")));
        }
        if !spec.cpus.is_empty() && spec.cpus.iter().all(|n| *n >= CPUS) {
            return Some(other("setting affinity failed on vcpu `0'"));
        }
        // A physical address has at most 52 bits.
        let wraps = |m: &IoMem| m.start.checked_add(m.count).is_none_or(|end| end > 1 << 40);
        let range = spec.io_mem.iter().find(|m| wraps(m))?;
        let (first, last) = (range.start, range.start.wrapping_add(range.count - 1));
        Some(other(format!(
            "failed give domain access to iomem range {first:x}-{last:x}"
        )))
    }
}
