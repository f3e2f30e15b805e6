//! Operations on domains through libxl contexts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libxl::xenstore::Xenstore;
use libxl::{Context, DomainInfo, Saving, Trigger};
use uuid::Uuid;

use super::concurrency::Concurrency;
use super::contexts::{Contexts, Lent, run};
use super::hotplug::Hotplug;
use super::memory_grant::{self, MemoryGrants};
use super::migration;
use super::pci;
use super::qemu::{self, Models};
use super::shared_list::SharedList;
use super::translate::{error, seen, theirs, translate};
use super::unconnected;
use crate::base::progress::Progress;
use crate::spec::claims::{Claims, Taken};
use crate::spec::settings::Autoballoon;
use crate::spec::{PciAddress, Spec, feasibility, render};
use crate::toolstack::domain::{DomainId, HostInfo, HostPci, Seen, Usage};
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::host_facts::facts_of_this_host;
use crate::toolstack::migration::{Leaving, Peer, Report};
use crate::toolstack::operation::Limits;
use crate::toolstack::refusals;
use crate::toolstack::session::{MemoryGrant, Need, Session};

/// Offloads that one end of a network interface may leave to the other, as named in xenstore after `feature-`.
const OFFLOADS: [&str; 5] = [
    "sg",
    "gso-tcpv4",
    "gso-tcpv6",
    "ipv4-csum-offload",
    "ipv6-csum-offload",
];

/// Time that a device model gets to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);

/// The session of one worker, with what all sessions share.
pub(super) struct LibxlSession {
    /// Context for calls that return at once.
    pub(super) reader: Context,
    pub(super) contexts: Arc<Contexts>,
    pub(super) queues: Arc<Concurrency>,
    pub(super) models: Arc<Models>,
    pub(super) grants: Arc<MemoryGrants>,
    pub(super) lists: Arc<SharedList<Vec<DomainInfo>>>,
    pub(super) hotplug: Arc<Hotplug>,
}

impl LibxlSession {
    /// Returns all domains, as they are now.
    fn all(&mut self) -> Result<Arc<Vec<DomainInfo>>> {
        let lists = Arc::clone(&self.lists);
        let reader = self.reader()?;
        lists.get(|| reader.list_domains().map_err(error))
    }

    pub(super) fn reader(&mut self) -> Result<&Context> {
        if self.reader.is_poisoned() {
            self.reader = self.contexts.shared()?;
        }
        Ok(&self.reader)
    }

    /// Returns the domain on a context of its own, for an operation with long steps.
    pub(super) fn domain(&self, id: DomainId, limits: &Limits) -> Result<Lent> {
        refuse_dom0(id)?;
        Ok(Lent::new(self.contexts.lend(limits)?, theirs(id)))
    }

    /// Returns the domain for calls that return at once.
    pub(super) fn read(&mut self, id: DomainId) -> Result<libxl::Domain> {
        refuse_dom0(id)?;
        Ok(self.reader()?.domain(theirs(id)))
    }

    /// Returns the domain on the context that all sessions share, for [`run`].
    fn shared(&self, id: DomainId) -> Result<libxl::Domain> {
        refuse_dom0(id)?;
        Ok(self.contexts.shared()?.domain(theirs(id)))
    }
}

/// dom0 is refused, whatever a config says.
fn refuse_dom0(id: DomainId) -> Result<()> {
    if id.domid == 0 {
        return Err(Error::new(ErrorKind::NotFound, "domain 0 is not ours"));
    }
    Ok(())
}

impl Session for LibxlSession {
    fn info(&mut self, id: DomainId) -> Result<Option<Seen>> {
        let models = Arc::clone(&self.models);
        let reader = self.reader()?;
        match reader.domain(theirs(id)).info() {
            Ok(info) => Ok(Some(seen(reader, &models, &info))),
            Err(e) if e.is_domain_gone() => Ok(None),
            Err(e) => Err(error(e)),
        }
    }

    fn find(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Seen>> {
        let models = Arc::clone(&self.models);
        let all = self.all()?;
        let reader = self.reader()?;
        // Each name takes a request to xenstored, so only the names of wanted domains are read.
        Ok(all
            .iter()
            .filter(|d| d.domid.0 != 0 && wanted(d.uuid))
            .map(|d| seen(reader, &models, d))
            .collect())
    }

    fn taken(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Taken>> {
        let all = self.all()?;
        let reader = self.reader()?;
        let mut taken = Vec::new();
        for info in all.iter() {
            if info.domid.0 == 0 || info.dying || !wanted(info.uuid) {
                continue;
            }
            let domain = reader.domain(info.id());
            let devices = domain
                .disk_list()
                .and_then(|disks| Ok((disks, domain.nic_list()?)));
            let (disks, nics) = match devices {
                Ok(devices) => devices,
                Err(e) if e.is_domain_gone() => continue,
                Err(e) => return Err(error(e)),
            };
            let disks = disks.into_iter();
            let disks = disks.filter_map(|d| Some((d.pdev_path?, d.readwrite)));
            let nics = nics.into_iter();
            let nics = nics.filter_map(|n| Some((n.mac?.to_string(), n.bridge, n.ifname)));
            let name = reader.domid_to_name(info.domid).unwrap_or_default();
            taken.push(Taken {
                owner: format!("domain {} ({name})", info.domid.0),
                claims: Claims::of_other(disks, nics),
            });
        }
        Ok(taken)
    }

    fn facts_for(&mut self, spec: &Spec) -> Result<feasibility::Facts> {
        let processors = self.reader()?.max_cpus().map_err(error)?;
        facts_of_this_host(spec, processors)
            .map_err(|e| Error::new(ErrorKind::Other, format!("the host's network: {e}")))
    }

    fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>> {
        let domain = self.domain(id, &Limits::default())?;
        let limits = libxl::Limits::none().deadline(PATIENCE);
        let said = domain
            .qemu_monitor_command("info vnc")
            .and_then(|op| op.limits(&limits).wait())
            .map_err(error)?;
        Ok(qemu::vnc_display(&said))
    }

    fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>> {
        unconnected::of(&self.reader()?.domain(theirs(id)))
    }

    fn grant_memory(
        &mut self,
        need: Need<'_>,
        policy: Autoballoon,
        limits: &Limits,
    ) -> Result<Option<Box<dyn MemoryGrant>>> {
        let xen = self.reader()?.version_info().map_err(error)?;
        if !memory_grant::is_wanted(policy, &xen.commandline) {
            return Ok(None);
        }
        let grants = Arc::clone(&self.grants);
        let needed = match need {
            Need::Build(spec) => {
                let config = render::domain_config(spec);
                let needed = self.reader()?.domain_need_memory(&config);
                needed.map_err(error)?
            }
            Need::Growth(id, mib) => {
                let info = self.read(id)?.info().map_err(error)?;
                (mib << 10).saturating_sub(info.current_memkb)
            }
        };
        if needed == 0 {
            return Ok(None);
        }
        let grant = grants.make(|| self.contexts.lend(limits), needed, limits)?;
        Ok(Some(Box::new(grant)))
    }

    fn create(&mut self, spec: &Spec, limits: &Limits) -> Result<DomainId> {
        if let Some(e) = refusals::missing_qemu(spec, qemu::serves_dom0) {
            return Err(e);
        }
        let mut config = render::domain_config(spec);
        self.hotplug.domain(&mut config);
        // A place first: who waits for one holds no context.
        let _place = self.queues.builds.take(&limits.abort, limits.urgent)?;
        let created = self
            .contexts
            .lend(limits)?
            .domain_create_new(&config)
            .and_then(|op| op.limits(&translate(limits)).wait())
            .map_err(|e| {
                // A config that the checks of the libxl crate refuse is refused for good. `Invalid` from libxl itself may
                // mean a name that is taken for the moment.
                let for_good = e.raw_code().is_none() && e.kind() == libxl::ErrorKind::Invalid;
                let mut e = error(e);
                if for_good {
                    e.kind = ErrorKind::InvalidConfig;
                }
                if e.message.contains("device model did not start") {
                    let words = qemu::last_words(Path::new("/var/log/xen"), &spec.name);
                    e.message
                        .extend(words.into_iter().flat_map(|words| ["; ".to_owned(), words]));
                }
                e
            })?;
        Ok(DomainId {
            domid: created.domid.0,
            uuid: created.uuid,
        })
    }

    fn save(
        &mut self,
        id: DomainId,
        path: &Path,
        report: &mut dyn FnMut(Progress),
        limits: &Limits,
    ) -> Result<()> {
        let tell = |progress: &libxl::Progress| migration::tell(report, progress);
        let saving = Saving::new().limits(&translate(limits)).progress(tell);
        // The suspended domain is not destroyed here, but only once the save is known for good.
        let saved = self.domain(id, limits)?.save_file(path, saving).map(drop);
        saved.map_err(migration::with_words)
    }

    fn restore(&mut self, spec: &Spec, path: &Path, limits: &Limits) -> Result<DomainId> {
        let place = |e: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Other, format!("{}: {e}", path.display()))
        };
        let file = File::open(path).map_err(|e| place(&e))?;
        let _place = self.queues.builds.take(&limits.abort, limits.urgent)?;
        let own = self.contexts.lend(limits)?;
        let domain = own.restore(&file, &translate(limits));
        let domain = domain.map_err(|e| {
            let e = error(e);
            Error::new(e.kind, format!("{}: {e}", path.display()))
        })?;
        let found = domain.id();
        let id = DomainId {
            domid: found.domid.0,
            uuid: found.uuid,
        };
        if id.uuid != spec.uuid {
            let stranger = domain.destroy().limits(&translate(limits)).wait();
            let left = stranger
                .err()
                .map(|e| format!(", and could not be destroyed: {e}"));
            return Err(place(&format!(
                "it is of another domain, {}{}",
                id.uuid,
                left.unwrap_or_default()
            )));
        }
        Ok(id)
    }

    fn send(
        &mut self,
        id: DomainId,
        peer: Peer,
        live: bool,
        report: Report<'_>,
        limits: &Limits,
    ) -> Result<Box<dyn Leaving>> {
        let domain = self.domain(id, limits)?;
        migration::send(domain, &self.hotplug, peer, live, report, limits)
    }

    fn take_back(&mut self, id: DomainId, name: &str, limits: &Limits) -> Result<()> {
        let domain = self.domain(id, limits)?;
        migration::take_back(&domain, name)
    }

    fn land(&mut self, id: DomainId, name: &str, limits: &Limits) -> Result<()> {
        migration::land(&self.shared(id)?, name, limits)
    }

    fn resume(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        self.domain(id, limits)?.resume(true).map_err(error)
    }

    fn withdraw_suspend(&mut self, id: DomainId) -> Result<bool> {
        self.shared(id)?.withdraw_suspend().map_err(error)
    }

    fn no_offload(&mut self, id: DomainId, interfaces: usize) -> Result<()> {
        let store = Xenstore::open().map_err(error)?;
        for devid in 0..interfaces {
            for end in [
                format!("/local/domain/0/backend/vif/{id}/{devid}"),
                format!("/local/domain/{id}/device/vif/{devid}"),
            ] {
                for feature in OFFLOADS {
                    store
                        .write(&format!("{end}/feature-{feature}"), "0")
                        .map_err(error)?;
                }
            }
        }
        Ok(())
    }

    fn unpause(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        run(self.shared(id)?.unpause(), limits)
    }

    fn pause(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        run(self.shared(id)?.pause(), limits)
    }

    fn shutdown(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        run(self.shared(id)?.shutdown(), limits)
    }

    fn power_button(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        run(self.shared(id)?.send_trigger(Trigger::Power, 0), limits)
    }

    fn destroy(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        let _place = self
            .queues
            .destructions
            .take(&limits.abort, limits.urgent)?;
        // libxl waits for the driver of a PCI device, for ten seconds if need be, and holds its lock meanwhile.
        let has_devices = !matches!(self.read(id)?.pci_list(), Ok(devices) if devices.is_empty());
        if has_devices {
            let destroy = self.domain(id, limits)?.destroy();
            return destroy.limits(&translate(limits)).wait().map_err(error);
        }
        run(self.shared(id)?.destroy(), limits)
    }

    fn core_dump(&mut self, id: DomainId, path: &Path, limits: &Limits) -> Result<()> {
        let dump = self.domain(id, limits)?.core_dump(path).map_err(error)?;
        dump.limits(&translate(limits)).wait().map_err(error)
    }

    fn preserve(&mut self, id: DomainId, suffix: &str, limits: &Limits) -> Result<()> {
        self.domain(id, limits)?
            .preserve(suffix)
            .map(drop)
            .map_err(error)
    }

    fn strip(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let mut result = Ok(());
        for disk in domain.disk_list().map_err(error)? {
            let gone = domain.disk_destroy(&disk);
            let gone = gone.and_then(|op| op.limits(&translate(limits)).wait());
            result = result.and(gone.map_err(error));
        }
        for nic in domain.nic_list().map_err(error)? {
            let gone = domain.nic_destroy(&nic);
            let gone = gone.and_then(|op| op.limits(&translate(limits)).wait());
            result = result.and(gone.map_err(error));
        }
        result
    }

    fn soft_reset(&mut self, id: DomainId, spec: &Spec, limits: &Limits) -> Result<()> {
        let domain = self.domain(id, limits)?;
        let now = domain.retrieve_configuration();
        // The current config includes devices attached since. If libxl has no config, the domain is reset as it was built.
        let config = match now.limits(&translate(limits)).wait() {
            Ok(config) => config,
            Err(e) if e.is_domain_gone() => return Err(error(e)),
            Err(_) => render::domain_config(spec),
        };
        // Without abort and deadline: libxl's asynchronous variant is not safe.
        domain.soft_reset(&config).map_err(error)
    }

    fn pci_devices(&mut self) -> Result<Vec<HostPci>> {
        let mut devices = pci::host()?;
        let all = self.all()?;
        let reader = self.reader()?;
        for info in all.iter() {
            if info.domid.0 == 0 || info.dying {
                continue;
            }
            let theirs = match reader.domain(info.id()).pci_list() {
                Ok(theirs) => theirs,
                Err(e) if e.is_domain_gone() => continue,
                Err(e) => return Err(error(e)),
            };
            let id = DomainId {
                domid: info.domid.0,
                uuid: info.uuid,
            };
            for device in &mut devices {
                if theirs
                    .iter()
                    .any(|pci| pci.address() == device.address.to_string())
                {
                    device.owner = Some(id);
                }
            }
        }
        Ok(devices)
    }

    fn pci_take(&mut self, device: PciAddress) -> Result<()> {
        if pci::is_taken(device) {
            return Ok(());
        }
        let own = self.contexts.lend(&Limits::default())?;
        own.pci_assignable_add(&pci::theirs(device), true)
            .map_err(error)
    }

    fn pci_give_back(&mut self, device: PciAddress, interface: Option<&str>) -> Result<()> {
        // libxl would silently take the device away from a domain.
        let devices = self.pci_devices()?;
        let found = devices.iter().find(|d| d.address == device);
        if let Some(owner) = found.and_then(|d| d.owner) {
            return Err(Error::new(
                ErrorKind::Other,
                format!("domain {owner} has {device}"),
            ));
        }
        let own = self.contexts.lend(&Limits::default())?;
        own.pci_assignable_remove(&pci::theirs(device), true)
            .map_err(error)?;
        pci::settle(device, interface)
    }

    fn console(&mut self, id: DomainId) -> Result<PathBuf> {
        self.read(id)?.primary_console_tty().map_err(error)
    }

    fn host(&mut self) -> Result<HostInfo> {
        let reader = self.reader()?;
        let version = reader.version_info().map_err(error)?;
        let memory = reader.physinfo().map_err(error)?;
        let free = memory.free_pages.saturating_sub(memory.outstanding_pages);
        let mib = |pages: u64| (pages * u64::from(version.pagesize)) >> 20;
        Ok(HostInfo {
            xen_version: version.version(),
            memory_mib: mib(memory.total_pages),
            free_memory_mib: mib(free),
            cpus: memory.nr_cpus,
            cpu_features: memory.hw_cap.to_vec(),
        })
    }

    fn usage(&mut self) -> Result<Vec<Usage>> {
        let all = self.all()?;
        let usage = |info: &DomainInfo| Usage {
            id: DomainId {
                domid: info.domid.0,
                uuid: info.uuid,
            },
            cpu_time_ns: info.cpu_time_ns,
            vcpus: info.vcpu_online,
            memory_kib: info.current_memkb,
            max_memory_kib: info.max_memkb,
        };
        Ok(all.iter().map(usage).collect())
    }
}
