//! Operations that failed for want of the agent's own resources, such as file descriptors.
//!
//! Such a failure says nothing about the guest, and no harsher step follows from it. The same operation is tried again,
//! and a guest that is to shut down does not lose the time in which it could not be asked.

use super::boot;
use super::context::Ctx;
use super::input::Outcome;
use super::op::Op;
use super::orders;
use super::state::backoff::Backoff;
use super::state::facts::Facts;
use crate::toolstack::{Error, ErrorKind};

/// Returns the error, if the operation failed for want of resources and can simply be repeated.
///
/// A look and a question to another host have their own ways of being repeated. The other end of a migration does not wait.
pub(super) fn failure<'a>(op: &Op, outcome: &'a Outcome) -> Option<&'a Error> {
    let once = matches!(
        op,
        Op::Look(_)
            | Op::Ask(..)
            | Op::HandOver(_)
            | Op::Receive(..)
            | Op::AwaitGo(_)
            | Op::Land(..)
    );
    outcome
        .error()
        .filter(|e| !once && e.kind == ErrorKind::Exhausted)
}

/// Has the operation tried again after a pause. The look that comes first tells whether it was half done.
pub(super) fn again(cx: &mut Ctx, f: &mut Facts, op: Op, e: &Error) {
    let now = cx.now.mono;
    let pause = f.starved.fail(now);
    let text = format!(
        "the agent lacks resources of its own for {:?}, next try in {} s: {e}",
        op.word(),
        pause.as_secs()
    );
    cx.warn(text.clone());
    f.lacking = Some((text, cx.now.wall));
    if let Some(halt) = f.phase.halt_mut() {
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
    if matches!(
        op,
        Op::Pause(_) | Op::Unpause(_) | Op::Save(..) | Op::Send(..) | Op::Dump(..)
    ) {
        orders::not_begun(f);
    }
    match op {
        Op::Create(spec) | Op::Restore(spec, _) => {
            boot::may_have_left(f, &spec);
            f.past.tries = f.past.tries.saturating_sub(1);
        }
        Op::Disks(..) => {
            f.disks.untidy = true;
            f.past.tries = f.past.tries.saturating_sub(1);
        }
        Op::Discard(_) => f.disks.untidy = true,
        Op::Destroy(_) => f.looks.wide = true,
        _ => {}
    }
}

/// Ends the pauses: an operation did not fail for want of resources.
pub(super) fn over(f: &mut Facts) {
    f.starved = Backoff::default();
    f.lacking = None;
}
