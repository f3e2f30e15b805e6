//! Taking over a domain that we did not build, or of which we have forgotten that we did.

use std::sync::Arc;

use super::facts::{Backoff, Domain, Facts, Rest, Want};
use super::{Ctx, Effect, beside};
use crate::spec::Spec;
use crate::toolstack::{Life, Seen};

/// A domain we did not know of is there.
pub(super) fn found(cx: &mut Ctx, f: &mut Facts, found: &Seen, how_many: usize) {
    if how_many > 1 {
        cx.warn(format!(
            "{how_many} domains have our uuid; looking after domain {}",
            found.id
        ));
    }
    let half_built = is_half_built(f, found);
    f.create_failed = None;
    if !half_built {
        cx.info(format!("domain {} found", found.id));
        adopt(cx, f, found, None);
        return;
    }
    cx.warn(format!(
        "domain {} was left half-built; destroying it",
        found.id
    ));
    f.domain = Some(Domain {
        id: found.id,
        life: found.life,
        name: found.name.clone(),
        suspended: None,
        started: false,
        reset: false,
        orphaned: None,
        broken: false,
        leftover: true,
        since: cx.now.mono,
        spec: None,
    });
}

/// Whether `found` is what a create or a soft reset of ours left, which nobody will ever start. An outsider's domain
/// looks the same between its restore and its start, so ours must have been in the middle of something.
fn is_half_built(f: &Facts, found: &Seen) -> bool {
    // It has the name that it was to have, which need not be the one that is wished for now.
    let failed = f.create_failed.as_ref();
    let before = f.previous.as_ref().map(|p| &p.name);
    let our_name = found.name.as_ref().is_none_or(|name| {
        failed == Some(name) || before == Some(name) || f.name().as_ref() == Some(name)
    });
    let received = f.beside.iter().any(|b| b.id == found.id && b.is_incoming());
    if found.life != Life::Paused || !our_name || received {
        return false;
    }
    let never_ran = found.cpu_time_ns == 0;
    let Some(p) = &f.previous else {
        return never_ran && failed.is_some();
    };
    let was_it = p.domid == Some(found.id.domid);
    let unfinished = failed.is_some()
        || p.booting
        || p.unfinished
        || (p.halting && !p.activated && was_it)
        || (f.want() == Want::Stop && !(p.activated && was_it));
    (never_ran && unfinished) || (p.booting && was_it)
}

/// Our guest has gone over to another domain.
pub(super) fn follow(cx: &mut Ctx, f: &mut Facts, new: &Seen) {
    let Some(old) = f.domain.take() else {
        return;
    };
    cx.info(format!("domain {} lives on as domain {}", old.id, new.id));
    f.exit = None;
    if let Some(halt) = &mut f.halt {
        // What the old one was asked, the new one may not have heard.
        halt.ask_again = halt.asked;
    }
    adopt(cx, f, new, old.spec);
}

fn adopt(cx: &mut Ctx, f: &mut Facts, found: &Seen, spec: Option<Arc<Spec>>) {
    let before = f
        .previous
        .as_ref()
        .filter(|p| p.domid == Some(found.id.domid));
    f.boot_time = f
        .boot_time
        .or_else(|| before.and_then(|p| p.boot_time))
        .or(Some(cx.now.wall));
    let suspended = before.and_then(|p| p.suspended).unwrap_or(cx.now.wall);
    f.has_run = true;
    f.restarting = false;
    f.boot_failed = false;
    f.ended = false;
    f.vanished = false;
    f.rest = Rest::Ready;
    f.next_retry = None;
    f.error = None;
    f.clear = false;
    f.destroying = Backoff::default();
    f.domain = Some(Domain {
        id: found.id,
        life: found.life,
        name: found.name.clone(),
        suspended: beside::is_suspended(found.life).then_some(suspended),
        started: true,
        reset: false,
        orphaned: None,
        broken: false,
        leftover: false,
        since: cx.now.mono,
        spec,
    });
    cx.effects.push(Effect::Watch(found.id));
    // Watched from now on: what happened in between is seen by looking once more.
    f.stale = true;
}
