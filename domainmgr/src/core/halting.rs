//! Bringing a domain down because the wish says so: ask, ask harder, destroy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::time::Time;
use super::{Ctx, Next, Op};
use crate::spec::Mode;
use crate::toolstack::{Error, ErrorKind, Life, ShutdownReason};

/// Pause before a guest is asked again whose drivers are missing or did not answer: they may have come up meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Progress in bringing the domain down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Halt {
    pub(super) stage: Stage,
    #[serde(skip)]
    pub(super) until: Time,
    /// The guest has been asked. The request cannot be withdrawn.
    pub(super) asked: bool,
    /// The request was ended early, so it is unknown whether the guest received it.
    pub(super) ask_again: bool,
    /// The guest cannot be asked through its drivers: press the power button.
    pub(super) press: bool,
    /// The power button has been pressed.
    pub(super) pressed: bool,
    /// Time to ask the guest again: early in its boot, a guest receives nothing and has no drivers yet.
    #[serde(skip)]
    pub(super) ask_at: Option<Time>,
    /// The guest was paused and has been let run again, because a paused guest receives no request.
    pub(super) unpaused: bool,
}

impl Halt {
    /// Returns the initial state: nothing has been done yet, and the guest has until `until`.
    pub(super) fn begin(until: Time) -> Self {
        Self {
            stage: Stage::Graceful,
            until,
            asked: false,
            ask_again: false,
            press: false,
            pressed: false,
            ask_at: None,
            unpaused: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Graceful,
    Forced,
    Destroy,
}

/// Returns the next step of bringing the domain down.
pub(super) fn halt(cx: &mut Ctx, f: &mut Facts) -> Next {
    let now = cx.now.mono;
    let Some(domain) = &f.domain else {
        return Next::Wait(None);
    };
    let (id, life, started) = (domain.id, domain.life, domain.started);
    let hvm = f.mode() == Mode::Hvm;
    let (graceful, forced) = (f.settings.graceful, f.settings.forced);
    // Going by its state in Xen, whoever ended it: a dead domain cannot be asked, nor one that never ran.
    let nobody_to_ask =
        !started || matches!(life, Life::Shutdown(r) if r != ShutdownReason::SUSPEND);
    f.exit = None;
    let h = f.halt.get_or_insert_with(|| Halt::begin(now + graceful));
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
    if life == Life::Paused && !h.unpaused {
        h.unpaused = true;
        cx.info(format!(
            "domain {id} is paused and cannot hear; letting it run"
        ));
        return Next::Run(Op::Unpause(id));
    }
    if !h.asked || h.ask_again {
        h.asked = true;
        h.ask_again = false;
        cx.info(format!("asking domain {id} to shut down"));
        return Next::Run(Op::Shutdown(id));
    }
    if h.press {
        h.press = false;
        h.pressed = true;
        cx.info(format!("pressing the power button of domain {id}"));
        return Next::Run(Op::PowerButton(id));
    }
    if now < h.until {
        return match h.ask_at {
            Some(at) if at <= now => {
                h.ask_at = None;
                Next::Run(Op::Shutdown(id))
            }
            at => Next::Wait(Some(at.map_or(h.until, |at| at.min(h.until)))),
        };
    }
    if h.stage == Stage::Graceful && !forced.is_zero() {
        h.stage = Stage::Forced;
        h.until = now + forced;
        cx.warn(format!("domain {id} does not shut down; asking it harder"));
        // An HVM domain whose power button was not pressed yet has it pressed now. Any other domain is asked once more.
        let press = hvm && !h.pressed;
        h.pressed = press;
        return Next::Run(if press {
            Op::PowerButton(id)
        } else {
            Op::Shutdown(id)
        });
    }
    cx.warn(format!("domain {id} does not shut down; destroying it"));
    h.stage = Stage::Destroy;
    destroy(cx, f)
}

/// Destroys the domain, unless the last attempt failed too recently.
pub(super) fn destroy(cx: &mut Ctx, f: &mut Facts) -> Next {
    let Some(id) = f.domain() else {
        return Next::Wait(None);
    };
    match f.destroying.waiting(cx.now.mono) {
        Some(at) => Next::Wait(Some(at)),
        None => Next::Run(Op::Destroy(id)),
    }
}

/// Handles the result of [`Op::Shutdown`].
pub(super) fn asked(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Err(e) = result else { return };
    let now = cx.now.mono;
    let Some(h) = &mut f.halt else { return };
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
    let Some(h) = &mut f.halt else { return };
    if !matches!(e.kind, ErrorKind::NotFound | ErrorKind::Aborted) {
        cx.warn(format!("the power button does not work: {e}"));
        h.stage = Stage::Destroy;
    }
}

/// Handles the result of [`Op::Destroy`]. The look that follows tells whether the domain is gone.
pub(super) fn destroyed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    f.look_wide = true;
    let Some(id) = f.domain() else { return };
    match result {
        Err(e) if e.kind == ErrorKind::NotFound => {}
        Err(e) => {
            let pause = f.destroying.fail(cx.now.mono);
            let text = format!(
                "domain {id} could not be destroyed, next try in {} s: {e}",
                pause.as_secs()
            );
            cx.fail(f, text);
        }
        Ok(()) => {
            // If the domain is still there, the destroy is tried again, but not at once.
            f.destroying.fail(cx.now.mono);
        }
    }
}
