//! Consequences of the end of our domain.

use super::facts::{After, Backoff, Facts, Rest, Want};
use super::halting::Stage;
use super::wishes::retries;
use super::{Ctx, Now, order, pace, sibling};
use crate::disks::Copies;
use crate::toolstack::{DomainId, Error, ErrorKind, ShutdownReason};

/// Handles the end of our domain: it is no longer in Xen.
pub(super) fn gone(cx: &mut Ctx, f: &mut Facts, id: DomainId) {
    let Some(domain) = f.domain.take() else {
        return;
    };
    let halt = f.halt.take();
    let exit = f.exit.take();
    let away = std::mem::take(&mut f.rejoin);
    f.untidy = true;
    f.destroying = Backoff::default();
    f.boot_time = None;
    if domain.leftover {
        cx.info(format!("domain {id} is gone"));
        // A restart that was ordered meanwhile is served by the domain that is built now.
        f.cycle = false;
        return;
    }
    f.copies = Copies::Fresh;
    // A domain that was asked to stop and then to run again is built anew, unless an outsider has carried it off.
    let carried_off = sibling::is_suspended(domain.life)
        && halt.as_ref().is_some_and(|h| h.stage != Stage::Destroy);
    if f.want() != Want::Run || (halt.is_some() && !carried_off) {
        cx.info(format!("domain {id} is gone"));
        f.rest = Rest::Ready;
        f.copies = order::copies_after_halt(f);
        f.cycle = false;
        f.restarting = halt.is_some() && f.want() == Want::Run;
        f.rebuild = None;
        f.tries = 0;
        f.error = None;
        if f.want() == Want::Stop {
            f.pending = None;
        }
        return;
    }
    f.cycle = false;
    f.tries = 0;
    if away && f.renewed {
        // A newer wish is started, whatever happened to the old domain.
        cx.info(format!("domain {id} is gone since the agent last ran"));
        f.rest = Rest::Ready;
        f.error = None;
        return;
    }
    match exit {
        Some(exit) if exit.after == After::Restart => {
            f.restarts = f.restarts.saturating_add(1);
            f.restarting = true;
            f.copies = Copies::Keep;
            f.rebuild.clone_from(&domain.spec);
            f.last_exit.get_or_insert_with(|| exit.reason.to_string());
            pace::before_restart(cx, f, domain.since);
        }
        Some(exit) => ended(cx, f, exit.reason.to_string(), is_peaceful(exit.reason)),
        None if away && (domain.started || domain.reset || domain.maybe_started) => {
            cx.warn("the domain is gone since the agent last ran");
            vanished(cx, f, "gone while the agent was not running");
        }
        None if domain.started || domain.reset => {
            let how = if sibling::is_migrated_away(domain.name.as_deref()) {
                "migrated away"
            } else if sibling::is_suspended(domain.life) {
                "destroyed from outside while suspended: saved or migrated away"
            } else {
                "destroyed from outside"
            };
            cx.warn(format!("domain {id} is gone, not by us: {how}"));
            vanished(cx, f, how);
        }
        None => {
            let e = Error::new(
                ErrorKind::Other,
                format!("domain {id} vanished before it was started"),
            );
            f.tries = f.tries.max(1);
            // Nothing has been written to the copies since they were made ready. Before that, the guest may have
            // written to them, if this was a restart.
            f.copies = Copies::Keep;
            super::boot_failed(cx, f, &e);
        }
    }
}

/// Takes note that an outsider ended the domain.
///
/// The domain may live on elsewhere, or in a file. Only a newer wish builds another one, whatever the policy says about
/// guests that end on their own.
fn vanished(cx: &mut Ctx, f: &mut Facts, how: &str) {
    f.vanished = true;
    f.last_action = None;
    ended(cx, f, how.to_owned(), false);
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

/// Handles the end of a guest that should run, and is not to be restarted at once.
fn ended(cx: &mut Ctx, f: &mut Facts, why: String, peacefully: bool) {
    note_end(cx.now, f, why, peacefully);
}

/// Takes note of an end after which the domain is not to be restarted at once.
pub(super) fn note_end(now: Now, f: &mut Facts, why: String, peacefully: bool) {
    if !peacefully {
        f.error = Some((error(&why), now.wall));
    }
    f.last_exit = Some(why);
    f.ended = true;
    f.restarting = false;
    if retries(f) {
        let pause = f.settings.boot_retry;
        f.rest = Rest::Until(now.mono + pause);
        f.next_retry = Some(now.wall + pause);
    } else {
        f.rest = Rest::Ended;
        f.next_retry = None;
    }
}
