//! Operations that failed for want of the agent's own resources, such as file descriptors.
//!
//! Such a failure says nothing about the guest. Nothing follows from it, least of all a harsher step: the same operation
//! is tried again, and a guest that is to shut down does not lose the time in which it could not be asked.

use super::facts::Facts;
use super::{Ctx, Op, Outcome};
use crate::toolstack::{Error, ErrorKind};

const WANT: &str = "the agent lacks resources of its own for";

/// The error, if the operation failed for this reason. A look has its own way of being repeated.
pub(super) fn failure(outcome: &Outcome) -> Option<&Error> {
    let error = match outcome {
        Outcome::Looked(_) => None,
        Outcome::Disks(result) => result.as_ref().err(),
        Outcome::Reserved(result) => result.as_ref().err(),
        Outcome::Created(result) => result.as_ref().err(),
        Outcome::Ended(result) => result.as_ref().err(),
    };
    error.filter(|e| e.kind == ErrorKind::Exhausted)
}

/// Has the operation tried again after a pause. It may have been half done: the look that comes first tells.
pub(super) fn again(cx: &mut Ctx, f: &mut Facts, op: Op, e: &Error) {
    let now = cx.now.mono;
    let pause = f.starved.fail(now);
    let text = format!(
        "{WANT} {:?}, next try in {} s: {e}",
        op.word(),
        pause.as_secs()
    );
    cx.fail(f, text);
    if let Some(halt) = &mut f.halt {
        halt.until = halt.until.max(now) + pause;
        match op {
            Op::Shutdown(_) => halt.ask_again = true,
            Op::PowerButton(_) => {
                halt.press = true;
                halt.pressed = false;
            }
            Op::Unpause(_) => halt.unpaused = false,
            _ => {}
        }
    }
    match op {
        Op::Create(spec) => {
            f.look_wide = true;
            f.create_failed = Some(spec.name.clone());
            f.tries = f.tries.saturating_sub(1);
        }
        Op::Disks(..) => {
            f.untidy = true;
            f.tries = f.tries.saturating_sub(1);
        }
        Op::Discard(_) => f.untidy = true,
        Op::Destroy(_) => f.look_wide = true,
        _ => {}
    }
}

/// Whether this says that something was tried in vain, which is not worth remembering.
pub(super) fn is_want(text: &str) -> bool {
    text.starts_with(WANT)
}

/// An operation did not fail for this reason.
pub(super) fn over(f: &mut Facts) {
    let was = std::mem::take(&mut f.starved).failures > 0;
    if was && f.error.as_ref().is_some_and(|(e, _)| is_want(e)) {
        f.error = None;
    }
}
