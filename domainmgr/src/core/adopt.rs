//! Adoption of a domain that this agent did not build, or has forgotten that it did.

use std::sync::Arc;

use super::context::Ctx;
use super::effect::Effect;
use super::saving;
use super::state::domain::Domain;
use super::state::facts::Facts;
use super::state::life::is_suspended;
use super::state::names::is_incoming;
use super::state::sibling::Sibling;
use crate::spec::Spec;
use crate::toolstack::{Life, Seen};

/// Takes over a domain that was not known, or marks it as left half-built.
pub(super) fn found(cx: &mut Ctx, f: &mut Facts, found: &Seen, how_many: usize) {
    if how_many > 1 {
        cx.warn(format!(
            "{how_many} domains have our uuid; looking after domain {}",
            found.id
        ));
    }
    let half_built = is_half_built(f, found);
    if let Some(boot) = f.phase.boot_mut() {
        boot.remains = None;
    }
    if !half_built {
        cx.info(format!("domain {} found", found.id));
        adopt(cx, f, found, None);
        return;
    }
    cx.warn(format!(
        "domain {} was left half-built; destroying it",
        found.id
    ));
    f.phase.found_leftover(Domain::seen(found, cx.now.mono));
}

/// Returns whether a create of this agent left `found` behind, so that nobody will ever start it.
///
/// An outsider's domain looks the same between its restore and its start, so this agent must have been in the middle of
/// a create.
fn is_half_built(f: &Facts, found: &Seen) -> bool {
    let remains = f.phase.boot().and_then(|boot| boot.remains.as_ref());
    let Some(ours) = remains else {
        return false;
    };
    // The domain has the name that it was to have, which need not be the one that is wished for now.
    let our_name = found.name.as_ref().is_none_or(|name| name == ours);
    // Another toolstack was receiving it, and may have given it its name since.
    let mut received = f.siblings.iter().filter(|s| s.id == found.id);
    let received = received.any(Sibling::is_incoming) && !is_incoming(Some(ours));
    found.life == Life::Paused && found.cpu_time_ns == 0 && our_name && !received
}

/// Follows the guest, which has moved to another domain.
pub(super) fn follow(cx: &mut Ctx, f: &mut Facts, new: &Seen) {
    let Some(old) = f.phase.domain() else {
        return;
    };
    cx.info(format!("domain {} lives on as domain {}", old.id, new.id));
    let spec = old.spec.clone();
    adopt(cx, f, new, spec);
}

fn adopt(cx: &mut Ctx, f: &mut Facts, found: &Seen, spec: Option<Arc<Spec>>) {
    saving::found_alive(cx, f);
    f.moved = None;
    f.past.boot_time = f.past.boot_time.or(Some(cx.now.wall));
    f.looks.rejoin = false;
    f.past.has_run = true;
    f.error = None;
    f.looks.clear = false;
    f.phase.found(Domain {
        suspended: is_suspended(found.life).then_some(cx.now.wall),
        spec,
        ..Domain::seen(found, cx.now.mono)
    });
    cx.effects.push(Effect::Watch(found.id));
    // Events come only from now on. One more look shows what happened in between.
    f.looks.stale = true;
}
