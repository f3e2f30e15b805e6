//! Changes of a simulated domain, which take time.

use libxl::config;

use super::guest::Millis;
use super::model::Model;
use super::session::SimSession;
use crate::base::crash_points;
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{ErrorKind, Result};
use crate::toolstack::live::Live;
use crate::toolstack::operation::Limits;

/// Time that a change takes.
const TAKES: Millis = 50;
/// Time that libxl waits for a guest that does nothing.
const WAITS: Millis = 10_000;

impl SimSession {
    fn change(
        &self,
        id: DomainId,
        limits: &Limits,
        act: impl Fn(&mut Model) -> Result<()>,
    ) -> Result<()> {
        self.0.wait(TAKES, limits)?;
        let done = self.0.act(&act);
        crash_points::point("in the middle of a change");
        let Err(e) = &done else { return done };
        if e.kind != ErrorKind::TimedOut {
            return done;
        }
        // A guest that is still booting finds the request in xenstore once its drivers are up.
        let boots = self.0.act(|m| m.boots_for(id))?;
        if boots >= WAITS {
            self.0.wait(WAITS, limits)?;
            return done;
        }
        self.0.wait(boots, limits)?;
        let done = self.0.act(act);
        if done.as_ref().is_err_and(|e| e.kind == ErrorKind::TimedOut) {
            self.0.wait(WAITS - boots, limits)?;
        }
        done
    }
}

impl Live for SimSession {
    fn disks(&mut self, id: DomainId) -> Result<Vec<config::Disk>> {
        self.0.act(|m| m.disks(id))
    }

    fn nics(&mut self, id: DomainId) -> Result<Vec<config::Nic>> {
        self.0.act(|m| m.nics(id))
    }

    fn disk_is_ready(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        limits: &Limits,
    ) -> Result<bool> {
        self.0.act(|m| m.disk_is_ready(id, disk, limits))
    }

    fn nic_is_ready(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<bool> {
        self.0.act(|m| m.nic_is_ready(id, nic, limits))
    }

    fn add_disk(&mut self, id: DomainId, disk: &config::Disk, limits: &Limits) -> Result<()> {
        self.change(id, limits, |m| m.begin_disk(id, disk))?;
        self.0.act(|m| m.end_disk(id, disk))
    }

    fn remove_disk(
        &mut self,
        id: DomainId,
        disk: &config::Disk,
        force: bool,
        limits: &Limits,
    ) -> Result<()> {
        self.change(id, limits, |m| m.remove_disk(id, disk, force, limits))
    }

    fn change_disc(
        &mut self,
        id: DomainId,
        vdev: &str,
        path: Option<&str>,
        limits: &Limits,
    ) -> Result<()> {
        self.change(id, limits, |m| m.change_disc(id, vdev, path, limits))
    }

    fn add_nic(&mut self, id: DomainId, nic: &config::Nic, limits: &Limits) -> Result<()> {
        self.change(id, limits, |m| m.begin_nic(id, nic))?;
        self.0.act(|m| m.end_nic(id, nic))
    }

    fn remove_nic(
        &mut self,
        id: DomainId,
        nic: &config::Nic,
        force: bool,
        limits: &Limits,
    ) -> Result<()> {
        self.change(id, limits, |m| m.remove_nic(id, nic, force, limits))
    }

    fn pcis(&mut self, id: DomainId) -> Result<Vec<config::Pci>> {
        self.0.act(|m| m.pcis(id))
    }

    fn add_pci(&mut self, id: DomainId, pci: &config::Pci, limits: &Limits) -> Result<()> {
        self.change(id, limits, |m| m.add_pci(id, pci, limits))
    }

    fn remove_pci(
        &mut self,
        id: DomainId,
        pci: &config::Pci,
        force: bool,
        limits: &Limits,
    ) -> Result<()> {
        self.change(id, limits, |m| m.remove_pci(id, pci, force, limits))
    }

    fn set_memory(&mut self, id: DomainId, mib: u64, limits: &Limits) -> Result<()> {
        self.change(id, limits, |m| m.set_memory(id, mib, limits))
    }

    fn set_vcpus(&mut self, id: DomainId, count: u32, limits: &Limits) -> Result<()> {
        self.change(id, limits, |m| m.set_vcpus(id, count, limits))
    }

    fn set_cpus(&mut self, id: DomainId, cpus: &[u32]) -> Result<()> {
        self.change(id, &Limits::default(), |m| m.set_cpus(id, cpus))
    }

    fn set_share(&mut self, id: DomainId, weight: Option<u32>, cap: Option<u32>) -> Result<()> {
        self.change(id, &Limits::default(), |m| m.set_share(id, weight, cap))
    }
}
