//! Facts about domains and about the host, as Xen reports them.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::spec::{PciAddress, ShutdownReason};

/// One incarnation of a domain. The domid alone is not an identity: Xen reuses domids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DomainId {
    /// Xen's number for the domain.
    pub domid: u32,
    /// The uuid that the domain was created with: that of its DomainConfig.
    pub uuid: Uuid,
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.domid.fmt(f)
    }
}

/// State of a domain, derived from Xen's flags: the first variant that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// The domain will never run again; the hypervisor is still tearing it down.
    Dying,
    /// The domain has shut down (or suspended) and waits for the toolstack.
    Shutdown(ShutdownReason),
    /// Paused by a toolstack.
    Paused,
    /// Running, blocked, or waiting for a processor.
    Running,
}

/// A domain as Xen reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Domid and uuid.
    pub id: DomainId,
    /// The domain's name, if it has one.
    pub name: Option<String>,
    /// Running, paused, shut down or dying.
    pub life: Life,
    /// Processor time used, in nanoseconds: zero as long as the domain has never run.
    pub cpu_time_ns: u64,
    /// Memory of the domain, in KiB.
    pub memory_kib: u64,
    /// The domain had a device model, which has ended: the devices that it emulated or served are dead.
    pub orphaned: bool,
}

/// Version and size of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInfo {
    /// Version of the running hypervisor.
    pub xen_version: String,
    /// Total memory, in MiB.
    pub memory_mib: u64,
    /// Memory that belongs to no domain, in MiB.
    pub free_memory_mib: u64,
    /// Number of physical processors.
    pub cpus: u32,
    /// Features of the processors, as Xen counts them; empty if they are not known.
    pub cpu_features: Vec<u32>,
}

/// Resources that a domain uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Domid and uuid. dom0 is included.
    pub id: DomainId,
    /// Processor time since the domain was built, in nanoseconds, summed over its vCPUs.
    pub cpu_time_ns: u64,
    /// Number of vCPUs that are online.
    pub vcpus: u32,
    /// Memory of the domain, in KiB.
    pub memory_kib: u64,
    /// Limit of the domain's memory, in KiB.
    pub max_memory_kib: u64,
}

/// A PCI device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPci {
    /// PCI address: domain, bus, device and function.
    pub address: PciAddress,
    /// Driver of the host that the device is bound to.
    pub driver: Option<String>,
    /// Network interfaces of the host on this device.
    pub interfaces: Vec<String>,
    /// The device has been taken from the host, and can be given to domains.
    pub assignable: bool,
    /// The domain that has the device.
    pub owner: Option<DomainId>,
}
