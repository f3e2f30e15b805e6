//! Reasons for the state, where somebody else has a hand in it, as text for an operator.

use super::Op;
use super::facts::{Domain, Facts, Want};
use super::order::Hold;
use super::sibling::{Sibling, is_dead, is_migrated_away, is_suspended};
use crate::toolstack::{DomainId, Life};

/// Returns the reasons; empty where the state needs no explanation.
pub(super) fn of(f: &Facts) -> String {
    let own = f.domain.as_ref().and_then(|d| of_domain(f, d));
    let others = f.siblings.iter().filter_map(|b| of_other(f, b));
    let copying = f.progress.as_ref().map(|p| {
        format!(
            "copying the image of disk {}: {} % of {} MiB",
            p.disk,
            p.percent(),
            p.total.div_ceil(1 << 20)
        )
    });
    let saving = matches!(f.outstanding, Some(Op::Save(_))).then(|| "being saved".to_owned());
    let held = f.hold.as_ref().map(Hold::words);
    copying
        .into_iter()
        .chain(saving)
        .chain(held)
        .chain(own)
        .chain(others)
        .collect::<Vec<_>>()
        .join("; ")
}

fn of_domain(f: &Facts, domain: &Domain) -> Option<String> {
    let id = domain.id;
    if is_suspended(domain.life) {
        let name = domain.name.as_deref();
        if domain.saved {
            return Some("saved; its memory is being given back".to_owned());
        }
        return Some(if is_migrated_away(name) {
            format!(
                "suspended for a migration whose outcome is not known (it is called {}): if the guest runs nowhere \
                 else, resume domain {id}; if it does, destroy domain {id}",
                name.unwrap_or_default()
            )
        } else if f.want() == Want::Stop {
            "suspended by another toolstack: destroyed if that does not resume it in time"
                .to_owned()
        } else {
            "suspended by another toolstack, for a save, a migration or a rest: it is for that to resume or destroy it"
                .to_owned()
        });
    }
    if domain.broken {
        return Some(broken(id));
    }
    if !domain.connected.missing.is_empty() && domain.life == Life::Running {
        return Some(format!(
            "the guest has not connected to {}: it may still be on its way, or have no driver for it",
            domain.connected.missing.join(", ")
        ));
    }
    if domain.life == Life::Paused && domain.started && !domain.leftover {
        let who = domain.paused_by.as_deref();
        return Some(format!("paused by {}", who.unwrap_or("another toolstack")));
    }
    f.is_preserved()
        .then(|| "kept as its action says, until it is deactivated or destroyed".to_owned())
}

fn of_other(f: &Facts, other: &Sibling) -> Option<String> {
    let name = other.name.as_deref().unwrap_or("nameless");
    let id = other.id;
    if other.is_incoming() {
        let ours = f.domain.is_some();
        return Some(format!(
            "domain {id} ({name}) is the receiving end of a migration{}",
            if ours {
                ""
            } else {
                ": nothing is built as long as it is there"
            }
        ));
    }
    (!other.kept && !is_dead(other.life) && f.domain.is_some()).then(|| {
        format!("domain {id} ({name}) has our uuid too, and is not looked after: destroy the one that is too many")
    })
}

/// Message about a domain whose device model has ended.
pub(super) fn broken(id: DomainId) -> String {
    format!(
        "the device model (QEMU) of domain {id} has ended, and the devices it had with it: deactivate the domain and \
         activate it again; /var/log/xen/qemu-dm-<name>.log may say why"
    )
}

/// Returns the reason why a domain is kept.
pub(super) fn of_kept(life: Life) -> Option<String> {
    match life {
        life if is_suspended(life) => {
            Some("suspended: left behind by a migration that succeeded".to_owned())
        }
        Life::Shutdown(reason) => Some(reason.to_string()),
        _ => None,
    }
}
