//! Guests that have gone to another host, or may have.

use time::OffsetDateTime;

use super::state::facts::Facts;
use super::state::moving::{Moved, Moving, Word};
use super::state::phase::Phase;
use crate::spec::change::Changes;

/// Remembers where the guest has gone. Its disks are the other host's now, and its hold has gone with it.
pub(super) fn note(f: &mut Facts, moving: &Moving, at: OffsetDateTime, confirmed: bool) {
    f.moved = Some(Moved {
        to: moving.to.host.clone(),
        by: moving.by.clone(),
        at,
        confirmed,
    });
    f.orders.hold = None;
    f.disks.leave();
    f.changes = Changes::default();
}

/// Returns the reason why nothing can be done to a guest that was given away, if that is so.
pub(super) fn given_away(f: &Facts) -> Option<String> {
    let Phase::GivenAway(domain, moving) = &f.phase else {
        return None;
    };
    let (id, host) = (domain.id, &moving.to.host);
    Some(match moving.word {
        Word::Runs => format!("it runs at {host}; domain {id} is being destroyed"),
        _ => format!(
            "it was given away to {host}, and it is not known whether it runs there: `domainmgr migrate --resolve` asks; if \
             you know that it does, stop it here with --destroy; if it does not, and never will, resume it"
        ),
    })
}

/// Returns the host that the guest was given away to, if it is not known whether it runs there.
pub(super) fn in_doubt(f: &Facts) -> Option<String> {
    match &f.phase {
        Phase::GivenAway(_, moving) if moving.word != Word::Runs => Some(moving.to.host.clone()),
        _ => None,
    }
}

impl Facts {
    /// Returns whether the guest has gone to another host.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.moved.is_some()
    }
}

/// Returns the reason why a guest that has gone elsewhere is not started here, if it has.
pub(super) fn reason(f: &Facts) -> Option<String> {
    let Moved { to, by, .. } = f.moved.as_ref()?;
    Some(format!(
        "{by} had it migrated to {to}: it may run there, and two of it would destroy its disks; make sure that it does not, then \
         start it --anyway"
    ))
}
