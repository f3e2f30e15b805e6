//! The order in which domains start: one that others are to start before waits for its turn.
//!
//! A domain that is restarted waits for nobody, and nobody waits for it: it has had its turn. Otherwise a guest that crashes again
//! and again would keep others down.

use super::context::{Ctx, Next};
use super::op::Op;
use super::state::boot::{Cause, Rest, Turn};
use super::state::facts::{Facts, Want};
use super::state::phase::Phase;
use super::state::wish::File;

/// Returns the step that comes before anything is done for a build, if the turn has not come.
pub(super) fn before_build(f: &Facts) -> Option<Next> {
    let boot = f.phase.boot()?;
    match boot.turn {
        Turn::Come => None,
        _ if boot.is_restart() => None,
        Turn::Waits(_) => Some(Next::Wait(None)),
        Turn::Unasked | Turn::Called => Some(Next::Run(Op::Turn)),
    }
}

/// Handles the result of [`Op::Turn`]: the domains that start first, for people, if there are any. The text is empty if they
/// are not known yet, which is so for a moment when the agent has started.
pub(super) fn told(cx: &mut Ctx, f: &mut Facts, first: Option<String>) {
    let Some(boot) = f.phase.boot_mut() else {
        return;
    };
    boot.waited |= first.is_some();
    boot.turn = match first {
        Some(_) if boot.turn == Turn::Called => Turn::Unasked,
        Some(first) => {
            if !first.is_empty() {
                cx.info(format!("waits for the start of {first}"));
            }
            Turn::Waits(first)
        }
        None => Turn::Come,
    };
    if boot.turn == Turn::Come && std::mem::take(&mut boot.waited) {
        // Another toolstack may have built the domain meanwhile.
        f.looks.outdate();
        f.looks.wide = true;
    }
}

/// Has a domain that waits ask again.
pub(super) fn news(f: &mut Facts) {
    let asking = f.outstanding == Some(Op::Turn);
    if let Some(boot) = f.phase.boot_mut() {
        boot.turn = match &boot.turn {
            Turn::Waits(_) => Turn::Unasked,
            Turn::Unasked if asking => Turn::Called,
            turn => turn.clone(),
        };
    }
}

impl Facts {
    /// Returns the domains whose start this one waits for, as text for people; empty if they are not known yet.
    pub(super) fn waits_for(&self) -> Option<&str> {
        match &self.phase.boot()?.turn {
            Turn::Waits(first) if self.want() == Want::Run => Some(first),
            _ => None,
        }
    }

    /// Returns whether the domain is about to start, or runs as it should. A guest from another host stands still meanwhile, and is
    /// none of these.
    #[must_use]
    pub fn is_coming_up(&self) -> bool {
        match &self.phase {
            Phase::Built(_, built) if built.arrival.is_some() => false,
            Phase::Up(_) => self.want() == Want::Run,
            _ => self.is_starting(),
        }
    }

    /// Returns whether the domain is about to start, so that those that come after it wait. What an agent has left half-built is
    /// built again.
    ///
    /// One whose boot has failed for good, or that waits for devices of the host, is not waited for.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        let boot = match &self.phase {
            Phase::Down(boot) | Phase::Leftover(_, boot) => boot,
            Phase::Built(_, built) => &built.boot,
            _ => return false,
        };
        let comes = boot.cause == Cause::Wish && boot.failed.is_none() && boot.rest != Rest::Ended;
        let usable =
            self.saved.is_some() || self.wish.desired.as_ref().is_some_and(|d| d.spec.is_ok());
        self.wish.file == File::There
            && self.want() == Want::Run
            && self.hands_off.is_none()
            && !self.adapters.failed
            && usable
            && comes
    }
}
