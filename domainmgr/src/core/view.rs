//! The DomainStatus: the facts as seen from outside.

use super::changing;
use super::facts::{After, Facts, Pending, Want};
use super::order::Until;
use super::reasons;
use crate::eve::{
    DiskStatus, DomainConfig, DomainStatus, PreservedDomain, State, UuidAndVersion, VifConfig,
};
use crate::spec::{Nic, NicKind};
use crate::toolstack::{Life, ShutdownReason};
use crate::wish::Origin;
use crate::xl::File;

/// Returns the DomainStatus that shows the facts `f`.
#[must_use]
pub fn view(f: &Facts) -> DomainStatus {
    let (state, state_name) = state(f);
    let domain = f.domain.as_ref();
    let mode = f.mode();
    let mut status = DomainStatus {
        uuid_and_version: UuidAndVersion {
            uuid: f.uuid.to_string(),
            version: String::new(),
        },
        state,
        state_name: state_name.to_owned(),
        activated: domain.is_some_and(|d| d.started && !d.leftover),
        pending_add: f.pending == Some(Pending::Add) && f.present,
        pending_modify: f.pending == Some(Pending::Modify) && f.present,
        pending_delete: !f.present,
        domain_name: f.name().unwrap_or_default(),
        domain_id: domain.map_or(0, |d| d.id.domid),
        memory: domain.map_or(0, |d| d.memory_kib),
        boot_time: f.boot_time,
        virtualization_mode: mode.number(),
        virtualization_mode_name: mode.word().to_owned(),
        tried_count: f.tries,
        boot_failed: f.boot_failed,
        renamed_to: domain
            .and_then(|d| d.name.clone())
            .filter(|name| Some(name) != f.name().as_ref())
            .unwrap_or_default(),
        state_reason: reasons::of(f),
        suspended_since: domain.and_then(|d| d.suspended),
        shutdown_reason: f.last_exit.clone().unwrap_or_default(),
        shutdown_action: f.last_action.clone().unwrap_or_default(),
        vanished: f.vanished,
        held: match &f.hold {
            None => String::new(),
            Some(hold) if hold.run => "started".to_owned(),
            Some(_) => "stopped".to_owned(),
        },
        held_by: f.hold.as_ref().map(|h| h.by.clone()).unwrap_or_default(),
        held_until_boot: f.hold.as_ref().is_some_and(|h| h.until == Until::Boot),
        held_since: f.hold.as_ref().map(|h| h.since),
        saved_since: f.saved.as_ref().map(|saved| saved.at),
        changed: f.changes.words(),
        waiting: changing::waiting(f),
        preserved: preserved(f),
        restarts: f.restarts,
        next_retry: f.next_retry,
        ended: f.ended,
        ..DomainStatus::default()
    };
    complain(f, &mut status);
    let doubts = f.domain.as_ref().map(|domain| domain.doubts.clone());
    if let Some(desired) = &f.desired {
        desired
            .origin
            .version()
            .clone_into(&mut status.uuid_and_version.version);
        status.warnings.clone_from(&desired.warnings);
        status.vif_list = interfaces(f).unwrap_or_default();
        match &desired.origin {
            Origin::Eve(config) => of_eve(f, config, &desired.digest, &mut status),
            Origin::Xl(file) => of_xl(f, file, &mut status),
        }
        status.config_digest.clone_from(&desired.digest);
        // The domain waits for its adapters.
        status.adapters_failed = f.adapters_failed;
    }
    status.warnings.extend(doubts.into_iter().flatten());
    status
}

/// Fills in the fields that repeat the DomainConfig.
fn of_eve(f: &Facts, config: &DomainConfig, digest: &str, status: &mut DomainStatus) {
    status.display_name.clone_from(&config.display_name);
    status.app_num = config.app_num;
    if f.spec().is_none() {
        status.vif_list.clone_from(&config.vif_list);
    }
    status.io_adapter_list.clone_from(&config.io_adapter_list);
    status.enable_vnc = config.enable_vnc;
    status.vnc_display = f.display().unwrap_or(config.vnc_display);
    status.disk_status_list = disks(f, digest).unwrap_or_else(|| {
        let list = config.disk_config_list.iter().enumerate();
        list.map(|(i, disk)| DiskStatus::new(disk, i)).collect()
    });
    show_progress(f, status);
}

/// Fills in the fields that come from an xl file. There are no images to copy, and no adapters with names.
fn of_xl(f: &Facts, file: &File, status: &mut DomainStatus) {
    status.display_name.clone_from(&file.name);
    let Some(spec) = f.spec() else { return };
    status.enable_vnc = spec.vnc.is_some();
    let asked = spec.vnc.as_ref().and_then(|vnc| vnc.display);
    status.vnc_display = f.display().or(asked).unwrap_or_default();
    status.disk_status_list = spec.disks.iter().map(DiskStatus::ready).collect();
}

/// Fills in the error to show. Without a usable config, the reason for that goes before errors of the domain.
fn complain(f: &Facts, status: &mut DomainStatus) {
    let first = f.problem.as_ref().filter(|_| f.desired.is_none());
    let wrong = f
        .hands_off
        .as_ref()
        .or(first)
        .or(f.unreadable.as_ref())
        .or(f.lacking.as_ref())
        .or(f.error.as_ref())
        .or(f.problem.as_ref());
    if let Some((text, when)) = wrong {
        status.last_err.clone_from(text);
        status.last_err_time = Some(*when);
    }
    // Somebody who corrects the config of a domain that did not start must learn that the new config is unusable.
    let newer = f.problem.as_ref().filter(|_| f.boot_failed && !f.ended);
    match newer {
        Some((text, _)) if *text != status.last_err => {
            status.last_err = format!("{}; since then: {text}", status.last_err);
        }
        _ => {}
    }
}

/// Disks of the existing domain, or those that were made ready for the present config.
fn disks(f: &Facts, digest: &str) -> Option<Vec<DiskStatus>> {
    let known = f.disks.as_ref();
    let (_, disks) = known.filter(|(of, _)| of == digest || f.domain.is_some())?;
    Some(disks.iter().map(DiskStatus::ready).collect())
}

fn show_progress(f: &Facts, status: &mut DomainStatus) {
    if let Some(progress) = &f.progress {
        if let Some(disk) = status.disk_status_list.get_mut(progress.disk) {
            disk.progress = progress.percent();
        }
    }
}

/// Network interfaces as the guest has them, or would have them; `None` if unknown.
fn interfaces(f: &Facts) -> Option<Vec<VifConfig>> {
    let spec = f.spec()?;
    let domid = f.domain().map(|id| id.domid);
    let nics = spec.nics.iter().enumerate();
    let number = |i: usize, nic: &Nic| nic.devid.map_or_else(|| i.to_string(), |n| n.to_string());
    let all = nics.map(|(i, nic)| VifConfig {
        bridge: nic.bridge.clone().unwrap_or_default(),
        // Xen's own name, for an interface without a configured name.
        vif: match (&nic.vif, domid) {
            (Some(name), _) => name.clone(),
            (None, Some(domid)) => format!("vif{domid}.{}", number(i, nic)),
            (None, None) => String::new(),
        },
        mac: nic.address(),
        r#type: nic.kind.map(NicKind::word).unwrap_or_default().to_owned(),
        mtu: nic.mtu.unwrap_or_default(),
    });
    Some(all.collect())
}

/// Domains with our uuid that are kept for somebody to look into.
fn preserved(f: &Facts) -> Vec<PreservedDomain> {
    let ours = f
        .domain
        .as_ref()
        .filter(|_| f.is_preserved())
        .map(|d| (d.id, &d.name, d.life));
    let kept = f.siblings.iter().filter(|b| b.kept);
    kept.map(|b| (b.id, &b.name, b.life))
        .chain(ours)
        .filter_map(|(id, name, life)| {
            Some(PreservedDomain {
                domain_id: id.domid,
                domain_name: name.clone().unwrap_or_default(),
                reason: reasons::of_kept(life)?,
            })
        })
        .collect()
}

impl Facts {
    /// Returns whether the dead domain stays where it is, because its action says so or could not be done.
    pub(super) fn is_preserved(&self) -> bool {
        let kept = self
            .exit
            .as_ref()
            .is_some_and(|e| e.after == After::Keep && e.steps.is_empty());
        kept && self.halt.is_none()
    }
}

pub(super) fn state(f: &Facts) -> (State, &'static str) {
    let Some(domain) = &f.domain else {
        let trying =
            f.want() == Want::Run && (f.tries > 0 || f.restarting) && !f.boot_failed && !f.ended;
        return match () {
            () if f.restarting || trying => (State::Booting, "BOOTING"),
            () if !f.present => (State::Halted, "HALTED"),
            () if f.saved.is_some() => (State::Halted, "SAVED"),
            () if f.has_run => (State::Halted, "HALTED"),
            () => (State::Installed, "INSTALLED"),
        };
    };
    if f.halt.is_some() || (domain.leftover && f.want() != Want::Run) {
        return (State::Halting, "HALTING");
    }
    if domain.leftover || !domain.started {
        return (State::Booting, "BOOTING");
    }
    match (domain.life, f.exit.as_ref().map(|e| e.after)) {
        (Life::Shutdown(ShutdownReason::SUSPEND), _) => (State::Running, "SUSPENDED"),
        (Life::Paused | Life::Running, _) if domain.broken => (State::Running, "BROKEN"),
        (Life::Paused, _) => (State::Running, "PAUSED"),
        (Life::Running, _) => (State::Running, "RUNNING"),
        (_, Some(After::Restart)) => (State::Booting, "BOOTING"),
        (_, Some(After::Keep)) => (State::Halted, "PRESERVED"),
        (Life::Dying | Life::Shutdown(_), _) => (State::Halting, "HALTING"),
    }
}
