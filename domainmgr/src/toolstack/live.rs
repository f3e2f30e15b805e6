//! Changes of a running domain.
//!
//! [`make`] is level-triggered: it looks at what the domain has, and does what is missing. A change that was interrupted is
//! therefore completed by making it once more.

use libxl::config;

use super::domain::DomainId;
use super::error::{Error, ErrorKind, Result};
use super::operation::Limits;
use crate::spec::PciAddress;
use crate::spec::change::{Change, Figures, address, mac_of, vdev_of};

/// The changes that a session can make to a running domain. Each call blocks until the domain has what was asked for.
pub trait Live {
    /// Returns the disks of the domain.
    ///
    /// # Errors
    /// The disks cannot be listed.
    fn disks(&mut self, id: DomainId) -> Result<Vec<config::Disk>>;

    /// Returns the network interfaces of the domain.
    ///
    /// # Errors
    /// The interfaces cannot be listed.
    fn nics(&mut self, id: DomainId) -> Result<Vec<config::Nic>>;

    /// Returns whether the host's side of a disk in the list is set up. If a hotplug script may be at work, waits for it.
    ///
    /// libxl lists a disk before its script has run. The script of an agent that was killed may still run, or was never started.
    ///
    /// # Errors
    /// The state of the disk cannot be read.
    fn disk_is_ready(&mut self, id: DomainId, disk: &config::Disk, limits: &Limits)
    -> Result<bool>;

    /// Returns whether the host's side of an interface in the list is set up, as [`disk_is_ready`](Self::disk_is_ready) does.
    ///
    /// # Errors
    /// The state of the interface cannot be read.
    fn nic_is_ready(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<bool>;

    /// Attaches one more disk to the domain.
    ///
    /// # Errors
    /// Of any kind. Parts of the disk may be left behind: look for them.
    fn add_disk(&mut self, id: DomainId, disk: &config::Disk, limits: &Limits) -> Result<()>;

    /// Detaches a disk; with `force`, without asking the guest.
    ///
    /// # Errors
    /// The guest does not release the disk.
    fn remove_disk(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        force: bool,
        limits: &Limits,
    ) -> Result<()>;

    /// Changes the disc in a drive, or leaves the drive empty if there is no path.
    ///
    /// # Errors
    /// The domain has no such drive, or its device model does not take the disc.
    fn change_disc(
        &mut self,
        id: DomainId,
        vdev: &str,
        path: Option<&str>,
        limits: &Limits,
    ) -> Result<()>;

    /// Attaches one more network interface to the domain.
    ///
    /// # Errors
    /// Of any kind. Parts of the interface may be left behind: look for them.
    fn add_nic(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<()>;

    /// Detaches a network interface; with `force`, without asking the guest.
    ///
    /// # Errors
    /// Of any kind.
    fn remove_nic(
        &mut self,
        id: DomainId,
        nic: &config::Nic,
        force: bool,
        limits: &Limits,
    ) -> Result<()>;

    /// Returns the PCI devices of the domain.
    ///
    /// # Errors
    /// The devices cannot be listed.
    fn pcis(&mut self, id: DomainId) -> Result<Vec<config::Pci>>;

    /// Gives the domain one more PCI device.
    ///
    /// # Errors
    /// The host has no such device or still uses it, or another domain has it. Or this domain cannot take it.
    fn add_pci(&mut self, id: DomainId, pci: &config::Pci, limits: &Limits) -> Result<()>;

    /// Takes a PCI device from the domain; with `force`, without asking the guest. The device stays assignable.
    ///
    /// A PV guest is only told, when the device is gone already.
    ///
    /// # Errors
    /// The guest does not release the device.
    fn remove_pci(
        &mut self,
        id: DomainId,
        pci: &config::Pci,
        force: bool,
        limits: &Limits,
    ) -> Result<()>;

    /// Makes the guest use `mib` MiB of memory, and waits until it does.
    ///
    /// # Errors
    /// The guest does not follow, or may not have that much. Its memory target is then the same as before.
    fn set_memory(&mut self, id: DomainId, mib: u64, limits: &Limits) -> Result<()>;

    /// Lets the guest use `count` vCPUs.
    ///
    /// If the guest uses more, waits until it uses no more than `count`. Additional vCPUs are for its system to use or not.
    ///
    /// # Errors
    /// The guest still uses more, or may not have that many. It is then told to use those that it used before.
    fn set_vcpus(&mut self, id: DomainId, count: u32, limits: &Limits) -> Result<()>;

    /// Makes the domain's vCPUs run on these processors of the host.
    ///
    /// # Errors
    /// The host has none of these processors, or none in the domain's CPU pool.
    fn set_cpus(&mut self, id: DomainId, cpus: &[u32]) -> Result<()>;

    /// Changes the weight and the cap of the domain in the scheduler; `None` leaves a value as it is.
    ///
    /// # Errors
    /// The scheduler does not accept the values.
    fn set_share(&mut self, id: DomainId, weight: Option<u32>, cap: Option<u32>) -> Result<()>;
}

/// Makes the domain as `change` says, however much of the change has been made already.
///
/// # Errors
/// The change cannot be made. Parts that were made are undone as far as possible.
pub fn make(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    change: &Change,
    limits: &Limits,
) -> Result<()> {
    match change {
        Change::Set(figures) => set(live, id, figures, limits),
        Change::AttachDisk(disk) => attach_disk(live, id, &disk.config, limits),
        Change::DetachDisk(vdev) => match find_disk(live, id, vdev)? {
            Some(disk) => live.remove_disk(id, &disk, false, limits),
            None => Ok(()),
        },
        Change::AttachNic(nic) => attach_nic(live, id, &nic.config, limits),
        Change::DetachNic(mac) => match find_nic(live, id, *mac)? {
            Some(nic) => live.remove_nic(id, &nic, false, limits),
            None => Ok(()),
        },
        Change::AttachPci(pci) => attach_pci(live, id, &pci.config, limits),
        Change::DetachPci(address) => match find_pci(live, id, *address)? {
            Some(pci) => live.remove_pci(id, &pci, false, limits),
            None => Ok(()),
        },
        Change::Insert { vdev, path } => put_in(live, id, vdev, Some(path.as_str()), limits),
        Change::Eject { vdev } => put_in(live, id, vdev, None, limits),
    }
}

/// Sets one figure after the other, beginning with those that may fail.
fn set(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    figures: &Figures,
    limits: &Limits,
) -> Result<()> {
    let of = |key: &str, e: Error| Error::new(e.kind, format!("{key}: {e}"));
    if let Some(cpus) = &figures.cpus {
        live.set_cpus(id, cpus).map_err(|e| of("cpus", e))?;
    }
    if figures.weight.or(figures.cap).is_some() {
        let share = live.set_share(id, figures.weight, figures.cap);
        share.map_err(|e| of("weight, cap", e))?;
    }
    if let Some(count) = figures.vcpus {
        let done = live.set_vcpus(id, count, limits);
        done.map_err(|e| of("vcpus", e))?;
    }
    if let Some(mib) = figures.memory_mib {
        let done = live.set_memory(id, mib, limits);
        done.map_err(|e| of("memory", e))?;
    }
    Ok(())
}

fn find_disk(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    vdev: &str,
) -> Result<Option<config::Disk>> {
    let all = live.disks(id)?;
    Ok(all.into_iter().find(|disk| vdev_of(disk) == vdev))
}

fn find_nic(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    mac: [u8; 6],
) -> Result<Option<config::Nic>> {
    let all = live.nics(id)?;
    Ok(all.into_iter().find(|nic| mac_of(nic) == mac))
}

fn attach_disk(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    disk: &config::Disk,
    limits: &Limits,
) -> Result<()> {
    let vdev = vdev_of(disk);
    if let Some(there) = find_disk(live, id, vdev)? {
        // A hotplug script may make a device with another name from its target.
        if there.pdev_path != disk.pdev_path && disk.script.is_none() {
            let path = there.pdev_path.unwrap_or_default();
            let why = format!("disk: {vdev} of domain {id} is {path}");
            return Err(Error::new(ErrorKind::Other, why));
        }
        if live.disk_is_ready(id, &there, limits)? {
            return Ok(());
        }
        // The guest cannot have used the disk.
        live.remove_disk(id, &there, true, limits)?;
    }
    let Err(e) = live.add_disk(id, disk, limits) else {
        return Ok(());
    };
    // Remove a disk that was attached only in part. The limits do not apply here: they may have ended the attempt.
    if let Some(left) = find_disk(live, id, vdev)? {
        live.remove_disk(id, &left, true, &Limits::default())
            .map_err(|more| half(&format!("disk {vdev}"), &e, &more))?;
    }
    Err(e)
}

fn attach_nic(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    nic: &config::Nic,
    limits: &Limits,
) -> Result<()> {
    let mac = mac_of(nic);
    if let Some(there) = find_nic(live, id, mac)? {
        if live.nic_is_ready(id, &there, limits)? {
            return Ok(());
        }
        live.remove_nic(id, &there, true, limits)?;
    }
    let Err(e) = live.add_nic(id, nic, limits) else {
        return Ok(());
    };
    if let Some(left) = find_nic(live, id, mac)? {
        live.remove_nic(id, &left, true, &Limits::default())
            .map_err(|more| half(&format!("nic {}", address(mac)), &e, &more))?;
    }
    Err(e)
}

fn find_pci(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    address: PciAddress,
) -> Result<Option<config::Pci>> {
    let all = live.pcis(id)?;
    Ok(all.into_iter().find(|pci| PciAddress::from(pci) == address))
}

/// Attaches a device. libxl lists a device when the domain has all of it.
fn attach_pci(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    pci: &config::Pci,
    limits: &Limits,
) -> Result<()> {
    let address = pci.into();
    if find_pci(live, id, address)?.is_some() {
        return Ok(());
    }
    let Err(e) = live.add_pci(id, pci, limits) else {
        return Ok(());
    };
    if let Some(left) = find_pci(live, id, address)? {
        live.remove_pci(id, &left, true, &Limits::default())
            .map_err(|more| half(&format!("pci {address}"), &e, &more))?;
    }
    Err(e)
}

fn half(what: &str, e: &Error, more: &Error) -> Error {
    Error::new(
        e.kind,
        format!("{e}; what there is of {what} cannot be taken away: {more}"),
    )
}

fn put_in(
    live: &mut (impl Live + ?Sized),
    id: DomainId,
    vdev: &str,
    path: Option<&str>,
    limits: &Limits,
) -> Result<()> {
    let there = find_disk(live, id, vdev)?;
    let there = there.ok_or_else(|| {
        Error::new(
            ErrorKind::Other,
            format!("{vdev}: domain {id} has no such drive"),
        )
    })?;
    let disc = there.pdev_path.as_deref().filter(|path| !path.is_empty());
    if disc == path {
        return Ok(());
    }
    live.change_disc(id, vdev, path, limits)
}
