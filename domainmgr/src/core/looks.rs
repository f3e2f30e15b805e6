//! Interpretation of a look at Xen.

use std::time::Duration;

use super::facts::{Backoff, Domain, Facts, Want};
use super::op::{Op, Scope};
use super::time::Time;
use super::{Ctx, Effect, LOOK_PAUSE, adopt, ends, gone, reasons, sibling};
use crate::disks::Copies;
use crate::toolstack::{Error, Life, Seen, ShutdownReason};

/// Time after which a domain without its device model counts as broken.
///
/// The device model of a domain goes before the domain does, whoever destroys it.
const GOING: Duration = Duration::from_secs(10);

/// Returns the time from which it is certain that a domain without a device model stays.
pub(super) fn broken_at(domain: &Domain) -> Option<Time> {
    domain
        .orphaned
        .filter(|_| !domain.broken)
        .map(|since| since + GOING)
}

/// Returns the domains to look at next.
pub(super) fn scope(f: &Facts) -> Scope {
    match &f.domain {
        Some(domain) if !f.look_wide => Scope::One(domain.id),
        _ => Scope::All,
    }
}

pub(super) fn looked(cx: &mut Ctx, f: &mut Facts, scope: Scope, result: Result<Vec<Seen>, Error>) {
    let seen = match result {
        Ok(seen) => {
            f.looked = true;
            f.looking = Backoff::default();
            f.unreadable = None;
            seen
        }
        Err(e) => {
            // A failed look says nothing about the domain.
            f.stale = true;
            f.looking.fail(cx.now.mono);
            let text = format!("cannot read the state of the domain: {e}");
            cx.warn(text.clone());
            f.unreadable = Some((text, cx.now.wall));
            return;
        }
    };
    f.stale = false;
    f.look_wide = false;
    let there: Vec<&Seen> = seen.iter().filter(|s| s.life != Life::Dying).collect();
    let here = f
        .domain()
        .and_then(|id| there.iter().copied().find(|s| s.id == id));
    match (scope, here) {
        (Scope::One(_), Some(here)) => update(cx, f, here),
        (Scope::One(_), None) => {
            // The domain is gone, or no longer ours. Before anything follows from that, a look at all domains shows
            // whether it has moved.
            f.look_wide = true;
            f.stale = true;
        }
        (Scope::All, _) => {
            looked_at_all(cx, f, &there, here);
            sibling::note(f, &there);
        }
    }
}

fn looked_at_all(cx: &mut Ctx, f: &mut Facts, there: &[&Seen], here: Option<&Seen>) {
    let known = f.domain();
    let others: Vec<&Seen> = there
        .iter()
        .copied()
        .filter(|s| Some(s.id) != known && !sibling::is_kept(f, s))
        .collect();
    let best = sibling::best(f, &others);
    if let Some(here) = here {
        match best {
            Some(new) if sibling::has_moved(f, here, new) => adopt::follow(cx, f, new),
            _ => update(cx, f, here),
        }
        return;
    }
    if let Some(id) = known {
        cx.effects.push(Effect::Unwatch);
        match best {
            // Migrated to this very host, or built by someone else: the domain lives on under another domid.
            Some(new) if f.domain.as_ref().is_some_and(|d| d.started) => {
                adopt::follow(cx, f, new);
                return;
            }
            _ => gone::gone(cx, f, id),
        }
    }
    match best {
        Some(found) => adopt::found(cx, f, found, others.len()),
        None if others.is_empty() => {
            f.clear = true;
            f.create_failed = None;
        }
        None => {
            // Someone is building a domain with our uuid, as the receiver of a migration does. Wait until that has
            // ended.
            f.stale = true;
            f.look_wide = true;
            f.looking.next = Some(cx.now.mono + LOOK_PAUSE);
        }
    }
}

/// Updates the facts about our domain, which is there.
fn update(cx: &mut Ctx, f: &mut Facts, seen: &Seen) {
    let Some(domain) = &mut f.domain else {
        return;
    };
    let (id, was, life) = (domain.id, domain.life, seen.life);
    let ran = life != Life::Paused || seen.cpu_time_ns > 0;
    if domain.maybe_started && !domain.started && ran {
        // The domain was started before the agent ended, and the agent did not learn of that.
        super::started(cx, f);
    }
    let Some(domain) = &mut f.domain else {
        return;
    };
    domain.life = life;
    domain.memory_kib = seen.memory_kib;
    domain.paused_by = domain.paused_by.take().filter(|_| life == Life::Paused);
    if std::mem::take(&mut f.rejoin) {
        cx.info(format!("domain {id} found"));
        cx.effects.push(Effect::Watch(id));
        // Events come only from now on. One more look shows what happened in between.
        f.stale = true;
        if let Some(suffix) = ends::was_renamed(domain, seen) {
            // An earlier run of the agent renamed the domain, and did not learn of that.
            ends::stepped(cx, f, &Op::Preserve(id, suffix), Ok(()));
            return;
        }
        if std::mem::take(&mut domain.half_reset) && life == Life::Paused {
            cx.warn(format!(
                "the soft reset of domain {id} was cut short; building it anew"
            ));
            domain.leftover = true;
            f.exit = None;
            f.restarting = true;
            f.copies = Copies::Keep;
            f.rebuild.clone_from(&domain.spec);
        }
    }
    // A name that cannot be read does not count as another name.
    if seen.name.is_some() && domain.name != seen.name {
        let name = seen.name.clone().unwrap_or_default();
        cx.info(format!("domain {id} is called {name} now"));
        domain.name = Some(name);
    }
    domain.suspended = sibling::is_suspended(life).then(|| domain.suspended.unwrap_or(cx.now.wall));
    let now = cx.now.mono;
    domain.orphaned = seen
        .orphaned
        .then(|| domain.orphaned.unwrap_or(now))
        .filter(|_| matches!(life, Life::Running | Life::Paused));
    let mended = domain.broken && domain.orphaned.is_none();
    domain.broken = domain.orphaned.is_some_and(|since| now >= since + GOING);
    if mended {
        f.error = None;
    }
    let lives = life == Life::Running || sibling::is_suspended(life);
    if domain.leftover && lives {
        // Someone has started the domain, half-built or not. A running domain is not destroyed just to tidy up.
        domain.leftover = false;
        domain.started = true;
        domain.since = cx.now.mono;
        f.boot_time = Some(cx.now.wall);
        f.destroying = Backoff::default();
        f.boot_failed = false;
        f.next_retry = None;
        f.error = None;
    }
    let broken = f
        .domain
        .as_ref()
        .is_some_and(|d| d.broken && d.started && !d.leftover);
    // A domain that is to stop is not reported as broken once more.
    if broken && f.want() == Want::Run && f.halt.is_none() && f.error.is_none() {
        cx.fail(f, reasons::broken(id));
    }
    if !matches!(life, Life::Shutdown(_)) && f.exit.take().is_some() {
        cx.warn(format!("domain {id} runs again, without our doing"));
    }
    if f.destroying.failures > 0 && f.error.is_none() {
        cx.fail(
            f,
            format!("domain {id} is still there after it was destroyed"),
        );
    }
    if was == life {
        return;
    }
    let what = match (was, life) {
        (_, Life::Shutdown(ShutdownReason::SUSPEND)) => "is suspended".to_owned(),
        (_, Life::Shutdown(reason)) => format!("shut down: {reason}"),
        (_, Life::Paused) => "is paused".to_owned(),
        (Life::Shutdown(_), Life::Running) => "was resumed".to_owned(),
        (_, Life::Running) => "runs".to_owned(),
        (_, Life::Dying) => "is dying".to_owned(),
    };
    cx.info(format!("domain {id} {what}"));
}
