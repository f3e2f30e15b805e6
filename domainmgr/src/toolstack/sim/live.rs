//! Changes of a running simulated domain.

use libxl::config;

use super::guest::Millis;
use super::model::{CPUS, Model};
use crate::spec::PciAddress;
use crate::spec::change::{address, mac_of, vdev_of};
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::live::Live;
use crate::toolstack::operation::Limits;

fn other(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, text)
}

fn stuck(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::TimedOut, text)
}

/// Returns the number of an interface. If it has none yet, libxl takes the next one.
fn number(nics: &[config::Nic], nic: &config::Nic) -> i32 {
    let last = nics.iter().filter_map(|n| n.devid).max();
    nic.devid.unwrap_or_else(|| last.map_or(0, |last| last + 1))
}

impl Model {
    /// Returns the time that the guest still has to run before it hears requests in xenstore.
    pub(super) fn boots_for(&mut self, id: DomainId) -> Result<Millis> {
        let now = self.now;
        Ok(self.get(id)?.boots_for(now))
    }

    /// Describes the figures and devices of a domain to the outsider.
    pub(super) fn live_words(&mut self, id: DomainId) -> Result<String> {
        let pcis = self.pci_of(id.domid).into_iter();
        let pcis: Vec<String> = pcis.map(|pci| pci.address()).collect();
        let d = self.get(id)?;
        let live = &d.live;
        let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let cpus: Vec<String> = live.cpus.iter().map(u32::to_string).collect();
        let mark = |device: &str| {
            let unready = live.unready.contains(device);
            if unready { " (not set up)" } else { "" }
        };
        let disks = live.disks.iter().map(|disk| {
            let path = disk.pdev_path.as_deref().unwrap_or("-");
            format!("{}={path}{}", vdev_of(disk), mark(vdev_of(disk)))
        });
        let nics = live.nics.iter().map(|nic| {
            let mac = address(mac_of(nic));
            format!("{mac}{}", mark(&mac))
        });
        let pcis = if pcis.is_empty() {
            String::new()
        } else {
            format!(" pci [{}]", pcis.join(" "))
        };
        Ok(format!(
            "memory {}/{} vcpus {}/{} cpus [{}] weight {} cap {} disks [{}] nics [{}]{pcis}",
            d.memory_mib,
            live.max_memory_mib,
            live.vcpus,
            live.max_vcpus,
            cpus.join(","),
            number(live.weight),
            number(live.cap),
            disks.collect::<Vec<_>>().join(" "),
            nics.collect::<Vec<_>>().join(" "),
        ))
    }

    /// Returns true if another domain has `thing`, which only one domain can have.
    fn in_use(&self, id: DomainId, thing: &str) -> bool {
        let others = self.domains.iter().filter(|(domid, _)| **domid != id.domid);
        let mut living = others.filter(|(_, d)| d.dying_until.is_none());
        living.any(|(_, d)| d.holds.contains(thing))
    }

    /// Counts one more device, and fails if the guest's command line says so.
    fn attach(&mut self, id: DomainId, device: String) -> Result<()> {
        let d = self.get(id)?;
        d.live.attached += 1;
        d.live.unready.insert(device);
        if d.live.attached <= d.guest.fail_attach {
            return Err(other("unable to add device (simulated)"));
        }
        Ok(())
    }

    /// Lists one more disk, which the host has not set up yet.
    pub(super) fn begin_disk(&mut self, id: DomainId, disk: &config::Disk) -> Result<()> {
        let path = disk.pdev_path.clone().unwrap_or_default();
        if disk.readwrite && self.in_use(id, &path) {
            return Err(other(format!(
                "unable to add device; {path} is in use by another domain (simulated)"
            )));
        }
        let d = self.get(id)?;
        if d.live.disks.iter().any(|there| there.vdev == disk.vdev) {
            return Err(other("device already exists in xenstore (simulated)"));
        }
        d.live.disks.push(disk.clone());
        if disk.readwrite {
            d.holds.insert(path);
        }
        self.attach(id, vdev_of(disk).to_owned())
    }

    /// Lists one more interface, which the host has not set up yet.
    pub(super) fn begin_nic(&mut self, id: DomainId, nic: &config::Nic) -> Result<()> {
        if let Some(name) = nic.ifname.as_deref().filter(|name| self.in_use(id, name)) {
            return Err(other(format!(
                "Cannot rename interface. An interface with the name {name} already exists (simulated)"
            )));
        }
        let d = self.get(id)?;
        let devid = Some(number(&d.live.nics, nic));
        if d.live.nics.iter().any(|there| there.devid == devid) {
            return Err(other("device already exists in xenstore (simulated)"));
        }
        d.live.nics.push(config::Nic {
            devid,
            ..nic.clone()
        });
        d.holds.extend(nic.ifname.clone());
        self.attach(id, address(mac_of(nic)))
    }

    /// Sets a disk up.
    pub(super) fn end_disk(&mut self, id: DomainId, disk: &config::Disk) -> Result<()> {
        self.get(id)?.live.unready.remove(vdev_of(disk));
        Ok(())
    }

    /// Sets an interface up.
    pub(super) fn end_nic(&mut self, id: DomainId, nic: &config::Nic) -> Result<()> {
        self.get(id)?.live.unready.remove(&address(mac_of(nic)));
        Ok(())
    }
}

/// Changes are made without waiting: the caller lets the time pass that they take.
impl Live for Model {
    fn disks(&mut self, id: DomainId) -> Result<Vec<config::Disk>> {
        Ok(self.get(id)?.live.disks.clone())
    }

    fn nics(&mut self, id: DomainId) -> Result<Vec<config::Nic>> {
        Ok(self.get(id)?.live.nics.clone())
    }

    fn disk_is_ready(&mut self, id: DomainId, disk: &config::Disk, _: &Limits) -> Result<bool> {
        Ok(!self.get(id)?.live.unready.contains(vdev_of(disk)))
    }

    fn nic_is_ready(&mut self, id: DomainId, nic: &config::Nic, _: &Limits) -> Result<bool> {
        Ok(!self.get(id)?.live.unready.contains(&address(mac_of(nic))))
    }

    fn add_disk(&mut self, id: DomainId, disk: &config::Disk, _: &Limits) -> Result<()> {
        self.begin_disk(id, disk)?;
        self.end_disk(id, disk)
    }

    fn remove_disk(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        force: bool,
        _: &Limits,
    ) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        if !force && (d.guest.clings || !d.hears(now)) {
            return Err(stuck(format!(
                "disk {}: the guest does not let go of it, and may be using it (simulated)",
                vdev_of(disk)
            )));
        }
        let path = disk.pdev_path.clone().unwrap_or_default();
        d.live.disks.retain(|there| there.vdev != disk.vdev);
        d.live.unready.remove(vdev_of(disk));
        d.holds.remove(&path);
        Ok(())
    }

    fn change_disc(
        &mut self,
        id: DomainId,
        vdev: &str,
        path: Option<&str>,
        _: &Limits,
    ) -> Result<()> {
        let d = self.get(id)?;
        if !d.hvm {
            return Err(other("cdrom-insert requires an HVM domain (simulated)"));
        }
        if d.orphaned {
            return Err(other("the device model does not answer (simulated)"));
        }
        let mut disks = d.live.disks.iter_mut();
        match disks.find(|disk| vdev_of(disk) == vdev && disk.is_cdrom) {
            Some(drive) => drive.pdev_path = path.map(str::to_owned),
            None => return Err(other("Virtual device not found (simulated)")),
        }
        Ok(())
    }

    fn add_nic(&mut self, id: DomainId, nic: &config::Nic, _: &Limits) -> Result<()> {
        self.begin_nic(id, nic)?;
        self.end_nic(id, nic)
    }

    fn remove_nic(
        &mut self,
        id: DomainId,
        nic: &config::Nic,
        _force: bool,
        _: &Limits,
    ) -> Result<()> {
        let d = self.get(id)?;
        d.live.nics.retain(|there| there.devid != nic.devid);
        d.live.unready.remove(&address(mac_of(nic)));
        if let Some(name) = &nic.ifname {
            d.holds.remove(name);
        }
        Ok(())
    }

    fn pcis(&mut self, id: DomainId) -> Result<Vec<config::Pci>> {
        self.get(id)?;
        Ok(self.pci_of(id.domid))
    }

    fn add_pci(&mut self, id: DomainId, pci: &config::Pci, _: &Limits) -> Result<()> {
        self.get(id)?;
        self.pci_add(pci, id.domid)
    }

    fn remove_pci(
        &mut self,
        id: DomainId,
        pci: &config::Pci,
        force: bool,
        _: &Limits,
    ) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        let address = PciAddress::from(pci);
        if !force && (d.guest.clings || !d.hears(now)) {
            return Err(stuck(format!(
                "pci {address}: the guest does not let go of it (simulated)"
            )));
        }
        self.pci_release(address, id.domid);
        Ok(())
    }

    fn set_memory(&mut self, id: DomainId, mib: u64, _: &Limits) -> Result<()> {
        let (now, free) = (self.now, self.free_mib());
        let d = self.get(id)?;
        let most = d.live.max_memory_mib;
        if mib > most {
            return Err(other(format!(
                "memory_dynamic_max must be less than or equal to memory_static_max; {mib} > {most} MiB (simulated)"
            )));
        }
        let needed = mib.saturating_sub(d.memory_mib);
        let rigid = d.guest.rigid || !d.hears(now) || mib < d.guest.least_mib || needed > free;
        if rigid && mib != d.memory_mib {
            return Err(stuck(format!(
                "the guest has {} MiB, and gets no nearer to {mib} MiB (simulated)",
                d.memory_mib
            )));
        }
        d.memory_mib = mib;
        Ok(())
    }

    fn set_vcpus(&mut self, id: DomainId, count: u32, _: &Limits) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        let most = d.live.max_vcpus;
        if count > most {
            return Err(other(format!(
                "requested {count} vcpus, but the domain has {most} (simulated)"
            )));
        }
        // QEMU adds vCPUs, and removes none. Whether a guest uses additional vCPUs is not checked.
        let follows = !d.guest.keeps_cpus && d.hears(now) && !d.hvm;
        if !follows && count < d.live.vcpus {
            let uses = d.live.vcpus;
            return Err(stuck(format!(
                "the guest uses {uses} processors, and not {count} (simulated)"
            )));
        }
        d.live.vcpus = count;
        Ok(())
    }

    fn set_cpus(&mut self, id: DomainId, cpus: &[u32]) -> Result<()> {
        let d = self.get(id)?;
        if cpus.iter().all(|cpu| *cpu >= CPUS) {
            return Err(other("setting affinity failed (simulated)"));
        }
        d.live.cpus = cpus.to_vec();
        Ok(())
    }

    fn set_share(&mut self, id: DomainId, weight: Option<u32>, cap: Option<u32>) -> Result<()> {
        let live = &mut self.get(id)?.live;
        // `libxl__set_sched_params` of Credit and Credit2: the cap is at most 100 for each of the domain's vCPUs.
        if cap.is_some_and(|cap| cap > live.max_vcpus * 100) {
            return Err(other(format!(
                "Cpu cap out of range, valid range is from 0 to {} for specified number of vcpus (simulated)",
                live.max_vcpus * 100
            )));
        }
        live.weight = weight.or(live.weight);
        live.cap = cap.or(live.cap);
        Ok(())
    }
}
