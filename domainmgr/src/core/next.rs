//! The next action, derived from the facts.

use std::sync::Arc;

use super::context::{Ctx, Next};
use super::op::{Op, Scope};
use super::state::adapters::Holding;
use super::state::backoff::Backoff;
use super::state::boot::Rest;
use super::state::facts::{Facts, Want};
use super::state::phase::Phase;
use super::state::wish::File;
use super::{
    adapters, changing, devices, disks, exit_actions, halting, looks, migrating, orders, receiving,
    saving, screen, turns,
};
use crate::base::time::Time;
use crate::host::disks::Copies;
use crate::spec::Spec;
use crate::toolstack::{Life, ShutdownReason};

/// Derives the next action from the facts. May change facts because time has passed.
pub(super) fn next(cx: &mut Ctx, f: &mut Facts) -> Next {
    let now = cx.now.mono;
    if f.wish.file == File::Unread {
        return Next::Wait(None);
    }
    if f.looks.stale {
        if let Some(at) = f.looks.backoff.waiting(now) {
            return Next::Wait(Some(at));
        }
        return Next::Run(Op::Look(looks::scope(f)));
    }
    if f.hands_off.is_some() {
        return Next::Wait(None);
    }
    if let Some(at) = f.starved.waiting(now) {
        return Next::Wait(Some(at));
    }
    if f.phase.has_domain() {
        with_domain(cx, f)
    } else {
        without_domain(cx, f)
    }
}

fn with_domain(cx: &mut Ctx, f: &mut Facts) -> Next {
    if f.phase.is_leftover() {
        return halting::destroy(cx, f);
    }
    if let Some(next) = migrating::next(cx, f).or_else(|| receiving::with_domain(f)) {
        return next;
    }
    if let Some(reserve) = adapters::for_adopted(f) {
        return reserve;
    }
    if let Some(next) = saving::next(cx, f) {
        return next;
    }
    let next = match f.want() {
        Want::Unknown => Next::Wait(None),
        Want::Stop => halting::halt(cx, f),
        Want::Run => to_run(cx, f),
    };
    let Next::Wait(at) = next else {
        return next;
    };
    // The domain may have ended just now, and be kept.
    orders::dump(f).unwrap_or_else(|| {
        let settled = saving::settled_at(f);
        Next::Wait(at.into_iter().chain(settled).min())
    })
}

/// The next action for a domain that is to run.
fn to_run(cx: &mut Ctx, f: &mut Facts) -> Next {
    if let Phase::Halting(domain, halting) = &f.phase {
        // A failed destroy has already taken something from the domain: devices, or the device model.
        if domain.destroying.failures > 0 {
            return halting::halt(cx, f);
        }
        // A request to shut down cannot be withdrawn: the domain goes down, and is built anew. But a suspended domain
        // belongs to another toolstack, unless it is to stop.
        if halting.halt.asked {
            return if domain.is_suspended() {
                Next::Wait(None)
            } else {
                halting::halt(cx, f)
            };
        }
        f.phase.run_after_all();
    }
    if matches!(f.phase, Phase::Ending(..)) {
        return exit_actions::go_on(cx, f);
    }
    if let Some(ordered) = orders::next(f).or_else(|| changing::next(f)) {
        return ordered;
    }
    match &f.phase {
        Phase::Built(domain, built) => match built.boot.rest {
            Rest::Until(at) if at > cx.now.mono => Next::Wait(Some(at)),
            _ => {
                let id = domain.id;
                saving::about_to_run(f);
                Next::Run(Op::Unpause(id))
            }
        },
        Phase::Up(domain) => {
            let life = domain.life;
            up(cx, f, life)
        }
        _ => Next::Wait(None),
    }
}

/// The next action for a domain that has been started, and whose guest has not ended as far as known.
fn up(cx: &mut Ctx, f: &mut Facts, life: Life) -> Next {
    if let Some(op) = saving::tidy(f) {
        return Next::Run(op);
    }
    if matches!(life, Life::Paused | Life::Running) && exit_actions::wants_its_model(f) {
        exit_actions::begin_without_model(cx, f);
        return exit_actions::go_on(cx, f);
    }
    let broken = f.phase.domain().and_then(looks::broken_at);
    match life {
        Life::Paused => Next::Wait(broken),
        Life::Running => screen::look(f)
            .or_else(|| devices::look(f, cx.now.mono))
            .unwrap_or_else(|| {
                let due = f.phase.domain().and_then(devices::due);
                Next::Wait(broken.into_iter().chain(due).min())
            }),
        Life::Shutdown(ShutdownReason::SUSPEND) | Life::Dying => Next::Wait(None),
        Life::Shutdown(reason) => {
            exit_actions::begin(cx, f, reason);
            exit_actions::go_on(cx, f)
        }
    }
}

fn without_domain(cx: &mut Ctx, f: &mut Facts) -> Next {
    let now = cx.now.mono;
    if let Some(op) = saving::tidy(f) {
        return Next::Run(op);
    }
    if let Some(next) = receiving::next(f, now) {
        return next;
    }
    if f.wish.file == File::Doubtful && !f.phase.restarts() {
        // It is unknown whether the last wish still holds, so nothing is begun. A guest that reboots is not affected.
        return Next::Wait(None);
    }
    match f.want() {
        Want::Unknown => Next::Wait(None),
        Want::Stop if f.looks.clear => stay_down(f, now),
        Want::Stop => look_wide(f, now),
        // A wish does not say where the guest runs.
        Want::Run if f.moved.is_some() && f.looks.clear => {
            adapters::release(f).unwrap_or(Next::Wait(None))
        }
        Want::Run if f.moved.is_some() => look_wide(f, now),
        Want::Run => rest(f, now)
            .or_else(|| (!f.looks.clear).then(|| look_wide(f, now)))
            .unwrap_or_else(|| build(cx, f)),
    }
}

/// The next action for a key whose domain is not to run, and of which Xen has none.
fn stay_down(f: &mut Facts, now: Time) -> Next {
    if let Some(boot) = f.phase.boot_mut() {
        boot.no_restart();
        boot.rest = Rest::Ready;
    }
    f.adapters.failed = false;
    f.adapters.reserving = Backoff::default();
    if let Some(release) = adapters::release(f) {
        return release;
    }
    // Copies survive a stop by an operator. Those of a guest that has moved are its own.
    if f.orders.hold.is_none() && f.moved.is_none() {
        if let Some(op) = disks::tidy(f, now) {
            return Next::Run(op);
        }
    }
    if f.is_wanted() && !f.is_forgotten() {
        Next::Wait(f.disks.discarding.waiting(now))
    } else {
        Next::Finish
    }
}

/// Looks at all domains, or waits for the time of the next look.
fn look_wide(f: &mut Facts, now: Time) -> Next {
    f.looks.wide = true;
    match f.looks.backoff.waiting(now) {
        Some(at) => Next::Wait(Some(at)),
        None => Next::Run(Op::Look(Scope::All)),
    }
}

/// The next action while the domain must not be built yet, if it must not.
fn rest(f: &Facts, now: Time) -> Option<Next> {
    let until = match f.phase.boot()?.rest {
        Rest::Ended => None,
        Rest::Until(at) if at > now => Some(at),
        Rest::Until(_) | Rest::Ready => return None,
    };
    if f.looks.clear {
        return Some(adapters::while_resting(f).unwrap_or(Next::Wait(until)));
    }
    // The domain is not known to be gone. Its adapters stay its own until a look has shown that it is.
    (f.adapters.holding == Holding::Nothing).then_some(Next::Wait(until))
}

/// Returns the spec of the next domain.
fn to_build(f: &Facts) -> Option<Arc<Spec>> {
    // A saved domain goes on with the spec that it was built from.
    let saved = f.saved.as_ref().and_then(|saved| saved.spec.clone());
    saved.or_else(|| {
        let boot = f.phase.boot().filter(|boot| boot.is_restart());
        let before = boot.and_then(|boot| boot.rebuild.as_ref());
        let wished = f.wish.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
        Some(changing::to_build(f, before.or(wished)?))
    })
}

/// The next action for a domain that is to be built.
fn build(cx: &mut Ctx, f: &mut Facts) -> Next {
    let Some(spec) = to_build(f) else {
        if let Some(boot) = f.phase.boot_mut() {
            boot.no_restart();
        }
        return adapters::release(f).unwrap_or(Next::Wait(None));
    };
    if let Some(next) = turns::before_build(f) {
        return next;
    }
    if let Some(next) = adapters::before_build(cx, f, &spec) {
        return next;
    }
    if f.saved.is_some() {
        // The saved memory depends on the data that the guest has written to its disks.
        f.disks.copies = Copies::Keep;
    }
    let file = f.saved.as_ref().map(|saved| saved.file.clone());
    let build = |spec| match file {
        Some(file) => Op::Restore(spec, file),
        None => Op::Create(spec),
    };
    if let Some(ready) = disks::ready(f, &spec) {
        return Next::Run(build(adapters::equip(f, ready)));
    }
    f.past.tries = f.past.tries.saturating_add(1);
    if let Some(boot) = f.phase.boot_mut() {
        boot.next_retry = None;
    }
    cx.info(format!("starting {}", spec.name));
    Next::Run(if spec.disks.is_empty() {
        build(adapters::equip(f, spec))
    } else {
        disks::make_ready(f, spec)
    })
}
