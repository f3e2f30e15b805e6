//! The traits through which everything else uses Xen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::libxl::xlcfg::Host;
use uuid::Uuid;

use super::domain::{DomainId, HostInfo, HostPci, Seen, Usage};
use super::error::Result;
use super::live::Live;
use super::migration::{Arriving, Leaving, Peer, Report};
use super::operation::Limits;
use crate::base::progress::Progress;
use crate::base::queue::Queues;
use crate::spec::claims::Taken;
use crate::spec::feasibility;
use crate::spec::settings::Autoballoon;
use crate::spec::{PciAddress, Spec};

/// Called when something may have happened to a domain.
///
/// The call is a hint, never a fact: the receiver reads the state. The callback must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A watch on one domain, which ends when this is dropped.
pub trait Watch: Send {}

/// Memory that is kept free for one domain until this is dropped.
pub trait MemoryGrant: Send {}

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

    /// Returns the uuid of the domain whose memory is in the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not that of a saved domain.
    fn saved_uuid(&self, path: &Path) -> Result<Uuid>;

    /// Begins to receive a domain from the sender at the other end: reads its configuration.
    ///
    /// # Errors
    /// The other end is no sender, or does not send a whole configuration. `limits` are for all that
    /// is received.
    fn arriving(&self, peer: Peer, limits: &Limits) -> Result<Box<dyn Arriving>>;

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

/// Purpose of memory.
#[derive(Clone, Copy, Debug)]
pub enum Need<'a> {
    /// A domain that is to be built.
    Build(&'a Spec),
    /// A domain that runs, and is to have so many MiB.
    Growth(DomainId, u64),
}

/// One thread's connection to the hypervisor. All calls block.
///
/// Calls that name a [`DomainId`] fail with [`ErrorKind::NotFound`](super::ErrorKind::NotFound), and do nothing, if the domid is gone or now belongs to
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
    fn facts_for(&mut self, spec: &Spec) -> Result<feasibility::Facts>;

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

    /// Makes dom0 give back memory that is needed and that Xen does not have free, where `policy` says so.
    ///
    /// `None` means that nothing had to be done, or may be done.
    ///
    /// # Errors
    /// [`ErrorKind::NoMemory`](super::ErrorKind::NoMemory) if dom0 does not give enough back.
    fn grant_memory(
        &mut self,
        need: Need<'_>,
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
    /// `report` is told how much of the memory is written.
    ///
    /// # Errors
    /// Of any kind. The guest may still be suspended, if it could not be resumed: check its state.
    fn save(
        &mut self,
        id: DomainId,
        path: &Path,
        report: &mut dyn FnMut(Progress),
        limits: &Limits,
    ) -> Result<()>;

    /// Creates the domain of `spec` from a file written by [`Session::save`], paused.
    ///
    /// # Errors
    /// Of any kind. A half-built domain may be left behind: look for it.
    fn restore(&mut self, spec: &Spec, path: &Path, limits: &Limits) -> Result<DomainId>;

    /// Sends the guest to the host at the other end, while it runs, suspends it, and sends the rest. It has not been given away
    /// afterwards. If not `live`, it is suspended first.
    ///
    /// `report` is told how much of the memory is sent.
    ///
    /// # Errors
    /// Of any kind. The guest goes on; it may still be suspended, if it could not be resumed: check its state.
    fn send(
        &mut self,
        id: DomainId,
        peer: Peer,
        live: bool,
        report: Report<'_>,
        limits: &Limits,
    ) -> Result<Box<dyn Leaving>>;

    /// Gives a domain that was given away its name again, and resumes it if it is suspended. Its guest must run nowhere else.
    ///
    /// # Errors
    /// Of any kind; the domain is not suspended.
    fn take_back(&mut self, id: DomainId, name: &str, limits: &Limits) -> Result<()>;

    /// Gives a received domain its name, and lets it run, if it does not yet.
    ///
    /// # Errors
    /// Of any kind.
    fn land(&mut self, id: DomainId, name: &str, limits: &Limits) -> Result<()>;

    /// Resumes a suspended domain where it stopped.
    ///
    /// # Errors
    /// Of any kind; the domain is not suspended.
    fn resume(&mut self, id: DomainId, limits: &Limits) -> Result<()>;

    /// Takes back a request to suspend that the guest has not acknowledged. Returns whether there was one.
    ///
    /// # Errors
    /// Of any kind. The request may still stand.
    fn withdraw_suspend(&mut self, id: DomainId) -> Result<bool>;

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
    /// [`ErrorKind::NoParavirt`](super::ErrorKind::NoParavirt) if the guest cannot be asked this way, [`ErrorKind::TimedOut`](super::ErrorKind::TimedOut) if it does not answer.
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
    /// [`ErrorKind::Unsupported`](super::ErrorKind::Unsupported) if the toolstack cannot do this.
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
