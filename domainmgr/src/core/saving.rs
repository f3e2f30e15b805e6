//! Saving a domain to a file and bringing it back, by an operator's order.
//!
//! A saved domain is in one of two places, never in both: its memory is in the file and the domain does not run again,
//! or the domain runs and the file is worthless. The record tells which, before anything follows from it:
//!
//! * The file is whole before the domain counts as saved, and the domain counts as saved before it is destroyed.
//! * The domain no longer counts as saved before the domain that was restored from the file runs.
//! * A save whose result is unknown has not happened: the domain that was suspended for it goes on.

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

/// Time in which a guest found suspended after a save that came to nothing counts as suspended for that save.
///
/// Guests obey within a second or two. Later, another toolstack may have suspended the guest for a migration, and
/// resuming it would be worse.
const LATE: Duration = Duration::from_secs(10);

/// A domain whose memory is in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Spec that the domain was built from; `None` if unknown.
    pub(super) spec: Option<Arc<Spec>>,
    /// Time of the save.
    pub(super) at: OffsetDateTime,
}

/// Returns the reason why the domain cannot be saved.
pub(super) fn refusal(f: &Facts) -> Option<String> {
    let devices = f.spec().is_some_and(|spec| {
        let given = spec.given.as_ref();
        !spec.adapters.is_empty() || given.is_some_and(|given| !given.pcidevs.is_empty())
    });
    devices.then(|| {
        "it has devices of the host, whose state cannot be saved: stop it instead".to_owned()
    })
}

/// Handles the result of [`Op::Save`]: the domain has been saved, or goes on.
pub(super) fn saved(
    cx: &mut Ctx,
    f: &mut Facts,
    by: &str,
    until: Until,
    result: &Result<(), Error>,
) {
    let Some(domain) = &mut f.domain else { return };
    if result.is_err() {
        // libxl has let the domain go on. If it is suspended all the same, somebody else may have suspended it.
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

/// Takes note that the agent ended while the domain was being saved.
pub(super) fn interrupted(domain: &mut Domain, now: Time) {
    domain.saving_until = Some(now + LATE);
}

/// Drops the saved memory of a domain that is there although this agent did not restore it.
///
/// Somebody has restored the domain from the file. The file is out of date, and a hold that keeps the domain down no
/// longer applies.
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
    // The domain may have ended since, too: then it has run.
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

/// Handles the result of [`Op::Resume`] for a domain that was suspended for a save.
pub(super) fn resumed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Some(domain) = &mut f.domain else { return };
    // Resuming is not tried again in either case: from now on, somebody else may have suspended the domain.
    domain.saving_until = None;
    if let Err(e) = result {
        let text = format!("domain {} cannot be resumed: {e}", domain.id);
        cx.fail(f, text);
    }
}

/// Removes the file of a saved domain, if it is out of date.
pub(super) fn tidy(f: &mut Facts) -> Option<Op> {
    std::mem::take(&mut f.forget_saved).then_some(Op::DiscardSaved)
}

/// Drops the saved memory, because the domain that was restored from it is about to run.
pub(super) fn about_to_run(f: &mut Facts) {
    if f.domain.as_ref().is_some_and(|d| d.restored) && f.saved.take().is_some() {
        f.forget_saved = true;
    }
}
