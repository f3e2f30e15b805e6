//! Bringing a domain down because the wish says so: ask, ask harder, destroy.

use std::time::Duration;

use super::context::{Ctx, Next};
use super::op::Op;
use super::state::facts::Facts;
use super::state::halt::{Halt, Stage};
use crate::base::time::Time;
use crate::spec::Mode;
use crate::toolstack::{DomainId, Error, ErrorKind, Life, ShutdownReason};

/// Pause before a guest is asked again whose drivers are missing or did not answer: they may have come up meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Returns the next step of bringing the domain down.
pub(super) fn halt(cx: &mut Ctx, f: &mut Facts) -> Next {
    let now = cx.now.mono;
    let Some(domain) = f.phase.domain() else {
        return Next::Wait(None);
    };
    let (id, life, started) = (domain.id, domain.life, f.phase.is_started());
    let hvm = f.mode() == Mode::Hvm;
    let (graceful, forced) = (f.settings.graceful, f.settings.forced);
    // Going by its state in Xen, whoever ended it: a dead domain cannot be asked, nor one that never ran.
    let nobody_to_ask =
        !started || matches!(life, Life::Shutdown(r) if r != ShutdownReason::SUSPEND);
    let Some(h) = f.phase.halting(now + graceful) else {
        return Next::Wait(None);
    };
    if nobody_to_ask || (graceful.is_zero() && !h.asked && h.stage == Stage::Graceful) {
        h.stage = Stage::Destroy;
    }
    if h.stage == Stage::Destroy {
        return destroy(cx, f);
    }
    if life == Life::Shutdown(ShutdownReason::SUSPEND) {
        // The domain may yet be resumed, and then be asked.
        if now < h.until {
            return Next::Wait(Some(h.until));
        }
        cx.warn(format!("domain {id} is still suspended; destroying it"));
        h.stage = Stage::Destroy;
        return destroy(cx, f);
    }
    let next = request(cx, h, id, life).or_else(|| wait_for_guest(h, id, now));
    if let Some(next) = next {
        return next;
    }
    if h.stage == Stage::Graceful && !forced.is_zero() {
        h.stage = Stage::Forced;
        h.until = now + forced;
        cx.warn(format!("domain {id} does not shut down; asking it harder"));
        return Next::Run(forced_request(h, id, hvm));
    }
    cx.warn(format!("domain {id} does not shut down; destroying it"));
    h.stage = Stage::Destroy;
    destroy(cx, f)
}

/// Returns the next request to the guest, or `None` once all have been made.
fn request(cx: &mut Ctx, h: &mut Halt, id: DomainId, life: Life) -> Option<Next> {
    if life == Life::Paused && !h.unpaused {
        h.unpaused = true;
        cx.info(format!(
            "domain {id} is paused and cannot hear; letting it run"
        ));
        return Some(Next::Run(Op::Unpause(id)));
    }
    if !h.asked || h.ask_again {
        h.asked = true;
        h.ask_again = false;
        cx.info(format!("asking domain {id} to shut down"));
        return Some(Next::Run(Op::Shutdown(id)));
    }
    if h.press {
        h.press = false;
        h.pressed = true;
        cx.info(format!("pressing the power button of domain {id}"));
        return Some(Next::Run(Op::PowerButton(id)));
    }
    None
}

/// Waits for the guest to obey, and repeats the request if it is due. Returns `None` once the guest's time is up.
fn wait_for_guest(h: &mut Halt, id: DomainId, now: Time) -> Option<Next> {
    if now >= h.until {
        return None;
    }
    Some(match h.ask_at {
        Some(at) if at <= now => {
            h.ask_at = None;
            Next::Run(Op::Shutdown(id))
        }
        at => Next::Wait(Some(at.map_or(h.until, |at| at.min(h.until)))),
    })
}

/// Returns the request of the forced stage.
///
/// An HVM domain whose power button was not pressed yet has it pressed now. Any other domain is asked once more.
fn forced_request(h: &mut Halt, id: DomainId, hvm: bool) -> Op {
    let press = hvm && !h.pressed;
    h.pressed = press;
    if press {
        Op::PowerButton(id)
    } else {
        Op::Shutdown(id)
    }
}

/// Destroys the domain, unless the last attempt failed too recently.
pub(super) fn destroy(cx: &Ctx, f: &Facts) -> Next {
    let Some(domain) = f.phase.domain() else {
        return Next::Wait(None);
    };
    match domain.destroying.waiting(cx.now.mono) {
        Some(at) => Next::Wait(Some(at)),
        None => Next::Run(Op::Destroy(domain.id)),
    }
}

/// Handles the result of [`Op::Shutdown`].
pub(super) fn asked(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Err(e) = result else { return };
    let now = cx.now.mono;
    let Some(h) = f.phase.halt_mut() else {
        return;
    };
    match e.kind {
        // The look that follows tells more than the error.
        ErrorKind::NotFound => {}
        ErrorKind::Aborted => h.ask_again = true,
        // libxl waits for a shorter time than the guest may take. The guest may have received the request nevertheless.
        ErrorKind::TimedOut if now < h.until => h.ask_at = Some(now + ASK_AGAIN),
        ErrorKind::NoParavirt => {
            h.ask_at = Some(now + ASK_AGAIN);
            if !h.pressed {
                h.press = true;
                cx.info(format!(
                    "the guest cannot be asked through its drivers: {e}"
                ));
            }
        }
        _ => {
            cx.warn(format!("the guest cannot be asked to shut down: {e}"));
            // The guest never received the request, so waiting is of no use.
            h.until = now;
        }
    }
}

/// Handles the result of [`Op::PowerButton`].
pub(super) fn pressed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Err(e) = result else { return };
    let Some(h) = f.phase.halt_mut() else {
        return;
    };
    if !matches!(e.kind, ErrorKind::NotFound | ErrorKind::Aborted) {
        cx.warn(format!("the power button does not work: {e}"));
        h.stage = Stage::Destroy;
    }
}

/// Handles the result of [`Op::Destroy`]. The look that follows tells whether the domain is gone.
pub(super) fn destroyed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    f.looks.wide = true;
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    let id = domain.id;
    match result {
        Err(e) if e.kind == ErrorKind::NotFound => {}
        Err(e) => {
            let pause = domain.destroying.fail(cx.now.mono);
            let text = format!(
                "domain {id} could not be destroyed, next try in {} s: {e}",
                pause.as_secs()
            );
            cx.fail(f, text);
        }
        Ok(()) => {
            // If the domain is still there, the destroy is tried again, but not at once.
            domain.destroying.fail(cx.now.mono);
        }
    }
}
