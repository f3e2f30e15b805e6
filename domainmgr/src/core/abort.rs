//! Conditions under which an operation under way is ended early.
//!
//! The functions are pure, because a worker takes no input while it runs an operation.

use super::op::Op;
use super::state::order::Order;
use super::state::wish::{Desired, Wish};
use crate::spec::{Disk, Spec};

/// Returns whether a newer wish ends `op`.
#[must_use]
pub fn on_wish(op: &Op, wish: &Wish) -> bool {
    let stop = match wish {
        Wish::Absent => true,
        Wish::Unusable(_) | Wish::Doubtful(_) => false,
        Wish::Wanted(desired) => !desired.run,
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
            | Op::Restore(..)
            | Op::Receive(..)
            | Op::AwaitGo(_)
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
            building || ends_for_good(op) || matches!(op, Op::Shutdown(_) | Op::PowerButton(_))
        }
        Order::Stop { .. } | Order::Restart => {
            building || ends_for_good(op)
        }
        Order::Start { .. } => ends_for_good(op),
        Order::Resolve | Order::Receive { .. } | Order::Forget | Order::Migrate { .. }
        | Order::Save { .. }
        | Order::Restore { .. }
        | Order::DumpCore { .. }
        | Order::Pause
        | Order::Unpause
        | Order::Change(_)
        // The operation that it ends depends on the order that it cancels.
        | Order::Cancel(_) => false,
    }
}

/// Returns whether `op` serves nothing but `order`, so that it ends when that is cancelled.
#[must_use]
pub(super) fn on_cancel(op: &Op, order: &Order) -> bool {
    match order {
        Order::Start { .. } | Order::Restore { .. } => matches!(
            op,
            Op::Reserve(_) | Op::Disks(..) | Op::Create(_) | Op::Restore(..)
        ),
        Order::Save { .. } => matches!(op, Op::Save(..)),
        Order::Migrate { .. } => matches!(op, Op::Send(..)),
        Order::Receive { .. } => matches!(op, Op::Receive(..) | Op::AwaitGo(_)),
        Order::Resolve => matches!(op, Op::Ask(..)),
        Order::Change(_) => matches!(op, Op::Change(..)),
        // libxl does not stop while it writes a core dump, whatever it is asked.
        Order::DumpCore { .. }
        | Order::Stop { .. }
        | Order::Restart
        | Order::Pause
        | Order::Unpause
        | Order::Forget
        | Order::Cancel(_) => false,
    }
}

/// Returns whether the domain is not to run here any more once `op` has come to its end.
fn ends_for_good(op: &Op) -> bool {
    matches!(op, Op::Save(..) | Op::Send(..))
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
            | Op::Restore(..)
            | Op::Save(..)
            | Op::Send(..)
            | Op::HandOver(_)
            | Op::Ask(..)
            | Op::Receive(..)
            | Op::AwaitGo(_)
            | Op::Change(..)
            | Op::Shutdown(_)
            | Op::CoreDump(_)
    )
}
