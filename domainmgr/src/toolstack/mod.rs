//! What the agent needs of Xen, as two traits, so that everything above can be run without it.
//!
//! [`libxl`] is the real one, [`sim`] an in-memory model of Xen's semantics.

mod abort;
mod build_slots;
mod error;
pub mod libxl;
mod link;
pub mod live;
mod memory_grant;
mod network;
mod pci;
mod qemu;
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
use crate::settings::Autoballoon;
use crate::spec::{PciAddress, Spec};

/// One incarnation of a domain. The number alone is not an identity: Xen reuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DomainId {
    /// Xen's number.
    pub domid: u32,
    /// The uuid the domain was created with: that of its DomainConfig.
    pub uuid: Uuid,
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.domid.fmt(f)
    }
}

/// Why a domain shut down. The guest chooses the number freely, so this is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShutdownReason(pub u8);

impl ShutdownReason {
    /// The guest powered itself off.
    pub const POWEROFF: Self = Self(0);
    /// The guest wants to be started again.
    pub const REBOOT: Self = Self(1);
    /// The guest suspended, for a save or a migration. Not an end.
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

/// What a domain is doing. One word out of Xen's flags: the first of these that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// It will never run again; the hypervisor is still taking it apart.
    Dying,
    /// It has shut down (or suspended) and waits for the toolstack.
    Shutdown(ShutdownReason),
    /// Paused by a toolstack.
    Paused,
    /// Running, blocked, or waiting for a processor.
    Running,
}

/// A domain as Xen reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which one.
    pub id: DomainId,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What it is doing.
    pub life: Life,
    /// Processor time it has used: zero as long as it never ran.
    pub cpu_time_ns: u64,
    /// Memory it has, in KiB.
    pub memory_kib: u64,
    /// It had a device model, which has ended: the devices that it emulated or served are dead.
    pub orphaned: bool,
}

/// What the host is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInfo {
    /// The running hypervisor's version.
    pub xen_version: String,
    /// All memory, in MiB.
    pub memory_mib: u64,
    /// Memory that no domain has, in MiB.
    pub free_memory_mib: u64,
    /// Physical processors.
    pub cpus: u32,
}

/// What a domain uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which one; dom0 is among them.
    pub id: DomainId,
    /// Processor time since it was built, all its processors together.
    pub cpu_time_ns: u64,
    /// Processors it has switched on.
    pub vcpus: u32,
    /// Memory it has, in KiB.
    pub memory_kib: u64,
    /// Memory it may have, in KiB.
    pub max_memory_kib: u64,
}

/// A PCI device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPci {
    /// Where it is.
    pub address: PciAddress,
    /// The driver in the host that has it.
    pub driver: Option<String>,
    /// The host's network interfaces on it.
    pub interfaces: Vec<String>,
    /// It is taken from the host: domains can have it.
    pub assignable: bool,
    /// The domain that has it.
    pub owner: Option<DomainId>,
}

/// How long an operation may take, and the way to end it early.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// From outside.
    pub abort: AbortToken,
    /// By time.
    pub deadline: Option<Duration>,
}

/// Called when something may have happened to a domain. A hint, never a fact: state is read. Must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Watches one domain until it is dropped.
pub trait Watch: Send {}

/// Memory that is free for one domain, until this is dropped.
pub trait MemoryGrant: Send {}

/// The facts about this host, which has so many processors, on which it depends whether `spec` can be built.
///
/// # Errors
/// From the file system.
pub fn facts_of_this_host(spec: &Spec, processors: u32) -> std::io::Result<host::Facts> {
    // There may be thousands.
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

/// The way to a hypervisor. Shared by all threads.
pub trait Toolstack: Send + Sync {
    /// A session of the caller's own.
    ///
    /// # Errors
    /// The hypervisor cannot be reached.
    fn session(&self) -> Result<Box<dyn Session>>;

    /// Calls `wake` whenever something may have happened to `id`. What happened before is for the caller to look at.
    ///
    /// # Errors
    /// The watch cannot be set.
    fn watch(&self, id: DomainId, wake: Wake) -> Result<Box<dyn Watch>>;

    /// Identifies the present run of the host: another one after every reboot. A domain's number means nothing in
    /// another run.
    ///
    /// # Errors
    /// The host does not say.
    fn boot_id(&self) -> Result<Uuid>;

    /// The facts about the host on which the meaning of a file of xl's depends.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn host(&self) -> Result<Host>;
}

/// One thread's connection. Its calls block. Those that name a [`DomainId`] fail with [`ErrorKind::NotFound`], and do
/// nothing, if that domid is gone or now belongs to a domain with another uuid.
pub trait Session: Live + Send {
    /// The state and the name of one domain; `None` if it is gone.
    ///
    /// # Errors
    /// The hypervisor did not answer. Says nothing about the domain.
    fn info(&mut self, id: DomainId) -> Result<Option<Seen>>;

    /// Every domain whose uuid is `wanted`, with its name, in order of their numbers.
    ///
    /// # Errors
    /// The hypervisor did not answer. Says nothing about the domains.
    fn find(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Seen>>;

    /// What the domains have whose uuid is `wanted`: disks and network interfaces.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn taken(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Taken>>;

    /// The facts about the host on which it depends whether `spec` can be built.
    ///
    /// # Errors
    /// The host does not say.
    fn facts_for(&mut self, spec: &Spec) -> Result<host::Facts>;

    /// The number of the VNC display that a domain has; `None`: it has none, or nobody says.
    ///
    /// # Errors
    /// Its device model does not answer.
    fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>>;

    /// Words for the devices of a domain that its guest has not connected to, and cannot have in another way.
    ///
    /// # Errors
    /// They cannot be listed.
    fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>>;

    /// Has dom0 give back memory that the domain needs and Xen does not have, where `policy` says so. `None`: nothing had
    /// to be done, or may be done.
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
    /// Of any kind. A half-built domain may be left behind: look.
    fn create(&mut self, spec: &Spec, limits: &Limits) -> Result<DomainId>;

    /// Suspends the guest and writes its memory to a file that `xl restore` reads, too, whole or not at all. It stays
    /// suspended then; if anything fails, it goes on.
    ///
    /// # Errors
    /// Of any kind. It may be suspended still, if it could not be resumed: look.
    fn save(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()>;

    /// Creates the domain of `spec` from such a file, paused.
    ///
    /// # Errors
    /// Of any kind. A half-built domain may be left behind: look.
    fn restore(&mut self, spec: &Spec, path: &Path, limits: &Limits) -> Result<DomainId>;

    /// Lets a suspended domain go on where it was.
    ///
    /// # Errors
    /// Of any kind; it is not suspended.
    fn resume(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Has the guest compute checksums and cut large packets itself, on so many interfaces: a domain behind it, to which it
    /// hands packets on, cannot know that this is still to be done. Before the domain runs.
    ///
    /// # Errors
    /// Xenstore does not take it.
    fn no_offload(&mut self, id: DomainId, interfaces: usize) -> Result<()>;

    /// Lets a paused domain run.
    ///
    /// # Errors
    /// Of any kind.
    fn unpause(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Takes the processors of a running domain from it.
    ///
    /// # Errors
    /// Of any kind.
    fn pause(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Asks the guest to power off and waits for it to acknowledge, not for the end.
    ///
    /// # Errors
    /// [`ErrorKind::NoParavirt`] if the guest cannot be asked this way, [`ErrorKind::TimedOut`] if it does not answer.
    fn shutdown(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Presses the power button of a fully virtualised domain.
    ///
    /// # Errors
    /// Of any kind; a PV or PVH domain has no such button.
    fn power_button(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Destroys the domain and waits until it is taken apart.
    ///
    /// # Errors
    /// Of any kind. It may be gone, or half gone, nevertheless: look.
    fn destroy(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Writes the domain's memory to a file.
    ///
    /// # Errors
    /// Of any kind.
    fn core_dump(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()>;

    /// Keeps a domain that has shut down for inspection, with `suffix` added to its name. The
    /// hypervisor goes on reporting its uuid.
    ///
    /// # Errors
    /// Of any kind.
    fn preserve(&mut self, id: DomainId, suffix: &str, limits: &Limits) -> Result<()>;

    /// Takes the disks and the network interfaces from a domain that has shut down, without asking its guest.
    ///
    /// # Errors
    /// The first that cannot be taken; the others are.
    fn strip(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Restarts a fully virtualised domain in place.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the toolstack cannot.
    fn soft_reset(&mut self, id: DomainId, spec: &Spec, limits: &Limits) -> Result<()>;

    /// The terminal of the domain's primary console.
    ///
    /// # Errors
    /// It has none.
    fn console(&mut self, id: DomainId) -> Result<PathBuf>;

    /// The PCI devices of the host.
    ///
    /// # Errors
    /// They cannot be listed.
    fn pci_devices(&mut self) -> Result<Vec<HostPci>>;

    /// Takes a device from the host, so that domains can have it. What is taken already stays so.
    ///
    /// # Errors
    /// The host keeps it; why.
    fn pci_take(&mut self, device: PciAddress) -> Result<()>;

    /// Gives a device back to the driver that had it, and the name back to its network interface.
    ///
    /// # Errors
    /// A domain has it: nothing was done. Or it has no driver, or another name, now.
    fn pci_give_back(&mut self, device: PciAddress, interface: Option<&str>) -> Result<()>;

    /// What the host is.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn host(&mut self) -> Result<HostInfo>;

    /// What every domain uses, dom0 included, in order of their numbers.
    ///
    /// # Errors
    /// The hypervisor did not answer.
    fn usage(&mut self) -> Result<Vec<Usage>>;
}
