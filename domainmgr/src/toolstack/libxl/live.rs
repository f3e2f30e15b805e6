//! Changes of a running domain through libxl.

use std::thread;
use std::time::{Duration, Instant};

use libxl::config::{self, Bitmap, DiskBackend, DomainSchedParams};
use libxl::xenstore::Xenstore;
use libxl::{Domain, DomainState};

use super::super::live::Live;
use super::session::LibxlSession;
use super::translate::{error, translate};
use crate::spec::PciAddress;
use crate::spec::change::vdev_of;
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::operation::Limits;

/// Longest time for which a guest may give memory back, or take it, without progress.
const STUCK: Duration = Duration::from_secs(30);
/// Time that a guest gets to stop using vCPUs.
const PROCESSORS: Duration = Duration::from_secs(30);
/// Time that libxl gives a hotplug script (`LIBXL_HOTPLUG_TIMEOUT`).
const SCRIPT: Duration = Duration::from_secs(40);
/// Interval at which the domain is checked meanwhile.
const PAUSE: Duration = Duration::from_millis(200);
/// Distance from its target, in KiB, at which a guest counts as having reached it.
///
/// Of memory and target, only one includes the video memory of an HVM guest, and a guest gives back whole pages of its own size.
const NEAR: u64 = 4 << 10;
const NEAR_HVM: u64 = 24 << 10;

impl Live for LibxlSession {
    fn disks(&mut self, id: DomainId) -> Result<Vec<config::Disk>> {
        self.read(id)?.disk_list().map_err(error)
    }

    fn nics(&mut self, id: DomainId) -> Result<Vec<config::Nic>> {
        self.read(id)?.nic_list().map_err(error)
    }

    fn disk_is_ready(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        limits: &Limits,
    ) -> Result<bool> {
        // QEMU serves the others, without a script.
        if disk.backend != Some(DiskBackend::Phy) {
            return Ok(true);
        }
        let info = self.read(id)?.disk_info(disk).map_err(error)?;
        script_is_done(info.backend.as_deref(), info.backend_id, limits)
    }

    fn nic_is_ready(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<bool> {
        let info = self.read(id)?.nic_info(nic).map_err(error)?;
        script_is_done(info.backend.as_deref(), info.backend_id, limits)
    }

    fn add_disk(&mut self, id: DomainId, disk: &config::Disk, limits: &Limits) -> Result<()> {
        let mut disk = disk.clone();
        self.hotplug.disk(&mut disk);
        let domain = self.domain(id, limits)?;
        let add = domain.disk_add(&disk);
        let added = add.and_then(|op| op.limits(&translate(limits)).wait());
        added.map(drop).map_err(error)
    }

    fn remove_disk(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        force: bool,
        limits: &Limits,
    ) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let remove = if force {
            domain.disk_destroy(disk)
        } else {
            // Never by force: the guest may still write to the disk. libxl before 4.15 can remove a disk only by force.
            domain.disk_safe_remove(disk)
        };
        let removed = remove.and_then(|op| op.limits(&translate(limits)).wait());
        removed.map_err(|e| {
            let e = error(e);
            let words = if e.kind == ErrorKind::TimedOut {
                format!(
                    "disk {}: the guest does not let go of it, and may be using it: {e}",
                    vdev_of(disk)
                )
            } else {
                e.message
            };
            Error::new(e.kind, words)
        })
    }

    fn change_disc(
        &mut self,
        id: DomainId,
        vdev: &str,
        path: Option<&str>,
        limits: &Limits,
    ) -> Result<()> {
        let disc = match path {
            Some(path) => config::Disk::cdrom(path, vdev),
            None => config::Disk::empty_cdrom(vdev),
        };
        let domain = self.domain(id, limits)?;
        let insert = domain.cdrom_insert(&disc);
        let done = insert.and_then(|op| op.limits(&translate(limits)).wait());
        done.map(drop).map_err(error)
    }

    fn add_nic(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<()> {
        let mut nic = nic.clone();
        self.hotplug.nic(&mut nic);
        let domain = self.domain(id, limits)?;
        let add = domain.nic_add(&nic);
        let added = add.and_then(|op| op.limits(&translate(limits)).wait());
        added.map(drop).map_err(error)
    }

    fn remove_nic(
        &mut self,
        id: DomainId,
        nic: &config::Nic,
        force: bool,
        limits: &Limits,
    ) -> Result<()> {
        let domain = self.domain(id, limits)?;
        // The guest is asked first, and after ten seconds libxl uses force. The guest loses nothing but its network.
        let remove = if force {
            domain.nic_destroy(nic)
        } else {
            domain.nic_remove(nic)
        };
        let removed = remove.and_then(|op| op.limits(&translate(limits)).wait());
        removed.map_err(error)
    }

    fn pcis(&mut self, id: DomainId) -> Result<Vec<config::Pci>> {
        self.read(id)?.pci_list().map_err(error)
    }

    fn add_pci(&mut self, id: DomainId, pci: &config::Pci, limits: &Limits) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let add = domain.pci_add(pci);
        let added = add.and_then(|op| op.limits(&translate(limits)).wait());
        added.map_err(error)
    }

    fn remove_pci(
        &mut self,
        id: DomainId,
        pci: &config::Pci,
        force: bool,
        limits: &Limits,
    ) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let address = PciAddress::from(pci);
        let other = |why: &str| Error::new(ErrorKind::Other, format!("pci {address}: {why}"));
        if !force && !domain.is_hvm().map_err(error)? && !hears_of_pci(id)? {
            // libxl would take the device from it, and not tell it.
            return Err(other(
                "the guest does not let go of it: it has no driver for PCI devices (xen-pcifront)",
            ));
        }
        let remove = if force {
            domain.pci_destroy(pci)
        } else {
            domain.pci_remove(pci)
        };
        let removed = remove.and_then(|op| op.limits(&translate(limits)).wait());
        removed.map_err(error)?;
        // libxl tells a PV guest of it afterwards, does not mind if the guest does nothing, and goes on listing the device then.
        let left = self.pcis(id)?.iter().any(|pci| address == pci.into());
        if left && !force {
            return Err(other(
                "Xen has taken it from the domain, but the guest does not let go of it",
            ));
        }
        Ok(())
    }

    fn set_memory(&mut self, id: DomainId, mib: u64, limits: &Limits) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let before = domain.memory_target().map_err(error)?;
        let target = mib << 10;
        let hvm = domain.is_hvm().map_err(error)?;
        domain.set_memory_target(target, true).map_err(error)?;
        let followed = follow(&domain, target, if hvm { NEAR_HVM } else { NEAR }, limits);
        if followed.is_err() {
            // Restore the target: a guest that does not follow now must not do so at some later time.
            domain.set_memory_target(before, true).map_err(error)?;
        }
        followed
    }

    fn set_vcpus(&mut self, id: DomainId, count: u32, limits: &Limits) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let before = domain.info().map_err(error)?.vcpu_online;
        let tell = |count: u32| -> Result<()> {
            let set = domain.set_vcpus_online(&Bitmap::first(count));
            let set = set.and_then(|op| op.limits(&translate(limits)).wait());
            set.map_err(error)
        };
        tell(count)?;
        if count >= before {
            // The vCPUs are there. Linux leaves it to udev to use them.
            return Ok(());
        }
        let end = Instant::now() + PROCESSORS;
        loop {
            let now = domain.info().map_err(error)?.vcpu_online;
            if now <= count {
                return Ok(());
            }
            if limits.abort.is_aborted() || Instant::now() >= end {
                tell(before)?;
                let why = format!(
                    "the guest uses {now} processors, and not {count}, {} s after it was told: it is told to use {before}, as before",
                    PROCESSORS.as_secs()
                );
                return Err(ended(limits, why));
            }
            thread::sleep(PAUSE);
        }
    }

    fn set_cpus(&mut self, id: DomainId, cpus: &[u32]) -> Result<()> {
        let domain = self.domain(id, &Limits::default())?;
        let most = domain.info().map_err(error)?.vcpu_max_id.saturating_add(1);
        let mask: Bitmap = cpus.iter().copied().collect();
        domain
            .set_vcpu_affinity_all(most, Some(&mask), None)
            .map_err(error)
    }

    fn set_share(&mut self, id: DomainId, weight: Option<u32>, cap: Option<u32>) -> Result<()> {
        let number = |n: Option<u32>| n.and_then(|n| i32::try_from(n).ok());
        // Parameters that are not given stay as they are.
        let share = DomainSchedParams {
            weight: number(weight),
            cap: number(cap),
            ..DomainSchedParams::default()
        };
        let domain = self.domain(id, &Limits::default())?;
        domain.set_sched_params(&share).map_err(error)
    }
}

/// Returns whether the driver for PCI devices of a PV guest is connected, and is told of changes.
///
/// All PCI devices of a domain have one backend, which is in dom0 (`libxl_pci.c`).
fn hears_of_pci(id: DomainId) -> Result<bool> {
    const CONNECTED: &str = "4";
    let key = format!("/local/domain/0/backend/pci/{}/0/state", id.domid);
    let store = Xenstore::open().map_err(error)?;
    let state = store.read(&key).map_err(error)?;
    Ok(state.as_deref() == Some(CONNECTED))
}

/// Waits until the guest's memory has reached its target, for as long as the guest makes progress.
fn follow(domain: &Domain, target: u64, near: u64, limits: &Limits) -> Result<()> {
    let first = domain.info().map_err(error)?.current_memkb;
    let (mut best, mut since) = (first.abs_diff(target), Instant::now());
    loop {
        let info = domain.info().map_err(error)?;
        if !matches!(info.state(), DomainState::Running | DomainState::Paused) {
            return Err(Error::new(
                ErrorKind::Other,
                "the guest has ended meanwhile",
            ));
        }
        let now = info.current_memkb;
        let distance = now.abs_diff(target);
        if distance <= near {
            return Ok(());
        }
        if distance < best {
            (best, since) = (distance, Instant::now());
        }
        if limits.abort.is_aborted() || since.elapsed() >= STUCK {
            let why = format!(
                "the guest has {} MiB, and gets no nearer to {} MiB: it may have no balloon driver, need the memory itself, or \
                 the host has no more; it is told to use what it had before",
                now >> 10,
                target >> 10
            );
            return Err(ended(limits, why));
        }
        thread::sleep(PAUSE);
    }
}

/// Returns whether the hotplug script of the device with this path in xenstore has set it up.
///
/// Xen's scripts write `hotplug-status` (`xen-hotplug-common.sh`): `connected`, or what went wrong.
fn script_is_done(backend: Option<&str>, backend_domid: u32, limits: &Limits) -> Result<bool> {
    let (Some(backend), 0) = (backend, backend_domid) else {
        // Another domain runs the script.
        return Ok(true);
    };
    let key = format!("{backend}/hotplug-status");
    let store = Xenstore::open().map_err(error)?;
    let end = Instant::now() + SCRIPT;
    loop {
        if let Some(status) = store.read(&key).map_err(error)? {
            return Ok(status == "connected");
        }
        if limits.abort.is_aborted() {
            return Err(Error::new(ErrorKind::Aborted, "aborted"));
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
}

fn ended(limits: &Limits, why: String) -> Error {
    if limits.abort.is_aborted() {
        return Error::new(ErrorKind::Aborted, "aborted");
    }
    Error::new(ErrorKind::Other, why)
}
