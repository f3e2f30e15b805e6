//! The DomainStatus that shows a domain, whichever frontend its wish comes from.

use libxl::config::Pci;

use crate::base::progress::Progress;
use crate::core::{self, Hold, Kept, Pending, State as Phase, Until, View};
use crate::frontends::eve::{
    DiskStatus, DomainConfig, DomainStatus, Job, PreservedDomain, SpentFile, State, UuidAndVersion,
    VifConfig,
};
use crate::frontends::wish::WishFile;
use crate::spec::with_host::OnHostStop;
use crate::spec::{Nic, NicKind};

/// Returns the DomainStatus that shows `view`.
#[must_use]
pub fn of(mut view: View) -> DomainStatus {
    let file = view.origin.as_ref().and_then(|o| WishFile::of(o).ok());
    let mut status = DomainStatus {
        vif_list: interfaces(&view)
            .filter(|_| file.is_some())
            .unwrap_or_default(),
        pci_list: pci_devices(&view),
        ..DomainStatus::default()
    };
    if let Some(file) = &file {
        of_file(&view, file, &mut status);
    }
    if let Some((text, when)) = view.error.take() {
        status.last_err = text;
        status.last_err_time = Some(when);
    }
    if let Some(hold) = view.hold.take() {
        held(hold, &mut status);
    }
    elsewhere(&mut view, &mut status);
    let percent = view.progress.as_ref().map(Progress::percent);
    DomainStatus {
        uuid_and_version: UuidAndVersion {
            uuid: view.key.to_string(),
            version: view.version,
        },
        state: number(view.state),
        state_name: view.state.word().to_owned(),
        activated: view.started,
        pending_add: view.pending == Some(Pending::Add) && view.wanted,
        pending_modify: view.pending == Some(Pending::Modify) && view.wanted,
        pending_delete: !view.wanted,
        domain_name: view.name,
        domain_id: view.domid,
        memory: view.memory_kib,
        boot_time: view.boot_time,
        virtualization_mode: view.mode.number(),
        virtualization_mode_name: view.mode.word().to_owned(),
        tried_count: view.tries,
        boot_failed: view.boot_failed,
        adapters_failed: view.adapters_failed,
        renamed_to: view.renamed_to.unwrap_or_default(),
        state_reason: view.reason,
        suspended_since: view.suspended_since,
        shutdown_reason: view.last_exit,
        shutdown_action: view.last_action,
        vanished: view.vanished,
        spent_files: view.spent.into_iter().map(spent).collect(),
        saved_in: view.saved_in.unwrap_or_default(),
        saved_since: view.saved_since,
        jobs: view.jobs.into_iter().map(|one| job(one, percent)).collect(),
        changed: view.changed,
        waiting: view.waiting,
        preserved: view.preserved.into_iter().map(kept).collect(),
        restarts: view.restarts,
        next_retry: view.next_retry,
        ended: view.ended,
        warnings: view.warnings,
        config_digest: view.digest,
        ..status
    }
}

/// Fills in the hosts that the guest has gone to, or may have.
fn elsewhere(view: &mut View, status: &mut DomainStatus) {
    status.moved_to = view.moved_to.take().unwrap_or_default();
    status.given_to = view.given_to.take().unwrap_or_default();
}

/// Fills in the fields about the hold that an operator has placed.
fn held(hold: Hold, status: &mut DomainStatus) {
    let held = if hold.run { "started" } else { "stopped" };
    status.held = held.to_owned();
    status.held_by = hold.by;
    status.held_until_boot = hold.until == Until::Boot;
    status.held_since = Some(hold.since);
}

/// EVE's number for a state. EVE has fewer states.
fn number(state: Phase) -> State {
    match state {
        Phase::Installed => State::Installed,
        Phase::Booting => State::Booting,
        Phase::Running | Phase::Suspended | Phase::Paused | Phase::Broken => State::Running,
        Phase::Halting => State::Halting,
        Phase::Halted | Phase::Saved | Phase::Preserved => State::Halted,
    }
}

/// An order, and how far the operation under way has come.
fn job(job: core::Job, percent: Option<u8>) -> Job {
    Job {
        id: job.id,
        verb: job.verb,
        by: job.by,
        since: Some(job.since),
        percent: percent.filter(|_| job.ended.is_none()),
        ended: job.ended,
        failure: job.failure.unwrap_or_default(),
    }
}

fn spent((path, since): (String, time::OffsetDateTime)) -> SpentFile {
    SpentFile {
        path,
        since: Some(since),
    }
}

fn kept(kept: Kept) -> PreservedDomain {
    PreservedDomain {
        domain_id: kept.domid,
        domain_name: kept.name.unwrap_or_default(),
        reason: kept.reason,
    }
}

/// Fills in the fields that repeat the DomainConfig.
fn of_eve(view: &View, config: &DomainConfig, status: &mut DomainStatus) {
    status.display_name.clone_from(&config.display_name);
    status.app_num = config.app_num;
    if view.spec.is_none() {
        status.vif_list.clone_from(&config.vif_list);
    }
    status.io_adapter_list.clone_from(&config.io_adapter_list);
    status.enable_vnc = config.enable_vnc;
    status.vnc_display = view.display.unwrap_or(config.vnc_display);
    status.disk_status_list = match &view.disks {
        Some(disks) => disks.iter().map(DiskStatus::ready).collect(),
        None => {
            let list = config.disk_config_list.iter().enumerate();
            list.map(|(i, disk)| DiskStatus::new(disk, i)).collect()
        }
    };
    if let Some(progress) = &view.progress {
        let disks = &mut status.disk_status_list;
        if let Some(disk) = progress.disk.and_then(|i| disks.get_mut(i)) {
            disk.progress = progress.percent();
        }
    }
}

/// Fills in what the file of the domain says.
fn of_file(view: &View, file: &WishFile, status: &mut DomainStatus) {
    match file {
        WishFile::Eve(config) => of_eve(view, config, status),
        WishFile::Xl(file) => of_spec(view, &file.name, status),
        WishFile::Arrived(arrived) => of_spec(view, &arrived.spec.name, status),
    }
    status.activate = file.activate();
    let host = file.with_host();
    status.priority = host.priority;
    status.after = host.after;
    status.on_host_stop = host.on_stop.map_or("", OnHostStop::word).to_owned();
}

/// Fills in the fields of a domain that has no DomainConfig. There are no images to copy, and no adapters with names.
fn of_spec(view: &View, name: &str, status: &mut DomainStatus) {
    name.clone_into(&mut status.display_name);
    let Some(spec) = &view.spec else { return };
    status.enable_vnc = spec.vnc.is_some();
    let asked = spec.vnc.as_ref().and_then(|vnc| vnc.display);
    status.vnc_display = view.display.or(asked).unwrap_or_default();
    status.disk_status_list = spec.disks.iter().map(DiskStatus::ready).collect();
}

/// Addresses of the PCI devices that were not reserved as adapters.
fn pci_devices(view: &View) -> Vec<String> {
    let given = view.spec.as_ref().and_then(|spec| spec.given.as_ref());
    let devices = given.into_iter().flat_map(|given| &given.pcidevs);
    devices.map(Pci::address).collect()
}

/// Network interfaces as the guest has them, or would have them; `None` if unknown.
fn interfaces(view: &View) -> Option<Vec<VifConfig>> {
    let spec = view.spec.as_ref()?;
    let nics = spec.nics.iter().enumerate();
    let number = |i: usize, nic: &Nic| nic.devid.map_or_else(|| i.to_string(), |n| n.to_string());
    let all = nics.map(|(i, nic)| VifConfig {
        bridge: nic.bridge.clone().unwrap_or_default(),
        // Xen's own name, for an interface without a configured name.
        vif: match (&nic.vif, view.domid) {
            (Some(name), _) => name.clone(),
            (None, 0) => String::new(),
            (None, domid) => format!("vif{domid}.{}", number(i, nic)),
        },
        mac: nic.address(),
        r#type: nic.kind.map(NicKind::word).unwrap_or_default().to_owned(),
        mtu: nic.mtu.unwrap_or_default(),
    });
    Some(all.collect())
}
