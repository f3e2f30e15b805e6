//! Cancelling: an operator has an order given up that is being worked off.
//!
//! Only what can be taken back can be cancelled. A guest that was asked to end cannot be asked to stay.

use super::answers;
use super::context::Ctx;
use super::effect::Effect;
use super::op::Op;
use super::state::facts::Facts;
use super::state::job::UnderWay;
use super::state::order::{Answer, Given, Order};
use super::state::phase::Phase;
use super::{abort, changing};

/// Takes the order that asks for the end of `job`.
pub(super) fn asked(cx: &mut Ctx, f: &mut Facts, job: u64, given: &Given) {
    if let Some(i) = f.orders.waiting.iter().position(|waits| waits.id == job) {
        let waits = f.orders.waiting.remove(i);
        let why = format!("cancelled by {}", given.by);
        for (id, answer) in [(waits.id, Answer::Refused(why)), (given.id, Answer::Done)] {
            cx.effects.push(Effect::Answer(id, answer));
        }
        return;
    }
    if let Err(why) = of(f, job) {
        cx.effects
            .push(Effect::Answer(given.id, Answer::Refused(why)));
        return;
    }
    let Some(under_way) = &mut f.orders.under_way else {
        return;
    };
    under_way.cancel = Some((given.id, given.by.clone()));
    let word = under_way.given.order.word();
    cx.info(format!("{word}: cancelled by {}", given.by));
    if matches!(
        f.outstanding,
        Some(Op::Save(..) | Op::Send(..) | Op::Receive(..) | Op::AwaitGo(_) | Op::Change(..))
    ) {
        // It is being aborted, and what becomes of it is the answer.
        return;
    }
    match under_way.given.order {
        Order::Start { .. } | Order::Restore { .. } => {
            f.orders.hold = under_way.before.clone().filter(|hold| !hold.run);
            f.phase.not_again();
            f.looks.outdate();
        }
        Order::Change(_) => changing::give_up(f),
        _ => {}
    }
    answers::give_up(cx, f, String::new());
}

/// Returns the order that `job` is, or the reason why it cannot be cancelled.
fn of(f: &Facts, job: u64) -> Result<&UnderWay, String> {
    let under_way = f.orders.under_way.as_ref();
    let Some(under_way) = under_way.filter(|o| o.given.id == job) else {
        let last = f.orders.last.as_ref().filter(|last| last.id == job);
        let why = match last {
            Some(_) => "it has come to its end already",
            None => "another order has taken its place",
        };
        return Err(why.to_owned());
    };
    let why = match under_way.given.order {
        _ if under_way.cancel.is_some() => "it is being cancelled already",
        Order::Start { .. } | Order::Restore { .. } => {
            let held = under_way.before.as_ref().is_some_and(|hold| !hold.run);
            if held || !f.is_activated() {
                return Ok(under_way);
            }
            "its DomainConfig has it run: stop it instead"
        }
        Order::Save { .. } if f.saved.is_some() => "it is saved already: start it instead",
        Order::Change(_) if is_in_doubt(f) => {
            "it was begun, and its end is unknown: it goes on when the domain runs"
        }
        Order::DumpCore { .. } if under_way.begun => {
            "libxl cannot stop while it writes a core dump"
        }
        Order::Migrate { .. } if matches!(f.phase, Phase::GivenAway(..)) => {
            "the guest was given away, and may run there"
        }
        Order::Receive { .. } if f.is_granted() => {
            "the guest is this host's already: stop it instead"
        }
        Order::Migrate { .. }
        | Order::Receive { .. }
        | Order::Resolve
        | Order::Save { .. }
        | Order::DumpCore { .. }
        | Order::Change(_) => return Ok(under_way),
        Order::Stop { .. } | Order::Restart => {
            "a guest that was asked to end cannot be asked to stay"
        }
        Order::Pause | Order::Unpause | Order::Forget | Order::Cancel(_) => {
            "it is over in a moment"
        }
    };
    Err(why.to_owned())
}

/// Returns whether an earlier run of the agent has begun the change, so that the domain may have it.
fn is_in_doubt(f: &Facts) -> bool {
    let begun = f.changing.as_ref().is_some_and(|change| change.begun);
    begun && !matches!(f.outstanding, Some(Op::Change(..)))
}

impl Facts {
    /// Returns the number of the order whose cancelling ends the operation under way.
    #[must_use]
    pub fn cancels_with(&self) -> Option<u64> {
        let under_way = self.orders.under_way.as_ref()?;
        let job = under_way.given.id;
        let op = self.outstanding.as_ref()?;
        (of(self, job).is_ok() && abort::on_cancel(op, &under_way.given.order)).then_some(job)
    }
}
