//! Getting a domain to run: it is built, started, or the attempt fails.

use std::sync::Arc;
use std::time::Duration;

use super::changing;
use super::context::Ctx;
use super::effect::Effect;
use super::input::Built;
use super::orders;
use super::state::boot::{Failure, Rest};
use super::state::domain::{Domain, Interrupted};
use super::state::facts::{Facts, Want};
use super::state::halt::Stage;
use crate::spec::Spec;
use crate::toolstack::{Error, ErrorKind, Life};

/// Number of attempts to boot before the boot counts as failed.
const TRIES: u32 = 3;
/// Pause between two attempts to boot.
const TRY_PAUSE: Duration = Duration::from_secs(5);

/// Takes note of a domain that has been built, and is paused.
pub(super) fn created(cx: &mut Ctx, f: &mut Facts, spec: Arc<Spec>, built: Built, restored: bool) {
    let id = built.id;
    f.past.has_run = true;
    f.looks.stale = false;
    let domain = Domain {
        memory_kib: built.memory_kib,
        doubts: built.doubts,
        name: Some(spec.name.clone()),
        spec: Some(spec),
        ..Domain::new(id, Life::Paused, cx.now.mono)
    };
    f.phase.built(domain, restored);
    changing::forget_what_is_gone(f);
    let how = if restored { "restored" } else { "created" };
    cx.info(format!("domain {id} {how}"));
    cx.effects.push(Effect::Watch(id));
}

/// Takes note of a domain that could not be built. Something of it may be left.
pub(super) fn not_created(cx: &mut Ctx, f: &mut Facts, spec: &Spec, e: &Error) {
    may_have_left(f, spec);
    failed(cx, f, e);
}

/// Has Xen searched for the remains of a domain that could not be built from `spec`.
pub(super) fn may_have_left(f: &mut Facts, spec: &Spec) {
    may_have_left_as(f, spec.name.clone());
}

/// Has Xen searched for a half-built domain of this name.
pub(super) fn may_have_left_as(f: &mut Facts, name: String) {
    f.looks.wide = true;
    if let Some(boot) = f.phase.boot_mut() {
        boot.remains = Some(name);
    }
}

/// Handles the result of [`Op::Unpause`](super::Op::Unpause).
pub(super) fn unpaused(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    if orders::unpaused(cx, f, &result) {
        return;
    }
    let Some(domain) = f.phase.domain() else {
        return;
    };
    let id = domain.id;
    match result {
        Ok(()) if f.phase.is_started() => {}
        Ok(()) => started(cx, f),
        Err(e) if f.phase.is_started() => {
            cx.warn(format!("domain {id} cannot be unpaused: {e}"));
            if let Some(halt) = f.phase.halt_mut() {
                halt.stage = Stage::Destroy;
            }
        }
        Err(e) => {
            // The domain was built but cannot be started: nothing of it may stay.
            f.phase.left_over(None);
            let e = Error::new(e.kind, format!("unpause: {e}"));
            failed(cx, f, &e);
        }
    }
}

/// Takes note that the domain runs for the first time.
pub(super) fn started(cx: &mut Ctx, f: &mut Facts) {
    f.phase.started();
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    domain.interrupted.take_if(|i| *i == Interrupted::Start);
    domain.life = Life::Running;
    domain.since = cx.now.mono;
    cx.info(format!("domain {} running", domain.id));
    f.past.tries = f.past.tries.max(1);
    f.error = None;
    f.past.boot_time = Some(cx.now.wall);
    f.wish.pending = None;
}

/// Takes note of an attempt to boot that failed.
pub(super) fn failed(cx: &mut Ctx, f: &mut Facts, e: &Error) {
    let want = f.want();
    let Some(boot) = f.phase.boot_mut() else {
        return;
    };
    if e.kind == ErrorKind::Aborted && want != Want::Run {
        cx.info("starting was given up: the wish changed");
        boot.rest = Rest::Ready;
        return;
    }
    let hopeless = matches!(e.kind, ErrorKind::InUse | ErrorKind::InvalidConfig);
    let for_good = f.past.tries >= TRIES || hopeless;
    let pause = if for_good {
        f.settings.boot_retry
    } else {
        TRY_PAUSE
    };
    boot.rest = Rest::Until(cx.now.mono + pause);
    boot.next_retry = Some(cx.now.wall + pause);
    let text = if for_good {
        // A domain that waits for something in use is told when to try again, by `Input::Freed`.
        boot.failed = Some(if e.kind == ErrorKind::InUse {
            Failure::InUse
        } else {
            Failure::Other
        });
        boot.no_restart();
        format!("boot failed: {e}")
    } else {
        format!("boot try {} of {TRIES} failed: {e}", f.past.tries)
    };
    cx.fail(f, text);
}
