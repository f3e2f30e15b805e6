//! Saving a domain to a file and bringing it back, by an operator's order.
//!
//! A saved domain is in one of two places, never in both: its memory is in the file and the domain does not run again, or it
//! runs and the file is worth nothing. Which of them is in the record before anything follows from it:
//!
//! * The file is whole before the domain counts as saved, and the domain counts as saved before it is destroyed.
//! * The domain counts as not saved any more before the one that was made from the file runs.
//! * A save that nobody has seen the end of has not happened: the domain that was suspended for it goes on.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::facts::{Domain, Facts};
use super::halting::{Halt, Stage};
use super::order::{Hold, Until};
use super::sibling::is_suspended;
use super::time::Time;
use super::{Ctx, Next, Op};
use crate::spec::Spec;
use crate::toolstack::{Error, Life};

/// How long a guest that is found suspended after a save has come to nothing is taken for one that was suspended for it. Guests
/// obey within a second or two; later it may be another toolstack's, for a migration, and to resume that would be worse.
const LATE: Duration = Duration::from_secs(10);

/// A domain whose memory is in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Spec that it was built from; `None` if nobody knows.
    pub(super) spec: Option<Arc<Spec>>,
    /// Since when.
    pub(super) at: OffsetDateTime,
}

/// Why the domain cannot be saved.
pub(super) fn refusal(f: &Facts) -> Option<String> {
    let devices = f.spec().is_some_and(|spec| {
        let given = spec.given.as_ref();
        !spec.adapters.is_empty() || given.is_some_and(|given| !given.pcidevs.is_empty())
    });
    devices.then(|| {
        "it has devices of the host, whose state cannot be saved: stop it instead".to_owned()
    })
}

/// The domain has been saved, or goes on.
pub(super) fn saved(
    cx: &mut Ctx,
    f: &mut Facts,
    by: &str,
    until: Until,
    result: &Result<(), Error>,
) {
    let Some(domain) = &mut f.domain else { return };
    if result.is_err() {
        // libxl has let the domain go on. If it is suspended all the same, somebody else may have done that.
        return;
    }
    let id = domain.id;
    domain.saved = true;
    f.saved = Some(Saved {
        spec: domain.spec.clone(),
        at: cx.now.wall,
    });
    f.hold = Some(Hold {
        run: false,
        until,
        by: by.to_owned(),
        since: cx.now.wall,
    });
    let halt = f.halt.get_or_insert_with(|| Halt::begin(cx.now.mono));
    halt.stage = Stage::Destroy;
    cx.info(format!("domain {id} is saved"));
}

/// The agent has ended while the domain was being saved.
pub(super) fn interrupted(domain: &mut Domain, now: Time) {
    domain.saving_until = Some(now + LATE);
}

/// A domain that was saved is there, and not by us: somebody has made it from the file. What is in that is not what will be,
/// and nobody wants it to be kept down.
pub(super) fn found_alive(cx: &mut Ctx, f: &mut Facts) {
    if f.saved.take().is_none() {
        return;
    }
    f.forget_saved = true;
    f.hold = f.hold.take().filter(|hold| hold.run);
    cx.warn("somebody has restored it: what was saved is out of date and is removed");
}

/// The next step for a domain that is saved, or that somebody began to save.
pub(super) fn next(cx: &mut Ctx, f: &mut Facts) -> Option<Next> {
    let now = cx.now.mono;
    let domain = f.domain.as_mut()?;
    let suspended = is_suspended(domain.life);
    // It may have ended since, too: it has run.
    if domain.saved && !suspended && domain.life != Life::Dying {
        let id = domain.id;
        domain.saved = false;
        (f.saved, f.hold, f.halt) = (None, None, None);
        f.forget_saved = true;
        cx.warn(format!(
            "somebody has resumed domain {id} since it was saved: the file is out of date and is removed"
        ));
        return None;
    }
    if domain.saved {
        return Some(super::halting::destroy(cx, f));
    }
    let until = domain.saving_until?;
    if until <= now {
        domain.saving_until = None;
        return None;
    }
    if suspended {
        let id = domain.id;
        cx.warn(format!(
            "domain {id} was suspended for a save that came to nothing; letting it go on"
        ));
        return Some(Next::Run(Op::Resume(id)));
    }
    None
}

/// The domain that was suspended for a save goes on, or not.
pub(super) fn resumed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Some(domain) = &mut f.domain else { return };
    // Either way it is not tried again: who finds it suspended now may be another.
    domain.saving_until = None;
    if let Err(e) = result {
        let text = format!("domain {} cannot be resumed: {e}", domain.id);
        cx.fail(f, text);
    }
}

/// Removes a file that is worth nothing any more.
pub(super) fn tidy(f: &mut Facts) -> Option<Op> {
    std::mem::take(&mut f.forget_saved).then_some(Op::DiscardSaved)
}

/// The domain is about to run that was made from the file.
pub(super) fn about_to_run(f: &mut Facts) {
    if f.domain.as_ref().is_some_and(|d| d.restored) && f.saved.take().is_some() {
        f.forget_saved = true;
    }
}
