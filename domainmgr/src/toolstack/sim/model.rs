//! The state of a simulated Xen. Time passes, and things happen, only through calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::devices::SimPci;
use super::domain::SimDomain;
pub use super::guest::{ACK, Answer, Guest, Millis};
use super::sources::Events;
use crate::toolstack::domain::{DomainId, HostInfo, Seen, Usage};
use crate::toolstack::error::{Error, ErrorKind, Result};

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
    pub(super) next_domid: u32,
    pub(super) memory_mib: u64,
    pub(super) domains: BTreeMap<u32, SimDomain>,
    /// Numbers of operations on the domains of each uuid, across their incarnations.
    pub(super) history: BTreeMap<Uuid, History>,
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
    /// Domains whose saves have failed.
    #[serde(skip)]
    pub(super) late: Vec<Late>,
    /// Sources of events. They belong to the process, and end with it.
    #[serde(skip)]
    pub(super) events: Events,
    /// Number of operations that were tried on a domid that another domain has.
    #[serde(skip)]
    foreign: u32,
    /// Number of times that a domain was built while another one with its uuid could run.
    #[serde(default)]
    pub(super) doubles: u32,
}

/// A domain whose save has failed. The process looks at it, and that ends with the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) id: DomainId,
    pub(super) next_look: Millis,
    pub(super) until: Millis,
    /// Time for which the domain is looked at once it runs.
    pub(super) time: Millis,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) creates: u32,
    pub(super) unpauses: u32,
    #[serde(default)]
    pub(super) watches: u32,
    pub(super) destroys: u32,
    pub(super) starts: u32,
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
            late: Vec::new(),
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
        self.late.clear();
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
        let domains = self.domains.values().filter_map(SimDomain::next_due);
        domains.chain(self.next_late_look()).min()
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
            self.look_after();
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
            cpu_features: Vec::new(),
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
