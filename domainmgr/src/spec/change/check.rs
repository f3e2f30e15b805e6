//! Refuses changes that a domain cannot have, now or later.

use libxl::config;

use super::kinds::{Change, Figures, address, mac_of, vdev_of};
use super::later::{disks_of, other_disks};
use super::pci;
use crate::spec::domain::{Mode, Nic, NicKind, Spec};
use crate::spec::from_libxl;
use crate::spec::limits;

/// Returns the field and the reason why a domain that is built from `spec` can never have this change.
///
/// Returns `None` if nothing is known that prevents the change.
#[must_use]
pub fn check(change: &Change, spec: &Spec) -> Option<String> {
    match change {
        Change::Set(figures) => figures_of(figures, spec),
        Change::AttachDisk(disk) => disk_of(&disk.config, spec),
        Change::DetachDisk(vdev) => {
            let there = spec.disks.iter().any(|d| d.vdev == *vdev);
            (!there).then(|| format!("disk: there is no {vdev}, {}", other_disks(spec)))
        }
        Change::AttachNic(nic) => nic_of(&nic.config, spec),
        Change::DetachNic(mac) => {
            let there = spec.nics.iter().any(|n| n.mac == *mac);
            (!there).then(|| format!("nic: there is none with the address {}", address(*mac)))
        }
        Change::AttachPci(device) => pci::refuse_attach(&device.config, spec),
        Change::DetachPci(address) => pci::refuse_detach(*address, spec),
        Change::Insert { vdev, path } => {
            drive(spec, vdev).or_else(|| (!path.starts_with('/')).then(|| absolute(path)))
        }
        Change::Eject { vdev } => drive(spec, vdev).or_else(|| {
            let mut drives = spec.disks.iter();
            let empty = drives.any(|d| d.vdev == *vdev && d.path.is_empty() && d.image.is_none());
            empty.then(|| format!("{vdev}: there is no disc in it"))
        }),
    }
}

fn absolute(path: &str) -> String {
    format!("FILE: expected an absolute path, found {path:?}")
}

fn figures_of(figures: &Figures, spec: &Spec) -> Option<String> {
    let (least, why) = limits::least_memory(spec.mode);
    if let Some(mib) = figures.memory_mib.filter(|mib| *mib < least) {
        let mode = spec.mode.word();
        return Some(format!(
            "memory: {mib} MiB, but a {mode} domain needs {least} at least: {why}"
        ));
    }
    let most = limits::vcpus(spec.mode);
    let vcpus = figures.vcpus.filter(|n| *n == 0 || *n > most)?;
    let mode = spec.mode.word();
    Some(format!(
        "vcpus: {vcpus}, but a {mode} domain has 1 to {most}"
    ))
}

fn disk_of(disk: &config::Disk, spec: &Spec) -> Option<String> {
    let vdev = vdev_of(disk);
    if spec.disks.iter().any(|d| d.vdev == vdev) {
        return Some(format!(
            "disk: there is a {vdev} already: {}",
            disks_of(spec)
        ));
    }
    if spec.disks.len() >= limits::DISKS {
        return Some(format!("disk: a domain has {} at the most", limits::DISKS));
    }
    if disk.is_cdrom && spec.mode == Mode::Pvh {
        return Some("disk: a PVH domain has no CD-ROM drives".to_owned());
    }
    let local = disk.script.is_none() && disk.backend_domname.is_none();
    match &disk.pdev_path {
        // The target of a script, or of a disk with a backend in another domain, is no path of this host.
        Some(path) if local && !path.starts_with('/') => {
            Some(format!("disk: expected an absolute path, found {path:?}"))
        }
        Some(path) => {
            let why = limits::bad_disk_path(spec.mode, &from_libxl::disk(disk), path);
            why.map(|why| format!("disk: {why}"))
        }
        None if !disk.is_cdrom => {
            Some("disk: without a target there is nothing to attach".to_owned())
        }
        None => None,
    }
}

fn nic_of(config: &config::Nic, spec: &Spec) -> Option<String> {
    let nic = from_libxl::nic(config);
    if spec.nics.iter().any(|n| n.mac == mac_of(config)) {
        let mac = nic.address();
        return Some(format!("nic: there is one with the address {mac} already"));
    }
    if spec.nics.len() >= limits::INTERFACES {
        let most = limits::INTERFACES;
        return Some(format!("nic: a domain has {most} at the most"));
    }
    if nic.kind == Some(NicKind::Ioemu) && spec.mode != Mode::Hvm {
        let mode = spec.mode.word();
        return Some(format!("nic.type: a {mode} domain has no emulated cards"));
    }
    let with: Vec<Nic> = spec.nics.iter().chain([&nic]).cloned().collect();
    let most = limits::EMULATED_CARDS;
    if nic.kind != Some(NicKind::Vif) && limits::emulated_cards(spec.mode, &with) > most {
        return Some(format!(
            "nic.type: an HVM domain has {most} emulated cards at the most: write type=vif"
        ));
    }
    if let Some(mtu) = nic.mtu.filter(|mtu| !limits::MTU.contains(mtu)) {
        let (least, most) = limits::MTU.into_inner();
        return Some(format!("nic.mtu: {mtu}, expected {least} to {most}"));
    }
    let longest = limits::interface(spec.mode, nic.kind);
    let name = nic.vif.as_deref()?;
    let why = if limits::is_xens_interface(name) {
        Some(format!("{name:?} is a name that Xen itself gives"))
    } else {
        limits::bad_interface(name, longest)
    };
    why.map(|why| format!("nic.vifname: {why}"))
}

/// Why there is no disc to be changed.
fn drive(spec: &Spec, vdev: &str) -> Option<String> {
    match spec.disks.iter().find(|d| d.vdev == vdev) {
        None => Some(format!(
            "{vdev}: there is no such disk, {}",
            other_disks(spec)
        )),
        Some(disk) if !disk.cdrom => Some(format!("{vdev}: it is no CD-ROM drive")),
        Some(_) if spec.mode != Mode::Hvm => {
            let mode = spec.mode.word();
            Some(format!(
                "{vdev}: the disc of a {mode} domain cannot be changed: detach it, and attach another"
            ))
        }
        Some(_) => None,
    }
}
