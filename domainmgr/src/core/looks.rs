//! Interpretation of a look at Xen.

use std::time::Duration;

use super::context::Ctx;
use super::effect::Effect;
use super::op::{Op, Scope};
use super::state::backoff::Backoff;
use super::state::boot::Boot;
use super::state::domain::{DeviceModel, Domain, Interrupted};
use super::state::facts::{Facts, Want};
use super::state::life::is_suspended;
use super::{adopt, boot, exit_actions, gone, reasons, receiving, same_uuid};
use crate::base::time::Time;
use crate::host::disks::Copies;
use crate::toolstack::{Error, Life, Seen, ShutdownReason};

/// Pause before the next look at something that only others can change.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Time after which a domain without its device model counts as broken.
///
/// The device model of a domain goes before the domain does, whoever destroys it.
const GOING: Duration = Duration::from_secs(10);

/// Returns the time from which it is certain that a domain without a device model stays.
pub(super) fn broken_at(domain: &Domain) -> Option<Time> {
    match domain.model {
        DeviceModel::Missing(since) => Some(since + GOING),
        DeviceModel::There | DeviceModel::Ended(_) => None,
    }
}

/// Returns the domains to look at next.
pub(super) fn scope(f: &Facts) -> Scope {
    match f.phase.domain() {
        Some(domain) if !f.looks.wide => Scope::One(domain.id),
        _ => Scope::All,
    }
}

pub(super) fn looked(cx: &mut Ctx, f: &mut Facts, scope: Scope, result: Result<Vec<Seen>, Error>) {
    let seen = match result {
        Ok(seen) => {
            f.looks.done = true;
            f.looks.backoff = Backoff::default();
            f.looks.failure = None;
            seen
        }
        Err(e) => {
            // A failed look says nothing about the domain.
            f.looks.stale = true;
            f.looks.backoff.fail(cx.now.mono);
            let text = format!("cannot read the state of the domain: {e}");
            cx.warn(text.clone());
            f.looks.failure = Some((text, cx.now.wall));
            return;
        }
    };
    f.looks.stale = false;
    f.looks.wide = false;
    let there: Vec<&Seen> = seen.iter().filter(|s| s.life != Life::Dying).collect();
    let here = f
        .domain()
        .and_then(|id| there.iter().copied().find(|s| s.id == id));
    match (scope, here) {
        (Scope::One(_), Some(here)) => update(cx, f, here),
        (Scope::One(_), None) => {
            // The domain is gone, or no longer ours. Before anything follows from that, a look at all domains shows
            // whether it has moved.
            f.looks.wide = true;
            f.looks.stale = true;
        }
        (Scope::All, _) => {
            looked_at_all(cx, f, &there, here);
            same_uuid::note(f, &there);
        }
    }
}

fn looked_at_all(cx: &mut Ctx, f: &mut Facts, there: &[&Seen], here: Option<&Seen>) {
    let known = f.domain();
    let others: Vec<&Seen> = there
        .iter()
        .copied()
        .filter(|s| Some(s.id) != known && !same_uuid::is_kept(f, s))
        .collect();
    let best = same_uuid::best(f, &others);
    if let Some(here) = here {
        match best {
            Some(new) if same_uuid::has_moved(f, here, new) => adopt::follow(cx, f, new),
            _ => update(cx, f, here),
        }
        return;
    }
    if let Some(id) = known {
        cx.effects.push(Effect::Unwatch);
        match best {
            // Migrated to this very host, or built by someone else: the domain lives on under another domid.
            Some(new) if f.phase.is_started() => {
                adopt::follow(cx, f, new);
                return;
            }
            _ => gone::gone(cx, f, id),
        }
    }
    match best {
        Some(found) => adopt::found(cx, f, found, others.len()),
        None if others.is_empty() => {
            f.looks.clear = true;
            if let Some(boot) = f.phase.boot_mut() {
                boot.remains = None;
            }
        }
        None => {
            // Someone is building a domain with our uuid, as the receiver of a migration does. Wait until that has
            // ended.
            f.looks.stale = true;
            f.looks.wide = true;
            f.looks.backoff.next = Some(cx.now.mono + LOOK_PAUSE);
        }
    }
}

/// Updates the facts about our domain, which is there.
fn update(cx: &mut Ctx, f: &mut Facts, seen: &Seen) {
    let Some(domain) = f.phase.domain() else {
        return;
    };
    let was = domain.life;
    let ran = seen.life != Life::Paused || seen.cpu_time_ns > 0;
    if domain.interrupted == Some(Interrupted::Start) && !f.phase.is_started() && ran {
        // The domain was started before the agent ended, and the agent did not learn of that.
        if f.is_granted() {
            receiving::landed(cx, f, Ok(()));
        } else {
            boot::started(cx, f);
        }
    }
    if let Some(domain) = f.phase.domain_mut() {
        domain.life = seen.life;
        domain.memory_kib = seen.memory_kib;
        domain.paused_by.take_if(|_| seen.life != Life::Paused);
    }
    if std::mem::take(&mut f.looks.rejoin) && rejoined(cx, f, seen) {
        return;
    }
    note_changes(cx, f, seen);
    if f.phase.is_leftover() && (seen.life == Life::Running || is_suspended(seen.life)) {
        started_by_others(cx, f);
    }
    if !matches!(seen.life, Life::Shutdown(_)) && f.phase.runs_again() {
        cx.warn(format!("domain {} runs again, without our doing", seen.id));
    }
    complain(cx, f);
    if was != seen.life {
        let what = change_of_life(was, seen.life);
        cx.info(format!("domain {} {what}", seen.id));
    }
}

/// Takes up a domain that an earlier run of the agent has left. Returns whether nothing is left to be done about it.
fn rejoined(cx: &mut Ctx, f: &mut Facts, seen: &Seen) -> bool {
    let Some(domain) = f.phase.domain_mut() else {
        return true;
    };
    let id = domain.id;
    cx.info(format!("domain {id} found"));
    cx.effects.push(Effect::Watch(id));
    // Events come only from now on. One more look shows what happened in between.
    f.looks.stale = true;
    match &domain.interrupted {
        Some(Interrupted::Preserve(suffix)) => {
            let suffix = suffix.clone();
            domain.interrupted = None;
            if let Some(old) = name_before(seen, &suffix) {
                // An earlier run of the agent renamed the domain, and did not learn of that.
                domain.name = Some(old);
                exit_actions::stepped(cx, f, &Op::Preserve(id, suffix), Ok(()));
                return true;
            }
        }
        Some(Interrupted::SoftReset) => {
            domain.interrupted = None;
            if seen.life == Life::Paused {
                cx.warn(format!(
                    "the soft reset of domain {id} was cut short; building it anew"
                ));
                let again = Boot::again(domain.spec.clone());
                f.phase.left_over(Some(again));
                f.disks.copies = Copies::Keep;
            }
        }
        Some(
            Interrupted::Start | Interrupted::Asked | Interrupted::Save(_) | Interrupted::Late(_),
        )
        | None => {}
    }
    false
}

/// Returns the name that the domain had before this suffix was added to it; `None` if its name does not end so.
fn name_before(seen: &Seen, suffix: &str) -> Option<String> {
    Some(seen.name.as_deref()?.strip_suffix(suffix)?.to_owned())
}

/// Takes note of the domain's name, of its being suspended, and of its device model.
fn note_changes(cx: &mut Ctx, f: &mut Facts, seen: &Seen) {
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    // A name that cannot be read does not count as another name.
    if seen.name.is_some() && domain.name != seen.name {
        let name = seen.name.clone().unwrap_or_default();
        cx.info(format!("domain {} is called {name} now", domain.id));
        domain.name = Some(name);
    }
    let wall = cx.now.wall;
    domain.suspended = domain
        .is_suspended()
        .then(|| domain.suspended.unwrap_or(wall));
    let was_broken = domain.is_broken();
    let now = cx.now.mono;
    domain.model = match domain.model {
        _ if !seen.orphaned || !matches!(seen.life, Life::Running | Life::Paused) => {
            DeviceModel::There
        }
        DeviceModel::There => DeviceModel::Missing(now),
        DeviceModel::Missing(since) | DeviceModel::Ended(since) if now >= since + GOING => {
            DeviceModel::Ended(since)
        }
        DeviceModel::Missing(since) | DeviceModel::Ended(since) => DeviceModel::Missing(since),
    };
    if was_broken && domain.model == DeviceModel::There {
        f.error = None;
    }
}

/// Someone has started the domain, half-built or not. A running domain is not destroyed just to tidy up.
fn started_by_others(cx: &Ctx, f: &mut Facts) {
    f.phase.started();
    if let Some(domain) = f.phase.domain_mut() {
        domain.since = cx.now.mono;
        domain.destroying = Backoff::default();
    }
    f.past.boot_time = Some(cx.now.wall);
    f.error = None;
}

/// Reports a device model that has ended, and a domain that is still there after it was destroyed.
fn complain(cx: &mut Ctx, f: &mut Facts) {
    let Some(domain) = f.phase.domain() else {
        return;
    };
    if f.error.is_some() {
        return;
    }
    let id = domain.id;
    let failed = domain.destroying.failures > 0;
    // A domain that is to stop is not reported as broken once more.
    let runs = f.phase.is_started() && !f.phase.goes_down() && f.want() == Want::Run;
    if domain.is_broken() && runs {
        cx.fail(f, reasons::broken(id));
    } else if failed {
        cx.fail(
            f,
            format!("domain {id} is still there after it was destroyed"),
        );
    }
}

/// Description of a change of the domain's life.
fn change_of_life(was: Life, life: Life) -> String {
    match (was, life) {
        (_, Life::Shutdown(ShutdownReason::SUSPEND)) => "is suspended".to_owned(),
        (_, Life::Shutdown(reason)) => format!("shut down: {reason}"),
        (_, Life::Paused) => "is paused".to_owned(),
        (Life::Shutdown(_), Life::Running) => "was resumed".to_owned(),
        (_, Life::Running) => "runs".to_owned(),
        (_, Life::Dying) => "is dying".to_owned(),
    }
}
