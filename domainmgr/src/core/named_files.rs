//! Files that an operator has named to restore a domain from.

use super::state::facts::Facts;
use super::state::job::UnderWay;
use super::state::order::{Hold, Until};

/// Returns whether the domain is saved in this file; `None` for the agent's own.
pub(super) fn is_saved_in(f: &Facts, file: Option<&str>) -> bool {
    f.saved
        .as_ref()
        .is_some_and(|saved| saved.file.as_deref() == file)
}

/// Takes back what an order to restore from a named file has begun, because it came to nothing: the domain is not saved there,
/// and nothing is built by itself.
pub(super) fn not_restored(f: &mut Facts, order: &UnderWay) {
    if f.saved
        .as_ref()
        .is_none_or(|saved| saved.named_by != Some(order.given.id))
    {
        return;
    }
    f.saved = None;
    if f.phase.has_domain() {
        return;
    }
    let stopped = || Hold {
        run: false,
        until: Until::Started,
        by: order.given.by.clone(),
        since: order.since,
    };
    let before = order.before.clone().filter(|hold| !hold.run);
    f.orders.hold = before.or_else(|| f.is_activated().then(stopped));
}
