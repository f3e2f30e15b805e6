//! The agent's interface to Xen: two traits, so that everything above them can run without Xen.
//!
//! [`libxl`] implements them for the real Xen, [`sim`] for an in-memory model of Xen's semantics.

mod abort;
mod error;
pub mod libxl;
mod link;
pub mod live;
mod memory_grant;
mod network;
mod pci;
mod qemu;
mod shared_list;
pub mod sim;
mod sysfs;
pub mod xenstored;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::libxl::xlcfg::Host;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::abort::AbortToken;
use self::error::no_descriptors;
pub use self::error::{Error, ErrorKind, Result};
pub use self::live::Live;
use crate::host;
use crate::owners::Taken;
use crate::queue::Queues;
use crate::settings::Autoballoon;
use crate::spec::{PciAddress, Spec};

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

/// Reason for which a domain shut down. The guest may choose any number, so this is not an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShutdownReason(pub u8);

impl ShutdownReason {
    /// The guest powered itself off.
    pub const POWEROFF: Self = Self(0);
    /// The guest wants to be started again.
    pub const REBOOT: Self = Self(1);
    /// The guest suspended, for a save or a migration. It has not ended.
    pub const SUSPEND: Self = Self(2);
    /// The guest crashed.
    pub const CRASH: Self = Self(3);
    /// The guest's watchdog fired.
    pub const WATCHDOG: Self = Self(4);
    /// The guest wants a soft reset (kexec).
    pub const SOFT_RESET: Self = Self(5);
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::POWEROFF => "poweroff",
            Self::REBOOT => "reboot",
            Self::SUSPEND => "suspend",
            Self::CRASH => "crash",
            Self::WATCHDOG => "watchdog",
            Self::SOFT_RESET => "soft-reset",
            Self(other) => return write!(f, "reason {other}"),
        })
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

/// Time limit of an operation, and the means to abort it.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Token that ends the operation from outside.
    pub abort: AbortToken,
    /// Longest time that the operation may take.
    pub deadline: Option<Duration>,
    /// A person waits for the operation: it begins before others that have to wait.
    pub urgent: bool,
}

/// Called when something may have happened to a domain.
///
/// The call is a hint, never a fact: the receiver reads the state. The callback must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A watch on one domain, which ends when this is dropped.
pub trait Watch: Send {}

/// Memory that is kept free for one domain until this is dropped.
pub trait MemoryGrant: Send {}

/// Returns the facts about this host, which has so many `processors`, that decide whether `spec` can be built.
///
/// # Errors
/// From the file system: `/sys/class/net` cannot be read.
pub fn facts_of_this_host(spec: &Spec, processors: u32) -> std::io::Result<host::Facts> {
    // A host may have thousands of interfaces, so they are read only if needed.
    let interfaces = if spec.nics.is_empty() {
        Vec::new()
    } else {
        network::interfaces(Path::new("/sys/class/net"))?
    };
    Ok(host::Facts {
        interfaces,
        processors: 0..processors,
        deaf: host::listens(spec).and_then(network::deaf),
    })
}

/// Connection to a hypervisor, shared by all threads.
pub trait Toolstack: Send + Sync {
    /// Opens a session for the caller alone.
    ///
    /// # Errors
    /// The hypervisor cannot be reached.
    fn session(&self) -> Result<Box<dyn Session>>;

    /// Calls `wake` whenever something may have happened to `id`. The caller checks for anything that happened earlier.
    ///
    /// # Errors
    /// The watch cannot be set.
    fn watch(&self, id: DomainId, wake: Wake) -> Result<Box<dyn Watch>>;

    /// Returns the id of the host's current boot, which changes with every reboot. A domid is valid within one boot only.
    ///
    /// # Errors
    /// The id cannot be read.
    fn boot_id(&self) -> Result<Uuid>;

    /// Returns the queues in which operations wait for each other.
    fn queues(&self) -> Queues {
        Queues::new()
    }

    /// Returns the facts about the host that the meaning of an xl config depends on.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn host(&self) -> Result<Host>;
}

/// One thread's connection to the hypervisor. All calls block.
///
/// Calls that name a [`DomainId`] fail with [`ErrorKind::NotFound`], and do nothing, if the domid is gone or now belongs to
/// a domain with another uuid.
pub trait Session: Live + Send {
    /// Returns the state and the name of one domain; `None` if the domain is gone.
    ///
    /// # Errors
    /// The hypervisor did not answer. The error says nothing about the domain.
    fn info(&mut self, id: DomainId) -> Result<Option<Seen>>;

    /// Returns every domain whose uuid is `wanted`, with its name, in order of domids.
    ///
    /// # Errors
    /// The hypervisor did not answer. The error says nothing about the domains.
    fn find(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Seen>>;

    /// Returns the disks and network interfaces of the domains whose uuid is `wanted`.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn taken(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Taken>>;

    /// Returns the facts about the host that decide whether `spec` can be built.
    ///
    /// # Errors
    /// The facts cannot be read.
    fn facts_for(&mut self, spec: &Spec) -> Result<host::Facts>;

    /// Returns the number of the domain's VNC display; `None` if there is none, or if the number is unknown.
    ///
    /// # Errors
    /// The device model does not answer.
    fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>>;

    /// Describes the devices of a domain that the guest has not connected to, and cannot use in another way.
    ///
    /// # Errors
    /// The devices cannot be listed.
    fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>>;

    /// Makes dom0 give back memory that the domain needs and Xen does not have, where `policy` says so.
    ///
    /// `None` means that nothing had to be done, or may be done.
    ///
    /// # Errors
    /// [`ErrorKind::NoMemory`] if dom0 does not give enough back.
    fn grant_memory(
        &mut self,
        spec: &Spec,
        policy: Autoballoon,
        limits: &Limits,
    ) -> Result<Option<Box<dyn MemoryGrant>>>;

    /// Creates the domain, paused.
    ///
    /// # Errors
    /// Of any kind. A half-built domain may be left behind: look for it.
    fn create(&mut self, spec: &Spec, limits: &Limits) -> Result<DomainId>;

    /// Suspends the guest and writes its memory to a file that `xl restore` reads, too.
    ///
    /// A failed save leaves no partial file. The guest stays suspended after a save; if anything fails, it is resumed.
    ///
    /// # Errors
    /// Of any kind. The guest may still be suspended, if it could not be resumed: check its state.
    fn save(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()>;

    /// Creates the domain of `spec` from a file written by [`Session::save`], paused.
    ///
    /// # Errors
    /// Of any kind. A half-built domain may be left behind: look for it.
    fn restore(&mut self, spec: &Spec, path: &Path, limits: &Limits) -> Result<DomainId>;

    /// Resumes a suspended domain where it stopped.
    ///
    /// # Errors
    /// Of any kind; the domain is not suspended.
    fn resume(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Makes the guest compute checksums and segment large packets itself, on its first `interfaces` interfaces.
    ///
    /// A domain to which the guest forwards packets cannot know that this work is still to be done. The setting must be made
    /// before the domain runs.
    ///
    /// # Errors
    /// Xenstore does not accept the setting.
    fn no_offload(&mut self, id: DomainId, interfaces: usize) -> Result<()>;

    /// Lets a paused domain run.
    ///
    /// # Errors
    /// Of any kind.
    fn unpause(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Stops the vCPUs of a running domain.
    ///
    /// # Errors
    /// Of any kind.
    fn pause(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Asks the guest to power off and waits for its acknowledgement, not for the end of the domain.
    ///
    /// # Errors
    /// [`ErrorKind::NoParavirt`] if the guest cannot be asked this way, [`ErrorKind::TimedOut`] if it does not answer.
    fn shutdown(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Presses the power button of a fully virtualised domain.
    ///
    /// # Errors
    /// Of any kind; a PV or PVH domain has no such button.
    fn power_button(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Destroys the domain and waits until it has been torn down.
    ///
    /// # Errors
    /// Of any kind. The domain may be gone, or half gone, nevertheless: check its state.
    fn destroy(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Writes the domain's memory to a file.
    ///
    /// # Errors
    /// Of any kind.
    fn core_dump(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()>;

    /// Keeps a domain that has shut down for inspection, with `suffix` added to its name. The hypervisor still reports its uuid.
    ///
    /// # Errors
    /// Of any kind.
    fn preserve(&mut self, id: DomainId, suffix: &str, limits: &Limits) -> Result<()>;

    /// Detaches the disks and the network interfaces of a domain that has shut down, without asking the guest.
    ///
    /// # Errors
    /// The error of the first device that cannot be detached. The other devices are detached nevertheless.
    fn strip(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Restarts a fully virtualised domain in place.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the toolstack cannot do this.
    fn soft_reset(&mut self, id: DomainId, spec: &Spec, limits: &Limits) -> Result<()>;

    /// Returns the terminal of the domain's primary console.
    ///
    /// # Errors
    /// The domain has no console.
    fn console(&mut self, id: DomainId) -> Result<PathBuf>;

    /// Returns the PCI devices of the host.
    ///
    /// # Errors
    /// The devices cannot be listed.
    fn pci_devices(&mut self) -> Result<Vec<HostPci>>;

    /// Takes a device from the host, so that it can be given to domains. A device that is taken already stays so.
    ///
    /// # Errors
    /// The host keeps the device; the message gives the reason.
    fn pci_take(&mut self, device: PciAddress) -> Result<()>;

    /// Gives a device back to its former driver, and its network interface its former name.
    ///
    /// # Errors
    /// A domain has the device: nothing was done. Or the device now has no driver, or its interface another name.
    fn pci_give_back(&mut self, device: PciAddress, interface: Option<&str>) -> Result<()>;

    /// Returns the version and the size of the host.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn host(&mut self) -> Result<HostInfo>;

    /// Returns the resources that every domain uses, dom0 included, in order of domids.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn usage(&mut self) -> Result<Vec<Usage>>;
}
