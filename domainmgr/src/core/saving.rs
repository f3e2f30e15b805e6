//! Saving a domain to a file and bringing it back, by an operator's order.
//!
//! A saved domain is in one of two places, never in both: its memory is in the file and the domain does not run again,
//! or the domain runs and the file is worthless. The record tells which, before anything follows from it:
//!
//! * The file is whole before the domain counts as saved, and the domain counts as saved before it is destroyed.
//! * The domain no longer counts as saved before the domain that was restored from the file runs.
//! * A save whose result is unknown has not happened: the domain that was suspended for it goes on.

use std::time::Duration;

use super::answers;
use super::context::{Ctx, Next};
use super::halting;
use super::named_files::is_saved_in;
use super::op::Op;
use super::state::domain::Interrupted;
use super::state::facts::Facts;
use super::state::order::{Answer, Hold, Order, Until};
use super::state::phase::Phase;
use super::state::saved::Saved;
use crate::base::time::Time;
use crate::toolstack::{Error, ErrorKind, Life};

/// Time in which a guest found suspended after a save that came to nothing counts as suspended for that save.
///
/// Guests obey within a second or two. Later, another toolstack may have suspended the guest for a migration, and
/// resuming it would be worse.
const LATE: Duration = Duration::from_secs(10);
/// Time after [`LATE`] within which a look is made.
const LOOK: Duration = Duration::from_secs(2);
/// Time in which a guest may obey that was asked, and was not waited for. libxl lets it go on then.
const GIVEN_UP: Duration = Duration::from_secs(120);

/// Returns the reason why the domain cannot be saved.
pub(super) fn refusal(f: &Facts) -> Option<String> {
    has_devices(f).then(|| {
        "it has devices of the host, whose state cannot be saved: stop it instead".to_owned()
    })
}

/// Returns whether the domain has devices of the host.
pub(super) fn has_devices(f: &Facts) -> bool {
    f.spec().is_some_and(|spec| {
        let given = spec.given.as_ref();
        !spec.adapters.is_empty() || given.is_some_and(|given| !given.pcidevs.is_empty())
    })
}

/// Puts the domain away: its memory is in the file.
pub(super) fn saved(cx: &mut Ctx, f: &mut Facts, by: String, until: Until, file: Option<String>) {
    let Some(domain) = f.phase.domain() else {
        return;
    };
    let id = domain.id;
    if let Some(file) = &file {
        f.past.is_written(file);
    }
    f.saved = Some(Saved {
        spec: domain.spec.clone(),
        file,
        at: cx.now.wall,
        named_by: None,
    });
    f.orders.hold = Some(Hold {
        run: false,
        until,
        by,
        since: cx.now.wall,
    });
    f.phase.put_away();
    cx.info(format!("domain {id} is saved"));
}

/// Takes back a save that came to its end before the newer order or wish could stop it: the domain goes on.
pub(super) fn take_back(cx: &mut Ctx, f: &mut Facts, file: Option<String>) {
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    let id = domain.id;
    domain.interrupted = Some(obeyed(cx.now.mono));
    f.saved = Some(Saved {
        spec: None,
        file,
        at: cx.now.wall,
        named_by: None,
    });
    let file = f.drop_saved();
    cx.warn(format!(
        "domain {id} was saved, and nobody wants that any more: {file}"
    ));
}

/// Remembers that a save has failed. libxl has let the domain go on, and does so again should its guest obey late.
///
/// If the domain is suspended all the same, somebody else may have suspended it.
pub(super) fn failed(cx: &Ctx, f: &mut Facts, why: &Error) {
    let late = match why.kind {
        ErrorKind::Aborted | ErrorKind::TimedOut => GIVEN_UP,
        _ => LATE,
    };
    if let Some(domain) = f.phase.domain_mut() {
        domain.interrupted = Some(Interrupted::Late(Some(cx.now.mono + late)));
    }
}

/// Returns what is known of a save whose request the guest cannot find any more.
fn obeyed(now: Time) -> Interrupted {
    Interrupted::Save(Some(now + LATE))
}

/// Drops the saved memory of a domain that is there although this agent did not restore it.
///
/// Somebody has restored the domain from the file. The file is out of date, and a hold that keeps the domain down no
/// longer applies.
pub(super) fn found_alive(cx: &mut Ctx, f: &mut Facts) {
    if f.saved.is_none() {
        return;
    }
    let file = f.drop_saved();
    f.orders.hold = f.orders.hold.take().filter(|hold| hold.run);
    cx.warn(format!("somebody has restored it: {file}"));
}

/// The next step for a domain that is saved, or that somebody began to save.
pub(super) fn next(cx: &mut Ctx, f: &mut Facts) -> Option<Next> {
    let now = cx.now.mono;
    let domain = f.phase.domain()?;
    let (id, suspended) = (domain.id, domain.is_suspended());
    let saved = matches!(f.phase, Phase::PutAway(_));
    // The domain may have ended since, too: then it has run.
    if saved && !suspended && domain.life != Life::Dying {
        f.phase.taken_back();
        let ordered = f.orders.under_way.as_ref().map(|o| &o.given.order);
        // A stop that was asked for since stands.
        let stops = matches!(ordered, Some(Order::Stop { .. }));
        let saves = matches!(ordered, Some(Order::Save { .. }));
        f.orders.hold = f.orders.hold.take().filter(|_| stops);
        let file = f.drop_saved();
        cx.warn(format!(
            "somebody has resumed domain {id} since it was saved: {file}"
        ));
        if saves {
            let why = "somebody has resumed it since it was saved".to_owned();
            answers::answer_with(cx, f, Answer::Failed(why));
        }
        return None;
    }
    if saved {
        return Some(halting::destroy(cx, f));
    }
    let domain = f.phase.domain_mut()?;
    if domain.interrupted == Some(Interrupted::Asked) {
        return Some(Next::Run(Op::Withdraw(id)));
    }
    let paused = domain.life == Life::Paused;
    let ours = matches!(domain.interrupted, Some(Interrupted::Save(_)));
    let Some(Interrupted::Save(until) | Interrupted::Late(until)) = &mut domain.interrupted else {
        return None;
    };
    *until = (!paused).then(|| until.unwrap_or(now + GIVEN_UP));
    // The event may be lost, so a look is made at that time. What it finds happened before.
    let over = |until: Time| until <= now && (!(suspended && ours) || until + LOOK <= now);
    if until.is_some_and(over) {
        domain.interrupted = None;
        return None;
    }
    if suspended && ours {
        cx.warn(format!(
            "domain {id} was suspended for a save that came to nothing; letting it go on"
        ));
        return Some(Next::Run(Op::Resume(id)));
    }
    None
}

/// Returns the time from which a suspend of the domain has nothing to do with a save of this agent any more.
pub(super) fn settled_at(f: &Facts) -> Option<Time> {
    match f.phase.domain()?.interrupted {
        Some(Interrupted::Save(until) | Interrupted::Late(until)) => until,
        _ => None,
    }
}

/// Handles the result of [`Op::Withdraw`]. The guest may just have acknowledged the request.
pub(super) fn withdrawn(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    domain.interrupted = Some(obeyed(cx.now.mono));
    if let Err(e) = result {
        let id = domain.id;
        cx.warn(format!(
            "domain {id} may still be suspended for a save that came to nothing: the request cannot be taken back: {e}"
        ));
    }
}

/// Handles the result of [`Op::Resume`] for a domain that was suspended for a save.
pub(super) fn resumed(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    // Resuming is not tried again in either case: from now on, somebody else may have suspended the domain.
    domain.interrupted = None;
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
    let restored = matches!(&f.phase, Phase::Built(_, built) if built.restored);
    if restored {
        f.drop_saved();
    }
}

/// Returns the reason why the domain cannot be restored from a file that somebody names.
pub(super) fn restoring_refusal(f: &Facts, file: &str) -> Option<String> {
    if f.phase.has_domain() {
        return Some("there is a domain: stop it first".to_owned());
    }
    let other = f.saved.is_some() && !is_saved_in(f, Some(file));
    other.then(|| {
        "it is saved elsewhere already: restore that, or start it --fresh and stop it first"
            .to_owned()
    })
}

impl Facts {
    /// Forgets what is saved, because the domain runs or is to boot. The agent's own file is removed; one that somebody has
    /// named is theirs. Returns what becomes of it, for people.
    pub(super) fn drop_saved(&mut self) -> String {
        match self.saved.take() {
            Some(Saved {
                file: Some(file),
                at,
                ..
            }) => {
                self.past.is_spent(&file, at);
                format!("{file} is out of date: its guest must not go on from there")
            }
            Some(_) => {
                self.forget_saved = true;
                "what was saved is out of date and is removed".to_owned()
            }
            None => String::new(),
        }
    }
}
