//! The state of a simulated Xen. Time passes, and things happen, only through calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{DomainId, Error, ErrorKind, HostInfo, Result, Seen, ShutdownReason, Usage};
use super::super::{memory_grant, qemu};
use super::domain::SimDomain;
use super::events::Events;
pub use super::guest::{ACK, Answer, Guest};
use super::live::SimLive;
use super::outsider::taken;
use super::pci::SimPci;
use super::refusals;
use crate::settings::Autoballoon;
use crate::spec::{Mode, Spec};

/// Milliseconds of simulated time.
pub type Millis = u64;

/// Number of processors of the host.
pub(super) const CPUS: u32 = 2;
/// Memory of dom0, in MiB. It is not part of the memory that domains can get.
const DOM0_MIB: u64 = 512;

/// The simulated host and its domains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Boot id, which changes with each reboot of the host.
    #[serde(default)]
    boot: Uuid,
    pub(super) now: Millis,
    next_domid: u32,
    memory_mib: u64,
    pub(super) domains: BTreeMap<u32, SimDomain>,
    /// Numbers of operations on the domains of each uuid, across their incarnations.
    history: BTreeMap<Uuid, History>,
    /// Devices of the host.
    #[serde(default)]
    pub(super) pci: Vec<SimPci>,
    /// Memory that dom0 has and could do without, in MiB.
    #[serde(default)]
    pub(super) spare_mib: u64,
    /// The QEMU that serves disks to dom0 does not run.
    #[serde(default)]
    pub(super) no_dom0_qemu: bool,
    /// Requests for all domains are not answered.
    #[serde(skip)]
    pub(super) list_hangs: bool,
    /// Domains whose device models have ended, which has not been reported yet.
    #[serde(skip)]
    pub(super) orphans: Vec<DomainId>,
    /// Sources of events. They belong to the process, and end with it.
    #[serde(skip)]
    pub(super) events: Events,
    /// Number of operations that were tried on a domid that another domain has.
    #[serde(skip)]
    foreign: u32,
    /// Number of times that a domain was built while another one with its uuid could run.
    #[serde(default)]
    doubles: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct History {
    creates: u32,
    unpauses: u32,
    #[serde(default)]
    watches: u32,
    destroys: u32,
    starts: u32,
}

impl Default for Model {
    fn default() -> Self {
        Self::new(8192)
    }
}

impl Model {
    /// Creates a host with this much memory, in MiB, and no domains.
    #[must_use]
    pub fn new(memory_mib: u64) -> Self {
        Self {
            boot: Uuid::new_v4(),
            now: 0,
            next_domid: 1,
            memory_mib,
            domains: BTreeMap::new(),
            history: BTreeMap::new(),
            pci: Vec::new(),
            spare_mib: 0,
            no_dom0_qemu: false,
            list_hangs: false,
            orphans: Vec::new(),
            events: Events::default(),
            foreign: 0,
            doubles: 0,
        }
    }

    /// Returns the id of the host's current boot.
    #[must_use]
    pub fn boot_id(&self) -> Uuid {
        self.boot
    }

    /// Switches the host off and on: no domain is left.
    pub fn reboot(&mut self) {
        self.boot = Uuid::new_v4();
        self.next_domid = 1;
        self.domains.clear();
        self.orphans.clear();
        self.events = Events::default();
    }

    /// Returns the simulated time.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Returns the time of the next change that needs no call.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        self.domains.values().filter_map(SimDomain::next_due).min()
    }

    /// Lets time pass until `to`.
    pub fn advance(&mut self, to: Millis) {
        while let Some(due) = self.next_due().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            let now = self.now;
            self.domains
                .retain(|_, d| d.dying_until.is_none_or(|at| at > now));
            let stopping: Vec<(u32, u8)> = self
                .domains
                .iter_mut()
                .filter_map(|(domid, d)| Some((*domid, d.act(now)?)))
                .collect();
            for (domid, reason) in stopping {
                self.stop(domid, reason);
            }
        }
        self.now = self.now.max(to);
    }

    /// Returns the memory, in MiB, that belongs to no domain, not even to one that is dying.
    #[must_use]
    pub fn free_mib(&self) -> u64 {
        let used: u64 = self.domains.values().map(|d| d.memory_mib).sum();
        self.memory_mib.saturating_sub(used)
    }

    /// Returns the size of the host. The version is empty.
    #[must_use]
    pub fn host(&self) -> HostInfo {
        HostInfo {
            xen_version: String::new(),
            memory_mib: self.memory_mib,
            free_memory_mib: self.free_mib(),
            cpus: CPUS,
        }
    }

    /// Returns the resources that every domain uses. As in the real Xen, dom0 is listed, and a dying domain still counts.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        let dom0 = Usage {
            id: DomainId {
                domid: 0,
                uuid: Uuid::nil(),
            },
            cpu_time_ns: self.now * 10_000,
            vcpus: CPUS,
            memory_kib: DOM0_MIB << 10,
            max_memory_kib: DOM0_MIB << 10,
        };
        let others = self.domains.iter().map(|(domid, d)| Usage {
            id: DomainId {
                domid: *domid,
                uuid: d.uuid,
            },
            cpu_time_ns: d.ran(self.now) * 1_000_000,
            vcpus: 1,
            memory_kib: d.memory_mib << 10,
            // libxl adds 1 MiB to a limit.
            max_memory_kib: (d.memory_mib << 10) + 1024,
        });
        std::iter::once(dom0).chain(others).collect()
    }

    /// Number of operations that were tried on a domid that another domain has.
    #[must_use]
    pub fn foreign_attempts(&self) -> u32 {
        self.foreign
    }

    /// Number of times that a domain was built while another one with its uuid could run.
    #[must_use]
    pub fn doubles(&self) -> u32 {
        self.doubles
    }

    /// Returns all domains.
    #[must_use]
    pub fn list(&self) -> Vec<Seen> {
        self.domains
            .iter()
            .map(|(domid, d)| Seen {
                id: DomainId {
                    domid: *domid,
                    uuid: d.uuid,
                },
                name: d.name.clone(),
                life: d.life(),
                cpu_time_ns: d.ran(self.now) * 1_000_000,
                memory_kib: d.memory_mib * 1024,
                orphaned: d.orphaned,
            })
            .collect()
    }

    /// Returns one domain; `None` if it is gone.
    #[must_use]
    pub fn info(&self, id: DomainId) -> Option<Seen> {
        self.list().into_iter().find(|s| s.id == id)
    }

    /// Returns true if this is a dead domain that was preserved.
    #[must_use]
    pub fn is_preserved(&self, id: DomainId) -> bool {
        self.domains
            .get(&id.domid)
            .is_some_and(|d| d.uuid == id.uuid && d.preserved)
    }

    /// Returns the number of domains with this uuid that run or could go on running.
    #[must_use]
    pub fn live(&self, uuid: Uuid) -> usize {
        self.domains
            .values()
            .filter(|d| d.uuid == uuid && d.dying_until.is_none() && !d.preserved)
            .count()
    }

    /// Makes dom0 give back the memory that `spec` needs and that is not free. Returns the time that this takes.
    ///
    /// # Errors
    /// dom0 does not have enough to give back.
    pub fn grant_memory(&mut self, spec: &Spec, policy: Autoballoon) -> Result<Millis> {
        let free = self.free_mib();
        // The command line of the simulated Xen does not set dom0's memory.
        if policy == Autoballoon::Off || spec.memory_mib <= free {
            return Ok(0);
        }
        let missing = spec.memory_mib - free;
        let given = missing.min(self.spare_mib);
        self.spare_mib -= given;
        self.memory_mib += given;
        if given < missing {
            return Err(memory_grant::short(
                spec.memory_mib << 10,
                self.free_mib() << 10,
            ));
        }
        Ok(2000)
    }

    /// Starts building a domain: from now on it exists, paused, and has its name. Returns the time that building takes.
    ///
    /// # Errors
    /// The name is taken, there is not enough memory, or no host can build the domain.
    pub fn begin_create(&mut self, spec: &Spec) -> Result<(DomainId, Millis)> {
        if let Some(e) = qemu::missing(spec, || !self.no_dom0_qemu) {
            return Err(e);
        }
        if let Some(e) = refusals::refused(spec) {
            return Err(e);
        }
        let guest = Guest::from_cmdline(&spec.cmdline());
        if self.named(&spec.name).is_some() {
            return Err(taken(&spec.name));
        }
        let holds = holds(spec);
        let living = self.domains.values().filter(|d| d.dying_until.is_none());
        if let Some(thing) = living.flat_map(|d| &d.holds).find(|h| holds.contains(*h)) {
            return Err(Error::new(
                ErrorKind::Other,
                format!("unable to add devices; {thing} is in use by another domain (simulated)"),
            ));
        }
        if let Some(e) = self.refused_here(spec) {
            return Err(e);
        }
        let asked = spec.vnc.as_ref().and_then(|vnc| vnc.display);
        let mut screens = self.domains.values().filter(|d| d.dying_until.is_none());
        if asked.is_some() && screens.any(|d| d.screen == asked) {
            return Err(Error::new(
                ErrorKind::Other,
                "device model did not start; Failed to find an available port: Address already in use (simulated)",
            ));
        }
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
        let history = self.history.entry(spec.uuid).or_default();
        history.creates += 1;
        if history.creates <= guest.fail_create && !guest.litter {
            return Err(Error::new(
                ErrorKind::Other,
                "domain creation failed (simulated)",
            ));
        }
        let create = guest.create;
        self.doubles += u32::from(self.live(spec.uuid) > 0);
        let domid = self.insert(SimDomain {
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
            preserved: false,
            screen: spec.vnc.as_ref().map(|vnc| self.screen(vnc.display)),
            holds,
            live: SimLive::of(spec),
            plans: Vec::new(),
        });
        if let Err(e) = self.pci_assign(domid, spec) {
            self.domains.remove(&domid);
            self.pci_forget();
            return Err(e);
        }
        let uuid = spec.uuid;
        Ok((DomainId { domid, uuid }, create))
    }

    /// Finishes building a domain.
    ///
    /// # Errors
    /// The domain was destroyed meanwhile, or its command line makes building fail.
    pub fn end_create(&mut self, id: DomainId) -> Result<()> {
        let creates = self.history.entry(id.uuid).or_default().creates;
        if creates <= self.get(id)?.guest.fail_create {
            return Err(Error::new(
                ErrorKind::Other,
                "domain creation failed (simulated)",
            ));
        }
        Ok(())
    }

    /// Counts an attempt to watch a domain.
    ///
    /// # Errors
    /// The domain's command line makes the watch fail.
    pub fn may_watch(&mut self, id: DomainId) -> Result<()> {
        let history = self.history.entry(id.uuid).or_default();
        history.watches += 1;
        let watches = history.watches;
        match self.get(id) {
            Ok(d) if watches <= d.guest.fail_watch => {
                Err(Error::new(ErrorKind::Other, "no watch (simulated)"))
            }
            _ => Ok(()),
        }
    }

    /// Lets a domain run.
    ///
    /// # Errors
    /// The domain is gone or not paused, or its command line makes this fail.
    pub fn unpause(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        if !self.get(id)?.paused {
            // Xen's answer to a toolstack that has miscounted its pauses.
            return Err(Error::new(ErrorKind::Other, "the domain is not paused"));
        }
        let history = self.history.entry(id.uuid).or_default();
        history.unpauses += 1;
        let (unpauses, starts) = (history.unpauses, history.starts);
        let d = self.get(id)?;
        if unpauses <= d.guest.fail_unpause {
            return Err(Error::new(ErrorKind::Other, "unpause failed (simulated)"));
        }
        d.paused = false;
        let first = !d.started;
        if first {
            d.started = true;
            d.boot(now);
            if let Some(reason) = d.guest.act.filter(|_| !(d.guest.once && starts > 0)) {
                d.plans.push((d.ran(now) + d.guest.after, reason));
            }
        }
        d.go_on_running(now);
        if first {
            self.history.entry(id.uuid).or_default().starts += 1;
        }
        Ok(())
    }

    /// Stops a domain's vCPUs. This raises no event.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn pause(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        d.paused = true;
        d.stop_running(now);
        Ok(())
    }

    /// Asks the guest to power off.
    ///
    /// # Errors
    /// The domain is gone, or its guest has no PV drivers that could hear the request.
    pub fn request_shutdown(&mut self, id: DomainId) -> Result<Answer> {
        let now = self.now;
        let d = self.get(id)?;
        // Xen knows whether the drivers of an HVM guest are up, and libxl asks only a guest with drivers.
        if d.hvm && (!d.guest.pv || d.boots_for(now) > 0) {
            return Err(Error::new(
                ErrorKind::NoParavirt,
                "the guest has no PV drivers to ask",
            ));
        }
        Ok(d.obey(now))
    }

    /// Presses the power button, whether or not the guest notices.
    ///
    /// # Errors
    /// The domain is gone, or has no power button.
    pub fn power_button(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        if !d.hvm {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "only an HVM domain has a power button",
            ));
        }
        // A guest does not see a press from before its drivers were up.
        if d.boots_for(now) == 0 {
            d.obey(now);
        }
        Ok(())
    }

    /// Starts destroying a domain: it stops running at once, and its device model goes first. Returns the time this takes.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn begin_destroy(&mut self, id: DomainId) -> Result<Millis> {
        self.pause(id)?;
        let takes = self.get(id)?.guest.destroy;
        self.orphan(id)?;
        Ok(takes)
    }

    /// Destroys a domain. It stays listed for a moment, as dying.
    ///
    /// # Errors
    /// The domain is gone, or its command line makes this fail.
    pub fn end_destroy(&mut self, id: DomainId) -> Result<()> {
        self.get(id)?;
        let history = self.history.entry(id.uuid).or_default();
        history.destroys += 1;
        let destroys = history.destroys;
        let d = self.get(id)?;
        if destroys <= d.guest.fail_destroy {
            return Err(Error::new(ErrorKind::Other, "destroy failed (simulated)"));
        }
        self.kill(id)
    }

    /// Gives the domain another name.
    ///
    /// # Errors
    /// The domain is gone, or the name is taken.
    pub fn rename(&mut self, id: DomainId, name: &str) -> Result<()> {
        if self.named(name).is_some() {
            return Err(taken(name));
        }
        self.get(id)?.name = Some(name.to_owned());
        Ok(())
    }

    /// Keeps a dead domain, with `suffix` added to its name.
    ///
    /// # Errors
    /// The domain is gone, or the name is taken.
    pub fn preserve(&mut self, id: DomainId, suffix: &str) -> Result<()> {
        let name = self.get(id)?.name.clone().unwrap_or_default();
        self.rename(id, &format!("{name}{suffix}"))?;
        // The hypervisor still reports the old uuid.
        self.get(id)?.preserved = true;
        Ok(())
    }

    /// Detaches the disks and network interfaces of a domain.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn strip(&mut self, id: DomainId) -> Result<()> {
        let d = self.get(id)?;
        d.holds.clear();
        d.live.strip();
        Ok(())
    }

    /// Returns the display that was asked for, or the first that no domain has.
    fn screen(&self, asked: Option<u32>) -> u32 {
        let taken = |n: &u32| self.domains.values().any(|d| d.screen == Some(*n));
        asked.unwrap_or_else(|| (0..).find(|n| !taken(n)).unwrap_or_default())
    }

    /// Returns the number of the domain's VNC display.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>> {
        Ok(self.get(id)?.screen)
    }

    /// Describes the devices that the guest has not connected to.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>> {
        let now = self.now;
        let d = self.get(id)?;
        let blind = d.ran(now) < d.guest.blind;
        let holds = d.holds.iter().filter(|_| blind);
        Ok(holds.map(|thing| format!("the device {thing}")).collect())
    }

    /// Restarts a domain in place. It stays paused.
    ///
    /// # Errors
    /// The domain is gone, or not HVM, or its guest has not asked for a soft reset: then nothing was done. Or the domain's
    /// command line makes this fail: then libxl destroys the domain.
    pub fn soft_reset(&mut self, id: DomainId) -> Result<()> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::Other, why));
        let d = self.get(id)?;
        if !d.hvm {
            return refuse("only an HVM domain can be soft-reset");
        }
        if d.shutdown != Some(ShutdownReason::SOFT_RESET.0) {
            let is = d.words();
            return refuse(&format!(
                "the domain has not asked for a soft reset: it is {is}"
            ));
        }
        if d.guest.fail_soft_reset {
            self.kill(id)?;
            return refuse("soft reset failed (simulated)");
        }
        let d = self.get(id)?;
        d.shutdown = None;
        d.announced = false;
        d.orphaned = false;
        d.paused = true;
        d.started = false;
        d.plans.clear();
        Ok(())
    }

    pub(super) fn insert(&mut self, d: SimDomain) -> u32 {
        let domid = self.next_domid;
        self.next_domid += 1;
        self.domains.insert(domid, d);
        domid
    }

    pub(super) fn named(&self, name: &str) -> Option<u32> {
        self.domains
            .iter()
            .find(|(_, d)| d.name.as_deref() == Some(name))
            .map(|(domid, _)| *domid)
    }

    pub(super) fn get(&mut self, id: DomainId) -> Result<&mut SimDomain> {
        let gone = || Error::new(ErrorKind::NotFound, format!("domain {id} does not exist"));
        match self.domains.get_mut(&id.domid) {
            Some(d) if d.uuid != id.uuid => {
                self.foreign += 1;
                Err(gone())
            }
            Some(d) if d.dying_until.is_none() => Ok(d),
            _ => Err(gone()),
        }
    }
}

/// Returns the disks and interface names of `spec` that only one domain can have, as Xen's scripts and QEMU ensure.
fn holds(spec: &Spec) -> BTreeSet<String> {
    let disks = spec.disks.iter().filter(|d| !d.read_only && !d.shared);
    let names = spec.nics.iter().filter_map(|nic| nic.vif.clone());
    disks.map(|d| d.path.clone()).chain(names).collect()
}
