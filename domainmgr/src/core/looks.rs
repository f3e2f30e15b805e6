//! What a look at Xen means.

use super::facts::{After, Domain, ExitStep, Facts, Rest, Scope, Want, doubling};
use super::{Ctx, Effect, LOOK_PAUSE, retries};
use crate::toolstack::{DomainId, Error, Life, Seen, ShutdownReason};
use std::time::Duration;

/// What to look at.
pub(super) fn scope(f: &Facts) -> Scope {
    match &f.domain {
        Some(domain) if !f.look_wide => Scope::One(domain.id),
        _ => Scope::All,
    }
}

pub(super) fn looked(cx: &mut Ctx, f: &mut Facts, scope: Scope, result: Result<Vec<Seen>, Error>) {
    f.looked = true;
    let seen = match result {
        Ok(seen) => {
            f.looking = super::facts::Backoff::default();
            seen
        }
        Err(e) => {
            // Not being able to look says nothing about the domain.
            f.stale = true;
            f.looking.fail(cx.now.mono);
            cx.fail(f, format!("cannot read the state of the domain: {e}"));
            return;
        }
    };
    f.stale = false;
    let known = f.domain.as_ref().map(|d| d.id);
    let our_name = f.name();
    let live: Vec<&Seen> = seen
        .iter()
        .filter(|s| s.life != Life::Dying)
        .filter(|s| Some(s.id) == known || !preserved(s, our_name.as_deref()))
        .collect();
    if let Some(here) = known.and_then(|id| live.iter().find(|s| s.id == id)) {
        f.look_wide = false;
        update(cx, f, here.life);
        return;
    }
    if matches!(scope, Scope::One(_)) {
        // It is gone, or no longer ours. Before anything follows from that: did it move?
        f.look_wide = true;
        f.stale = true;
        return;
    }
    f.look_wide = false;
    let moved = live.iter().find(|s| adoptable(s));
    if let Some(id) = known {
        cx.effects.push(Effect::Unwatch);
        match moved {
            Some(to) if f.domain.as_ref().is_some_and(|d| d.started) => {
                // Migrated to this very host, or built by someone else: it lives on under another number.
                cx.info(format!("domain {id} lives on as domain {}", to.id));
                f.exit = None;
                let spec = f.domain.take().and_then(|d| d.spec);
                adopt(cx, f, to, spec);
                return;
            }
            _ => gone(cx, f, id),
        }
    }
    match moved {
        Some(found) => found_one(cx, f, found, live.len()),
        None if live.is_empty() => {
            f.clear = true;
            f.create_failed = false;
            let lost = f.previous.as_ref().is_some_and(|p| p.activated);
            if lost && known.is_none() && !f.has_run {
                gone_while_away(cx, f);
            }
            if f.domain.is_none() {
                f.has_run |= f.previous.as_ref().is_some_and(|p| p.activated);
            }
        }
        None => {
            // Someone is building a domain with our uuid, as the receiver of a migration does. Wait for what it becomes.
            f.stale = true;
            f.look_wide = true;
            f.looking.next = Some(cx.now.mono + LOOK_PAUSE);
        }
    }
}

/// A dead domain that was kept, by us or by xl. It has another name, but to the hypervisor still our uuid.
fn preserved(seen: &Seen, our_name: Option<&str>) -> bool {
    let dead = matches!(seen.life, Life::Shutdown(reason) if reason != ShutdownReason::SUSPEND);
    let Some(name) = seen
        .name
        .as_deref()
        .filter(|n| dead && Some(*n) != our_name)
    else {
        return false;
    };
    // It ends in a date and a time: -20160104T1531Z with xl, -20160104T153107Z.DOMID with us.
    let Some((_, suffix)) = name.rsplit_once('-') else {
        return false;
    };
    let (date, time) = suffix.split_at_checked(8).unwrap_or_default();
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let time = time.strip_prefix('T').and_then(|t| t.split_once('Z'));
    digits(date) && time.is_some_and(|(time, _)| digits(time))
}

/// The receiving end of a migration has our uuid too, but is not to be touched before it has its proper name.
fn adoptable(seen: &Seen) -> bool {
    !seen
        .name
        .as_deref()
        .is_some_and(|n| n.ends_with("--incoming"))
}

fn update(cx: &mut Ctx, f: &mut Facts, life: Life) {
    let Some(domain) = &mut f.domain else {
        return;
    };
    let was = domain.life;
    domain.life = life;
    let id = domain.id;
    let lives = matches!(
        life,
        Life::Running | Life::Shutdown(ShutdownReason::SUSPEND)
    );
    if domain.leftover && lives {
        // Half-built or not: someone has started it, and what runs is not destroyed for tidiness.
        domain.leftover = false;
        domain.started = true;
        domain.since = cx.now.mono;
        f.boot_time = Some(cx.now.wall);
        f.destroying = super::facts::Backoff::default();
        f.boot_failed = false;
        f.next_retry = None;
        f.error = None;
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

/// A domain we did not know of is there.
fn found_one(cx: &mut Ctx, f: &mut Facts, found: &Seen, how_many: usize) {
    if how_many > 1 {
        cx.warn(format!(
            "{how_many} domains have our uuid; looking after domain {}",
            found.id
        ));
    }
    let never_ran = found.life == Life::Paused && found.cpu_time_ns == 0;
    let ours_unfinished = f.create_failed
        || f.previous
            .as_ref()
            .is_some_and(|p| !(p.activated && p.domid == Some(found.id.domid)));
    let our_name = found.name.is_none() || found.name == f.name();
    f.create_failed = false;
    if never_ran && ours_unfinished && our_name {
        cx.warn(format!(
            "domain {} was left half-built; destroying it",
            found.id
        ));
        f.domain = Some(Domain {
            id: found.id,
            life: found.life,
            started: false,
            leftover: true,
            since: cx.now.mono,
            spec: None,
        });
        return;
    }
    cx.info(format!("domain {} found", found.id));
    adopt(cx, f, found, None);
}

fn adopt(
    cx: &mut Ctx,
    f: &mut Facts,
    found: &Seen,
    spec: Option<std::sync::Arc<crate::spec::Spec>>,
) {
    f.boot_time = f
        .boot_time
        .or_else(|| {
            f.previous
                .as_ref()
                .filter(|p| p.domid == Some(found.id.domid))
                .and_then(|p| p.boot_time)
        })
        .or(Some(cx.now.wall));
    f.has_run = true;
    f.restarting = false;
    f.boot_failed = false;
    f.ended = false;
    f.rest = Rest::Ready;
    f.next_retry = None;
    f.error = None;
    f.clear = false;
    f.domain = Some(Domain {
        id: found.id,
        life: found.life,
        started: true,
        leftover: false,
        since: cx.now.mono,
        spec,
    });
    cx.effects.push(Effect::Watch(found.id));
    // Watched from now on: what happened in between is seen by looking once more.
    f.stale = true;
}

/// Our domain is no more.
fn gone(cx: &mut Ctx, f: &mut Facts, id: DomainId) {
    let Some(domain) = f.domain.take() else {
        return;
    };
    let halt = f.halt.take();
    let exit = f.exit.take();
    f.destroying = super::facts::Backoff::default();
    f.boot_time = None;
    if domain.leftover {
        cx.info(format!("domain {id} is gone"));
        return;
    }
    if f.want() != Want::Run || halt.is_some() {
        cx.info(format!("domain {id} is gone"));
        f.rest = Rest::Ready;
        f.restarting = halt.is_some() && f.want() == Want::Run;
        f.rebuild = None;
        f.tries = 0;
        f.error = None;
        if f.want() == Want::Stop {
            f.pending = None;
        }
        return;
    }
    f.tries = 0;
    match exit {
        Some(exit) if exit.after == After::Restart => {
            f.restarts = f.restarts.saturating_add(1);
            f.restarting = true;
            f.rebuild.clone_from(&domain.spec);
            f.last_exit = Some(exit.reason.to_string());
            let pause = slow_down(cx, f, &domain);
            f.rest = if pause.is_zero() {
                Rest::Ready
            } else {
                cx.warn(format!(
                    "it rebooted too soon after its start; waiting {} s",
                    pause.as_secs()
                ));
                f.next_retry = Some(cx.now.wall + pause);
                Rest::Until(cx.now.mono + pause)
            };
        }
        Some(exit) => ended(
            cx,
            f,
            exit.reason.to_string(),
            exit.reason == ShutdownReason::POWEROFF,
        ),
        None if domain.started => {
            cx.warn(format!("domain {id} was destroyed, not by us"));
            ended(cx, f, "destroyed from outside".to_owned(), false);
        }
        None => {
            let e = Error::new(
                crate::toolstack::ErrorKind::Other,
                format!("domain {id} vanished before it was started"),
            );
            f.tries = f.tries.max(1);
            super::boot_failed(cx, f, &e);
        }
    }
}

/// The previous run of the agent had left a domain running, and it is no more.
fn gone_while_away(cx: &mut Ctx, f: &mut Facts) {
    f.has_run = true;
    if f.want() == Want::Run {
        cx.warn("the domain is gone since the agent last ran");
        ended(
            cx,
            f,
            "gone while the agent was not running".to_owned(),
            false,
        );
    }
}

/// The guest ended although it should run, and is not to be restarted at once.
pub(super) fn ended(cx: &mut Ctx, f: &mut Facts, why: String, peacefully: bool) {
    if !peacefully {
        f.error = Some((format!("the domain ended: {why}"), cx.now.wall));
    }
    f.last_exit = Some(why);
    f.ended = true;
    f.restarting = false;
    if retries(f) {
        let pause = f.settings.boot_retry;
        f.rest = Rest::Until(cx.now.mono + pause);
        f.next_retry = Some(cx.now.wall + pause);
    } else {
        f.rest = Rest::Ended;
        f.next_retry = None;
    }
}

/// How long to wait before building again what did not live long: nothing the first time, then 2 s, 4 s … 60 s.
pub(super) fn slow_down(cx: &Ctx, f: &mut Facts, domain: &Domain) -> Duration {
    if cx.now.mono.since(domain.since) >= f.settings.short_life {
        f.short_lives = 0;
        return Duration::ZERO;
    }
    f.short_lives = f.short_lives.saturating_add(1);
    match f.short_lives {
        1 => Duration::ZERO,
        n => doubling(Duration::from_secs(2), n - 2),
    }
}

/// A step that is left over when a domain is only to be destroyed.
pub(super) fn only_destroy() -> Vec<ExitStep> {
    vec![ExitStep::Destroy]
}
