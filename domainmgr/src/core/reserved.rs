//! Adapters of the host: reserved before a domain is built, kept as long as there is one, given up after.

use std::sync::Arc;

use super::facts::{Backoff, Facts, Rest, Want};
use super::op::Op;
use super::{Ctx, Next};
use crate::spec::{Adapter, Assigned, Spec};
use crate::toolstack::{Error, ErrorKind};

/// What is reserved for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// An earlier run of the agent may have left something.
    Unknown,
    Nothing,
    Held(Vec<Adapter>, Assigned),
}

impl Holding {
    /// What these adapters are, if it is these that are held.
    fn of(&self, wanted: &[Adapter]) -> Option<&Assigned> {
        match self {
            Self::Held(held, assigned) if held == wanted => Some(assigned),
            _ => None,
        }
    }
}

/// There is no domain, and none will be built for a while: nothing may stay reserved.
pub(super) fn release(f: &Facts) -> Option<Next> {
    (f.adapters != Holding::Nothing).then_some(Next::Run(Op::Release))
}

/// While resting before the next attempt, others may have what we do not use. A restart that is only slowed down, and
/// the pause between the first tries, are no rest.
pub(super) fn while_resting(f: &Facts) -> Option<Next> {
    if f.boot_failed || f.ended || f.rest == Rest::Ended {
        release(f)
    } else {
        None
    }
}

/// What is to be done about adapters before `spec` is built.
pub(super) fn before_build(cx: &Ctx, f: &Facts, spec: &Arc<Spec>) -> Option<Next> {
    if f.adapters.of(&spec.adapters).is_some() {
        return None;
    }
    let wants = !spec.adapters.is_empty();
    let waiting = f.reserving.waiting(cx.now.mono);
    // What a guest had that was rebooting when the agent ended, nobody is to get in between.
    let again = f.adapters == Holding::Unknown && wants && waiting.is_none();
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

/// The spec, with what the adapters are that are held.
pub(super) fn equip(f: &Facts, spec: Arc<Spec>) -> Arc<Spec> {
    match f.adapters.of(&spec.adapters) {
        Some(assigned) if spec.assigned != *assigned => Arc::new(spec.with(assigned)),
        _ => spec,
    }
}

/// A domain that an earlier run of the agent has built holds its adapters: so do we, if nobody has taken them.
pub(super) fn for_adopted(f: &Facts) -> Option<Next> {
    let domain = f.domain.as_ref()?;
    let desired = f.desired.as_ref()?.spec.as_ref().ok()?;
    let spec = domain.spec.as_ref().unwrap_or(desired);
    let needs = !spec.adapters.is_empty() && !domain.leftover && domain.started;
    let open = !matches!(f.adapters, Holding::Held(..)) && f.reserving.next.is_none();
    (needs && open && f.want() == Want::Run).then(|| Next::Run(Op::Reserve(Arc::clone(spec))))
}

pub(super) fn reserved(cx: &mut Ctx, f: &mut Facts, spec: &Spec, result: Result<Assigned, Error>) {
    // What was found out before is as old as the wait.
    match result {
        Ok(assigned) => {
            if f.adapters_failed {
                f.error = None;
            }
            f.adapters_failed = false;
            f.reserving = Backoff::default();
            let names: Vec<&str> = spec.adapters.iter().map(|a| a.name.as_str()).collect();
            cx.info(format!("has {}", names.join(", ")));
            f.adapters = Holding::Held(spec.adapters.clone(), assigned);
        }
        Err(e) if e.kind == ErrorKind::Aborted => f.adapters = Holding::Nothing,
        Err(e) => {
            // What an earlier run of the agent reserved may still be ours: it is given up when there is no domain.
            if f.domain.is_some() {
                f.adapters = Holding::Unknown;
            }
            f.reserving.fail(cx.now.mono);
            if f.domain.is_some() {
                cx.warn(format!("its adapters are not reserved: {e}"));
                return;
            }
            f.adapters_failed = true;
            f.restarting = false;
            f.next_retry = f
                .reserving
                .next
                .map(|at| cx.now.wall + at.since(cx.now.mono));
            // Said once, not with each attempt.
            if f.error.as_ref().is_none_or(|(old, _)| *old != e.message) {
                cx.fail(f, e.message);
            }
        }
    }
}

pub(super) fn released(f: &mut Facts) {
    f.adapters = Holding::Nothing;
}

/// What was refused may be had now.
pub(super) fn news(f: &mut Facts) {
    f.reserving.next = None;
}
