//! Adapters of the host. They are reserved before a domain is built, kept as long as there is one, and given up after.

use std::sync::Arc;

use super::context::{Ctx, Next};
use super::op::Op;
use super::state::adapters::Holding;
use super::state::backoff::Backoff;
use super::state::boot::Rest;
use super::state::facts::{Facts, Want};
use crate::spec::{Assigned, Spec};
use crate::toolstack::{Error, ErrorKind};

/// Gives up all adapters, because there is no domain and none will be built for a while.
pub(super) fn release(f: &Facts) -> Option<Next> {
    (f.adapters.holding != Holding::Nothing).then_some(Next::Run(Op::Release))
}

/// Gives up all adapters during the rest before the next attempt, so that others can have them.
///
/// The pause of a restart that is only slowed down, and the pause between the first tries, are no rest.
pub(super) fn while_resting(f: &Facts) -> Option<Next> {
    let boot = f.phase.boot();
    if boot.is_some_and(|b| b.failed.is_some() || b.has_ended() || b.rest == Rest::Ended) {
        release(f)
    } else {
        None
    }
}

/// Returns the next step for the adapters before `spec` is built, if there is one.
pub(super) fn before_build(cx: &Ctx, f: &Facts, spec: &Arc<Spec>) -> Option<Next> {
    if f.adapters.holding.of(&spec.adapters).is_some() {
        return None;
    }
    let wants = !spec.adapters.is_empty();
    let waiting = f.adapters.reserving.waiting(cx.now.mono);
    // The adapters of a guest that was rebooting when the agent ended are reserved again directly, so that nobody else
    // gets them in between.
    let again = f.adapters.holding == Holding::Unknown && wants && waiting.is_none();
    if let Some(release) = release(f).filter(|_| !again) {
        return Some(release);
    }
    if !wants {
        return None;
    }
    if let Some(at) = waiting {
        return Some(Next::Wait(Some(at)));
    }
    Some(Next::Run(Op::Reserve(Arc::clone(spec))))
}

/// Returns the spec with the devices of the held adapters.
pub(super) fn equip(f: &Facts, spec: Arc<Spec>) -> Arc<Spec> {
    match f.adapters.holding.of(&spec.adapters) {
        Some(assigned) if spec.assigned != *assigned => Arc::new(spec.with(assigned)),
        _ => spec,
    }
}

/// Reserves the adapters that a domain of an earlier run of the agent holds, if nobody has taken them.
pub(super) fn for_adopted(f: &Facts) -> Option<Next> {
    let domain = f.phase.domain()?;
    let desired = f.wish.desired.as_ref()?.spec.as_ref().ok()?;
    let spec = domain.spec.as_ref().unwrap_or(desired);
    let needs = !spec.adapters.is_empty() && f.phase.is_started();
    let open =
        !matches!(f.adapters.holding, Holding::Held(..)) && f.adapters.reserving.next.is_none();
    (needs && open && f.want() == Want::Run).then(|| Next::Run(Op::Reserve(Arc::clone(spec))))
}

pub(super) fn reserved(cx: &mut Ctx, f: &mut Facts, spec: &Spec, result: Result<Assigned, Error>) {
    // The result replaces earlier findings, which are as old as the wait.
    match result {
        Ok(assigned) => {
            if f.adapters.failed {
                f.error = None;
            }
            f.adapters.failed = false;
            f.adapters.reserving = Backoff::default();
            let names: Vec<&str> = spec.adapters.iter().map(|a| a.name.as_str()).collect();
            cx.info(format!("has {}", names.join(", ")));
            f.adapters.holding = Holding::Held(spec.adapters.clone(), assigned);
        }
        Err(e) if e.kind == ErrorKind::Aborted => f.adapters.holding = Holding::Nothing,
        Err(e) => {
            // Adapters that an earlier run of the agent reserved may still be ours: they are given up when there is no
            // domain.
            if f.phase.has_domain() {
                f.adapters.holding = Holding::Unknown;
            }
            f.adapters.reserving.fail(cx.now.mono);
            if f.phase.has_domain() {
                cx.warn(format!("its adapters are not reserved: {e}"));
                return;
            }
            f.adapters.failed = true;
            if let Some(boot) = f.phase.boot_mut() {
                boot.no_restart();
                boot.next_retry = f.adapters.reserving.next.map(|at| cx.now.wall_at(at));
            }
            // The error is told once, not with each attempt.
            if f.error.as_ref().is_none_or(|(old, _)| *old != e.message) {
                cx.fail(f, e.message);
            }
        }
    }
}

pub(super) fn released(f: &mut Facts) {
    f.adapters.holding = Holding::Nothing;
}

/// Ends the wait before the next attempt to reserve, because refused adapters may be available now.
pub(super) fn news(f: &mut Facts) {
    f.adapters.reserving.next = None;
}
