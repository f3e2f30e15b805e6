//! Conditions under which an operation under way is ended early.
//!
//! The functions are pure, because a worker takes no input while it runs an operation.

use super::facts::{Desired, Wish};
use super::op::Op;
use super::order::Order;
use crate::spec::{Disk, Spec};

/// Returns whether a newer wish ends `op`.
#[must_use]
pub fn on_wish(op: &Op, wish: &Wish) -> bool {
    let stop = match wish {
        Wish::Absent => true,
        Wish::Unusable(_) | Wish::Doubtful(_) => false,
        Wish::Wanted(desired) => !desired.origin.activate(),
    };
    if let (Op::Disks(spec, ..), Wish::Wanted(Desired { spec: wished, .. })) = (op, wish) {
        // A copy of an image that is no longer wanted is of no use. The cloud-init disk is left out, because its data
        // changes with every version.
        let same = |new: &Spec| copied(new).eq(copied(spec));
        return stop || wished.as_ref().is_ok_and(|new| !same(new));
    }
    stop && is_pointless_when_stopping(op)
}

/// Returns whether `op` serves a domain that is to run. Operations that bring a domain down or look at it go on
/// whatever the wish is.
fn is_pointless_when_stopping(op: &Op) -> bool {
    matches!(
        op,
        Op::Reserve(_)
            | Op::Disks(..)
            | Op::Create(_)
            | Op::Restore(_)
            | Op::Change(..)
            | Op::CoreDump(_)
            | Op::SoftReset(..)
    )
}

fn copied(spec: &Spec) -> impl Iterator<Item = &Disk> {
    spec.disks.iter().filter(|d| d.seed.is_none())
}

/// Returns whether an operator's order ends `op`.
#[must_use]
pub fn on_order(op: &Op, order: &Order) -> bool {
    let building = is_pointless_when_stopping(op);
    match order {
        Order::Stop { destroy: true, .. } => {
            building || matches!(op, Op::Save(_) | Op::Shutdown(_) | Op::PowerButton(_))
        }
        Order::Stop { .. } | Order::Restart => building || matches!(op, Op::Save(_)),
        Order::Start { .. } => matches!(op, Op::Save(_)),
        Order::Save { .. } | Order::Restore | Order::Pause | Order::Unpause | Order::Change(_) => {
            false
        }
    }
}

/// Returns whether a hint that something happened to the domain ends `op`.
///
/// The domain has probably shut down, so it will not answer.
#[must_use]
pub fn on_hint(op: &Op) -> bool {
    matches!(op, Op::Shutdown(_))
}

/// Returns whether the end of the agent ends `op`.
///
/// An operation need not be waited for if the next agent finds and deals with its remains.
#[must_use]
pub fn on_stop(op: &Op) -> bool {
    matches!(
        op,
        Op::Reserve(_)
            | Op::Disks(..)
            | Op::Create(_)
            | Op::Restore(_)
            | Op::Save(_)
            | Op::Change(..)
            | Op::Shutdown(_)
            | Op::CoreDump(_)
    )
}
