//! Reasons for the state, where somebody else has a hand in it, as text for an operator.

use super::elsewhere;
use super::op::Op;
use super::running::GIVEN_UP;
use super::state::domain::{Domain, Interrupted};
use super::state::facts::{Facts, Want};
use super::state::life::{is_dead, is_suspended};
use super::state::names::is_migrated_away;
use super::state::order::Hold;
use super::state::phase::Phase;
use super::state::sibling::Sibling;
use crate::base::progress::Progress;
use crate::toolstack::{DomainId, Life};

fn done(p: &Progress) -> String {
    let rate = p.rate.map(|rate| format!(", {} MiB/s", rate >> 20));
    let size = p.total.div_ceil(1 << 20);
    let rate = rate.unwrap_or_default();
    format!("{} % of {size} MiB{rate}", p.percent())
}

/// Returns the reasons; empty where the state needs no explanation.
pub(super) fn of(f: &Facts) -> String {
    let own = f.phase.domain().and_then(|d| of_domain(f, d));
    let others = f.siblings.iter().filter_map(|b| of_other(f, b));
    let progress = f.progress.as_ref();
    let copying = progress.and_then(|p| {
        let disk = p.disk?;
        Some(format!("copying the image of disk {disk}: {}", done(p)))
    });
    let saving = matches!(f.outstanding, Some(Op::Save(..))).then(|| match progress {
        Some(p) => format!("being saved: {}", done(p)),
        None => "being saved".to_owned(),
    });
    let sending = match &f.outstanding {
        Some(Op::Send(_, to)) => Some(match progress {
            Some(p) => format!("being sent to {}: {}", to.host, done(p)),
            None => format!("being sent to {}", to.host),
        }),
        _ => None,
    };
    let receiving = matches!(f.outstanding, Some(Op::Receive(..))).then(|| match progress {
        Some(p) => format!("being received: {}", done(p)),
        None => "being received".to_owned(),
    });
    let moved = f.moved.as_ref().map(|moved| {
        let certain = if moved.confirmed {
            ""
        } else {
            ", which has not said whether it runs there"
        };
        format!("migrated to {} by {}{certain}", moved.to, moved.by)
    });
    let dumping = matches!(f.outstanding, Some(Op::Dump(..)));
    let dumping = dumping.then(|| "its memory is being dumped".to_owned());
    let turn = f
        .waits_for()
        .filter(|first| !first.is_empty())
        .map(|first| format!("waits for the start of {first}"));
    let held = f.orders.hold.as_ref().map(Hold::words);
    let named = f.saved.as_ref().and_then(|saved| saved.file.as_ref());
    let saved_in = named.map(|file| format!("saved in {file}"));
    copying
        .into_iter()
        .chain(saving)
        .chain(sending)
        .chain(receiving)
        .chain(moved)
        .chain(dumping)
        .chain(turn)
        .chain(saved_in)
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
        if let Some(why) = elsewhere::given_away(f) {
            return Some(why);
        }
        if matches!(f.phase, Phase::PutAway(_)) {
            return Some("saved; its memory is being given back".to_owned());
        }
        if domain
            .interrupted
            .as_ref()
            .is_some_and(Interrupted::is_save)
        {
            return Some(GIVEN_UP.to_owned());
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
    if domain.is_broken() {
        return Some(broken(id));
    }
    if !domain.connected.missing.is_empty() && domain.life == Life::Running {
        return Some(format!(
            "the guest has not connected to {}: it may still be on its way, or have no driver for it",
            domain.connected.missing.join(", ")
        ));
    }
    if domain.life == Life::Paused && f.phase.is_started() {
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
        let ours = f.phase.has_domain();
        return Some(format!(
            "domain {id} ({name}) is the receiving end of a migration{}",
            if ours {
                ""
            } else {
                ": nothing is built as long as it is there"
            }
        ));
    }
    (!other.kept && !is_dead(other.life) && f.phase.has_domain()).then(|| {
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
