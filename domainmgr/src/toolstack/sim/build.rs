//! Building simulated domains, and the memory for them.

use std::collections::BTreeSet;

use super::devices::SimLive;
use super::domain::SimDomain;
use super::guest::{Guest, Millis};
use super::model::Model;
use super::outsider::taken;
use super::refusals;
use crate::spec::settings::Autoballoon;
use crate::spec::{Mode, Spec};
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::refusals::{missing_qemu, short_of_memory};
use crate::toolstack::session::Need;

impl Model {
    /// Makes dom0 give back the memory that is needed and not free. Returns the time that this takes.
    ///
    /// # Errors
    /// dom0 does not have enough to give back.
    pub fn grant_memory(&mut self, need: Need<'_>, policy: Autoballoon) -> Result<Millis> {
        let free = self.free_mib();
        let needed = match need {
            Need::Build(spec) => spec.memory_mib,
            Need::Growth(id, mib) => mib.saturating_sub(self.get(id)?.memory_mib),
        };
        // The command line of the simulated Xen does not set dom0's memory.
        if policy == Autoballoon::Off || needed <= free {
            return Ok(0);
        }
        let missing = needed - free;
        let given = missing.min(self.spare_mib);
        self.spare_mib -= given;
        self.memory_mib += given;
        if given < missing {
            return Err(short_of_memory(needed << 10, self.free_mib() << 10));
        }
        Ok(2000)
    }

    /// Starts building a domain: from now on it exists, paused, and has its name. Returns the time that building takes.
    ///
    /// # Errors
    /// The name is taken, there is not enough memory, or no host can build the domain.
    pub fn begin_create(&mut self, spec: &Spec) -> Result<(DomainId, Millis)> {
        let guest = Guest::from_cmdline(&spec.cmdline());
        let holds = holds(spec);
        self.admit(spec, &holds)?;
        let history = self.history.entry(spec.uuid).or_default();
        history.creates += 1;
        if history.creates <= guest.fail_create && !guest.litter {
            return Err(other("domain creation failed (simulated)"));
        }
        let create = guest.create;
        self.doubles += u32::from(self.live(spec.uuid) > 0);
        let screen = spec.vnc.as_ref().map(|vnc| self.screen(vnc.display));
        let domid = self.insert(new_domain(spec, guest, screen, holds));
        if let Err(e) = self.pci_assign(domid, spec) {
            self.domains.remove(&domid);
            self.pci_forget();
            return Err(e);
        }
        let uuid = spec.uuid;
        Ok((DomainId { domid, uuid }, create))
    }

    /// Refuses a domain that the host cannot build, or whose name, devices or memory are not to be had.
    fn admit(&self, spec: &Spec, holds: &BTreeSet<String>) -> Result<()> {
        if let Some(e) = missing_qemu(spec, || !self.no_dom0_qemu) {
            return Err(e);
        }
        if let Some(e) = refusals::refused(spec) {
            return Err(e);
        }
        if self.named(&spec.name).is_some() {
            return Err(taken(&spec.name));
        }
        self.check_holds(holds)?;
        if let Some(e) = self.refused_here(spec) {
            return Err(e);
        }
        self.check_display(spec)?;
        if spec.memory_mib > self.free_mib() {
            return Err(Error::new(
                ErrorKind::NoMemory,
                format!(
                    "not enough memory: {} MiB needed, {} MiB free",
                    spec.memory_mib,
                    self.free_mib()
                ),
            ));
        }
        Ok(())
    }

    /// Refuses disks and interface names that another domain has.
    pub(super) fn check_holds(&self, holds: &BTreeSet<String>) -> Result<()> {
        let mut held = self.living().flat_map(|d| &d.holds);
        match held.find(|thing| holds.contains(*thing)) {
            None => Ok(()),
            Some(thing) => Err(other(format!(
                "unable to add devices; {thing} is in use by another domain (simulated)"
            ))),
        }
    }

    /// Refuses a VNC display that another domain has.
    fn check_display(&self, spec: &Spec) -> Result<()> {
        let asked = spec.vnc.as_ref().and_then(|vnc| vnc.display);
        if asked.is_some() && self.living().any(|d| d.screen == asked) {
            return Err(other(
                "device model did not start; Failed to find an available port: Address already in use (simulated)",
            ));
        }
        Ok(())
    }

    fn living(&self) -> impl Iterator<Item = &SimDomain> {
        self.domains.values().filter(|d| d.dying_until.is_none())
    }

    /// Finishes building a domain.
    ///
    /// # Errors
    /// The domain was destroyed meanwhile, or its command line makes building fail.
    pub fn end_create(&mut self, id: DomainId) -> Result<()> {
        let creates = self.history.entry(id.uuid).or_default().creates;
        if creates <= self.get(id)?.guest.fail_create {
            return Err(other("domain creation failed (simulated)"));
        }
        Ok(())
    }

    /// Returns the display that was asked for, or the first that no domain has.
    fn screen(&self, asked: Option<u32>) -> u32 {
        let taken = |n: &u32| self.domains.values().any(|d| d.screen == Some(*n));
        asked.unwrap_or_else(|| (0..).find(|n| !taken(n)).unwrap_or_default())
    }
}

fn other(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, text)
}

/// Returns a domain that has just been built: paused, and it has never run.
fn new_domain(
    spec: &Spec,
    guest: Guest,
    screen: Option<u32>,
    holds: BTreeSet<String>,
) -> SimDomain {
    SimDomain {
        uuid: spec.uuid,
        name: Some(spec.name.clone()),
        memory_mib: spec.memory_mib,
        hvm: spec.mode == Mode::Hvm,
        orphaned: false,
        paused: true,
        shutdown: None,
        announced: false,
        dying_until: None,
        started: false,
        ran_ms: 0,
        running_since: None,
        up_at: 0,
        guest,
        cmdline: spec.cmdline(),
        preserved: false,
        screen,
        holds,
        live: SimLive::of(spec),
        suspend: None,
        plans: Vec::new(),
    }
}

/// Returns the disks and interface names of `spec` that only one domain can have, as Xen's scripts and QEMU ensure.
fn holds(spec: &Spec) -> BTreeSet<String> {
    let disks = spec.disks.iter().filter(|d| !d.read_only && !d.shared);
    let names = spec.nics.iter().filter_map(|nic| nic.vif.clone());
    disks.map(|d| d.path.clone()).chain(names).collect()
}
