//! Changing a domain that runs.
//!
//! [`make`] is level-triggered: it looks at what the domain has, and does what is missing. So a change that was cut short is made
//! to its end by making it once more.

use libxl::config;

use super::{DomainId, Error, ErrorKind, Limits, Result};
use crate::change::{Change, Figures, address, mac_of, vdev_of};

/// What a session can change in a domain that runs. Each call blocks until the domain has what was asked for.
pub trait Live {
    /// Disks that the domain has.
    ///
    /// # Errors
    /// They cannot be listed.
    fn disks(&mut self, id: DomainId) -> Result<Vec<config::Disk>>;

    /// Network interfaces that the domain has.
    ///
    /// # Errors
    /// They cannot be listed.
    fn nics(&mut self, id: DomainId) -> Result<Vec<config::Nic>>;

    /// Gives it one more disk.
    ///
    /// # Errors
    /// Of any kind. Something of it may be left: look.
    fn add_disk(&mut self, id: DomainId, disk: &config::Disk, limits: &Limits) -> Result<()>;

    /// Takes a disk away; with `force` without asking the guest.
    ///
    /// # Errors
    /// The guest does not let go of it.
    fn remove_disk(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        force: bool,
        limits: &Limits,
    ) -> Result<()>;

    /// Changes the disc in a drive; none if there is no path.
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

    /// Gives it one more network interface.
    ///
    /// # Errors
    /// Of any kind. Something of it may be left: look.
    fn add_nic(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<()>;

    /// Takes a network interface away; with `force` without asking the guest.
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

    /// Has the guest use so much memory, and waits until it does.
    ///
    /// # Errors
    /// It does not, or may not. Then it is told to use what it was to use before.
    fn set_memory(&mut self, id: DomainId, mib: u64, limits: &Limits) -> Result<()>;

    /// Lets the guest use so many processors. If these are fewer than it uses, waits until it uses no more; more of them are for
    /// its system to use or not.
    ///
    /// # Errors
    /// It uses more still, or may not have as many. Then it is told to use those that it used before.
    fn set_vcpus(&mut self, id: DomainId, count: u32, limits: &Limits) -> Result<()>;

    /// Has its processors run on these of the host.
    ///
    /// # Errors
    /// The host has none of them, or not in the domain's pool.
    fn set_cpus(&mut self, id: DomainId, cpus: &[u32]) -> Result<()>;

    /// Gives it another share of the processors.
    ///
    /// # Errors
    /// The scheduler has no such share.
    fn set_share(&mut self, id: DomainId, weight: Option<u32>, cap: Option<u32>) -> Result<()>;
}

/// Has the domain be as `change` says, whatever of that it is already.
///
/// # Errors
/// It cannot be. What was done of it is undone, as far as that goes.
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
        Change::Insert { vdev, path } => put_in(live, id, vdev, Some(path.as_str()), limits),
        Change::Eject { vdev } => put_in(live, id, vdev, None, limits),
    }
}

/// One figure after the other, those first that may fail.
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
        // What a script makes of its target may be called otherwise.
        if there.pdev_path == disk.pdev_path || disk.script.is_some() {
            return Ok(());
        }
        let path = there.pdev_path.unwrap_or_default();
        let why = format!("disk: {vdev} of domain {id} is {path}");
        return Err(Error::new(ErrorKind::Other, why));
    }
    let Err(e) = live.add_disk(id, disk, limits) else {
        return Ok(());
    };
    // Half a disk is none. Not within the limits: they may be what has ended it.
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
    if find_nic(live, id, mac)?.is_some() {
        return Ok(());
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
