//! Consequences of the end of our domain.

use super::boot;
use super::context::Ctx;
use super::state::boot::{Boot, Cause, Rest};
use super::state::domain::{Domain, Interrupted};
use super::state::exit::{After, Exit};
use super::state::facts::{Facts, Want};
use super::state::halt::Stage;
use super::state::moving::{Moving, Word};
use super::state::names::is_migrated_away;
use super::state::phase::{Halting, Phase, Unstarted};
use super::{elsewhere, orders, restart_pause};
use crate::base::time::Now;
use crate::host::disks::Copies;
use crate::spec::settings::PoweroffPolicy;
use crate::toolstack::{DomainId, Error, ErrorKind, ShutdownReason};

/// Handles the end of our domain: it is no longer in Xen.
pub(super) fn gone(cx: &mut Ctx, f: &mut Facts, id: DomainId) {
    let away = std::mem::take(&mut f.looks.rejoin);
    f.disks.untidy = true;
    f.past.boot_time = None;
    let phase = f.phase.down(Boot::default());
    if phase.is_leftover() {
        cx.info(format!("domain {id} is gone"));
        f.phase.down(phase.into_boot());
        return;
    }
    let phase = match phase {
        Phase::GivenAway(_, moving) => {
            given_away(cx, f, &moving);
            return;
        }
        other => other,
    };
    f.disks.copies = Copies::Fresh;
    // A domain that was asked to stop and then to run again is built anew, unless an outsider has carried it off.
    let brought_down = phase.goes_down() && !is_carried_off(&phase);
    if f.want() != Want::Run || brought_down {
        cx.info(format!("domain {id} is gone"));
        let again = brought_down && f.want() == Want::Run;
        f.disks.copies = orders::copies_after_halt(f, phase.is_built_again());
        after_halt(f, phase.into_boot(), again);
        return;
    }
    f.past.tries = 0;
    if away && f.wish.renewed {
        // A newer wish is started, whatever happened to the old domain.
        cx.info(format!("domain {id} is gone since the agent last ran"));
        let boot = Boot {
            rest: Rest::Ready,
            ..phase.into_boot()
        };
        f.phase.down(boot);
        f.error = None;
        return;
    }
    match phase {
        Phase::Ending(domain, exit) => after_exit(cx, f, domain, &exit),
        Phase::Built(domain, unstarted) => never_started(cx, f, &domain, unstarted, away),
        Phase::Up(domain) | Phase::Halting(domain, _) => ended_from_outside(cx, f, &domain, away),
        Phase::Down(_) | Phase::Leftover(..) | Phase::PutAway(_) | Phase::GivenAway(..) => {}
    }
}

/// Takes note that the domain of a guest that was given away is gone.
fn given_away(cx: &mut Ctx, f: &mut Facts, moving: &Moving) {
    let confirmed = moving.word == Word::Runs;
    let host = &moving.to.host;
    let how = if confirmed {
        format!("migrated to {host}")
    } else {
        cx.warn(format!(
            "the domain is gone, not by us, and {host} has not said whether the guest runs there"
        ));
        format!("given away to {host}, which has not said whether it runs there")
    };
    f.past.last_action = None;
    elsewhere::note(f, moving, cx.now.wall, confirmed);
    note_end(cx.now, f, Cause::Vanished, how, confirmed);
}

/// Returns whether an outsider has carried the domain off while it was being brought down.
fn is_carried_off(phase: &Phase) -> bool {
    match phase {
        Phase::Halting(domain, Halting { halt, .. }) => {
            domain.is_suspended() && halt.stage != Stage::Destroy
        }
        _ => false,
    }
}

/// The domain was brought down, and is built `again` if the wish has changed since.
fn after_halt(f: &mut Facts, mut boot: Boot, again: bool) {
    boot.rest = Rest::Ready;
    boot.rebuild = None;
    boot.no_restart();
    if again {
        boot.cause = Cause::Restart;
    }
    f.phase.down(boot);
    f.past.tries = 0;
    f.error = None;
    if f.want() == Want::Stop {
        f.wish.pending = None;
    }
}

/// The guest ended, and its action has been carried out.
fn after_exit(cx: &mut Ctx, f: &mut Facts, domain: Domain, exit: &Exit) {
    if exit.after == After::Restart {
        f.past.restarts = f.past.restarts.saturating_add(1);
        f.phase.down(Boot::again(domain.spec));
        f.disks.copies = Copies::Keep;
        f.past
            .last_exit
            .get_or_insert_with(|| exit.reason.to_string());
        restart_pause::before_restart(cx, f, domain.since);
    } else {
        let peacefully = is_peaceful(exit.reason);
        note_end(cx.now, f, Cause::Ended, exit.reason.to_string(), peacefully);
    }
}

/// The domain had been built, and was gone before this agent started it.
fn never_started(cx: &mut Ctx, f: &mut Facts, domain: &Domain, built: Unstarted, away: bool) {
    let maybe_started = domain.interrupted == Some(Interrupted::Start);
    if built.reset || (away && maybe_started) {
        ended_from_outside(cx, f, domain, away);
        return;
    }
    let e = Error::new(
        ErrorKind::Other,
        format!("domain {} vanished before it was started", domain.id),
    );
    f.past.tries = f.past.tries.max(1);
    // Nothing has been written to the copies since they were made ready. Before that, the guest may have written to
    // them, if this was a restart.
    f.disks.copies = Copies::Keep;
    f.phase.down(built.boot);
    boot::failed(cx, f, &e);
}

/// Takes note that an outsider ended the domain.
///
/// The domain may live on elsewhere, or in a file. Only a newer wish builds another one, whatever the policy says about
/// guests that end on their own.
fn ended_from_outside(cx: &mut Ctx, f: &mut Facts, domain: &Domain, away: bool) {
    let how = if away {
        cx.warn("the domain is gone since the agent last ran");
        "gone while the agent was not running"
    } else {
        let how = if is_migrated_away(domain.name.as_deref()) {
            "migrated away"
        } else if domain.is_suspended() {
            "destroyed from outside while suspended: saved or migrated away"
        } else {
            "destroyed from outside"
        };
        cx.warn(format!("domain {} is gone, not by us: {how}", domain.id));
        how
    };
    f.past.last_action = None;
    note_end(cx.now, f, Cause::Vanished, how.to_owned(), false);
}

/// Reason shown for the end of a domain that was suspended when its host was switched off.
pub(super) const LOST_SUSPENDED: &str =
    "gone with its host while suspended: saved or migrated away";

/// Returns whether the guest wanted to end, going by the reason.
pub(super) fn is_peaceful(reason: ShutdownReason) -> bool {
    reason == ShutdownReason::POWEROFF
}

fn error(why: &str) -> String {
    format!("the domain ended: {why}")
}

/// Takes note of an end after which the domain is not to be restarted at once.
pub(super) fn note_end(now: Now, f: &mut Facts, cause: Cause, why: String, peacefully: bool) {
    if !peacefully {
        f.error = Some((error(&why), now.wall));
    }
    f.past.last_exit = Some(why);
    let mut boot = Boot::of(cause);
    if cause == Cause::Ended && retries(f) {
        let pause = f.settings.boot_retry;
        boot.rest = Rest::Until(now.mono + pause);
        boot.next_retry = Some(now.wall + pause);
    } else {
        boot.rest = Rest::Ended;
    }
    f.phase.down(boot);
}

/// Returns whether a guest that ended although it should run is started again some time.
pub(super) fn retries(f: &Facts) -> bool {
    !f.phase.has_vanished() && f.settings.poweroff_policy == PoweroffPolicy::Retry
}
