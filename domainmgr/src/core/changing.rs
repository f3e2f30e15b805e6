//! Changes to a running domain by an operator's order, and their record.
//!
//! A change is recorded before it is made, and its result afterwards. An agent that does not know the result makes the
//! change once more: it looks at what the domain has, and does what is missing. Changes apply in addition to the wish:
//! the next domain is built with them, until a newer wish comes.

use std::sync::Arc;

use super::answers;
use super::context::{Ctx, Next};
use super::op::Op;
use super::running::running;
use super::state::changing::Changing;
use super::state::facts::Facts;
use super::state::wish::File;
use crate::spec::change::{Change, Changes, check};
use crate::spec::{Disk, Spec};
use crate::toolstack::{Error, Life};

/// Returns the spec that the domain runs with or, if there is none, the spec of the next domain.
fn present(f: &Facts) -> Option<Arc<Spec>> {
    let built = f.phase.domain().and_then(|d| d.spec.clone());
    let wished = || f.wish.desired.as_ref()?.spec.clone().ok();
    built.or_else(|| wished().map(|spec| f.changes.applied(&spec)))
}

/// Returns the reason why the change cannot be made or recorded.
pub(super) fn refusal(f: &Facts, change: &Change) -> Option<String> {
    if !f.phase.has_domain() && f.saved.is_some() {
        return Some(
            "it is saved, and goes on as it was: restore it first, or start it with --fresh"
                .to_owned(),
        );
    }
    let Some(spec) = present(f) else {
        let wished = f.wish.desired.as_ref().map(|d| &d.spec);
        let why = wished.and_then(|spec| spec.as_ref().err().cloned());
        return Some(why.unwrap_or_else(|| "nobody knows what it is built from".to_owned()));
    };
    // Changes that wait for the next start count as well.
    if let Some(why) = check(change, &f.changes.applied(&spec)) {
        return Some(why);
    }
    f.phase.domain()?;
    match running(f) {
        Ok(domain) if domain.life == Life::Paused && change.needs_guest() => Some(
            "it is paused, and its guest has to do something for that: unpause it first".to_owned(),
        ),
        Ok(_) => None,
        Err(why) => Some(why),
    }
}

/// Takes an ordered change. If no running domain has to be changed for it, it is only recorded.
pub(super) fn asked(f: &mut Facts, change: &Change, by: &str) {
    let has = present(f).filter(|_| f.phase.has_domain());
    let now = has.and_then(|spec| change.now(&spec));
    if now.is_none() {
        remember(f, change.clone());
        // A boot may have failed for want of the change.
        f.try_boot_again();
        return;
    }
    // The domain may have ended since it was last looked at.
    f.looks.stale = true;
    f.changing = Some(Changing {
        change: change.clone(),
        by: by.to_owned(),
        begun: false,
        given_up: false,
    });
}

/// Returns the spec that the next domain is built from if its guest is restarted: that of the last one.
fn last(f: &Facts) -> Option<&Arc<Spec>> {
    let domain = f.phase.domain().and_then(|domain| domain.spec.as_ref());
    domain.or_else(|| f.phase.boot()?.rebuild.as_ref())
}

/// Records a change for the domains that are built later.
fn remember(f: &mut Facts, change: Change) {
    // A thing that the file does not have may come back with the last domain's spec.
    let comes_back = last(f).is_some_and(|spec| change.applied(spec) != **spec);
    let file = f.wish.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
    let file = file.filter(|_| !comes_back);
    f.changes.push(change, file.map(AsRef::as_ref));
}

/// Forgets what was taken away and is neither in the file nor in the domain that has just been built.
pub(super) fn forget_what_is_gone(f: &mut Facts) {
    let file = f.wish.desired.as_ref().and_then(|d| d.spec.as_ref().ok());
    if let (Some(file), Some(built)) = (file.cloned(), last(f).cloned()) {
        f.changes.forget_what_is_gone(&[&file, &built]);
    }
}

/// Returns the next step for a domain that is to be changed.
pub(super) fn next(f: &mut Facts) -> Option<Next> {
    let id = running(f).ok()?.id;
    let before = present(f)?;
    let changing = f.changing.as_mut()?;
    let Some(now) = changing.change.now(&before) else {
        let change = changing.change.clone();
        f.changing = None;
        remember(f, change);
        return None;
    };
    changing.begun = true;
    let after = Arc::new(now.applied(&before));
    Some(Next::Run(Op::Change(id, Arc::new(now), before, after)))
}

/// Handles the result of [`Op::Change`].
pub(super) fn made(cx: &mut Ctx, f: &mut Facts, after: Arc<Spec>, result: Result<(), Error>) {
    let Some(Changing {
        change,
        by,
        given_up,
        ..
    }) = f.changing.take()
    else {
        return;
    };
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    let id = domain.id;
    match &result {
        Ok(()) => {
            cx.info(format!("domain {id}: {change}, as {by} has asked for"));
            // If the spec of the domain was unknown before the change, it still is.
            if domain.spec.is_some() {
                show_disks(f, &after);
                if let Some(domain) = f.phase.domain_mut() {
                    domain.spec = Some(after);
                }
            }
            if !given_up {
                remember(f, change);
            }
        }
        Err(e) => cx.warn(format!("domain {id}: {change}: {e}")),
    }
    answers::changed(cx, f, result);
}

/// Shows these as the disks of the domain from now on. The cloud-init data may be secret, and is not shown.
fn show_disks(f: &mut Facts, spec: &Spec) {
    let shown = spec.disks.iter().map(|disk| Disk {
        seed: None,
        ..disk.clone()
    });
    if let Some((_, disks)) = &mut f.disks.shown {
        *disks = shown.collect();
    } else if !spec.disks.is_empty() {
        let digest = f.wish.desired.as_ref().map(|d| d.digest.clone());
        f.disks.shown = Some((digest.unwrap_or_default(), shown.collect()));
    }
}

/// Records the change under way for the next domain, if it cannot be made any more because the domain is gone or ends.
/// Returns whether it was so.
pub(super) fn absorb(f: &mut Facts) -> bool {
    let known = f.wish.file != File::Unread && f.looks.done && !f.looks.stale;
    let under_way = matches!(f.outstanding, Some(Op::Change(..)));
    if !known || under_way || running(f).is_ok() {
        return false;
    }
    // As long as there is a domain that may have the change, and may go on, it is unknown what that domain has.
    let there = f.phase.has_domain() && !f.is_preserved();
    let Some(changing) = f.changing.take_if(|changing| !(there && changing.begun)) else {
        return false;
    };
    if !changing.given_up {
        remember(f, changing.change);
    }
    true
}

/// Gives up the change under way, for an order or a wish that goes before it.
pub(super) fn give_up(f: &mut Facts) {
    f.changing.take_if(|changing| !changing.begun);
    if let Some(changing) = &mut f.changing {
        changing.given_up = true;
    }
}

/// Drops the changes made by hand, because a newer wish has come. The running domain keeps them.
pub(super) fn wish_goes_before(cx: &mut Ctx, f: &mut Facts) {
    give_up(f);
    if !f.changes.is_empty() {
        cx.info(format!(
            "the DomainConfig is newer than what was changed by hand: {}",
            f.changes.words().join("; ")
        ));
        f.changes = Changes::default();
    }
}

/// Returns the spec of the next domain: `spec` with the changes made by hand.
pub(super) fn to_build(f: &Facts, spec: &Arc<Spec>) -> Arc<Spec> {
    let changed = f.changes.applied(spec);
    if changed.nics.iter().all(|nic| nic.devid.is_none()) {
        return changed;
    }
    Arc::new(Spec::clone(&changed).anew())
}

/// Returns descriptions of the changes that the domain does not have before its next start, and of one whose result is
/// unknown.
pub(super) fn waiting(f: &Facts) -> Vec<String> {
    let mut waiting = until_next_start(f);
    let under_way = matches!(f.outstanding, Some(Op::Change(..)));
    let begun = f.changing.as_ref().filter(|c| c.begun && !under_way);
    if let Some(Changing { change, .. }) = begun {
        waiting.push(format!(
            "{change} was begun, and its end is unknown: it goes on when the domain runs"
        ));
    }
    waiting
}

fn until_next_start(f: &Facts) -> Vec<String> {
    let saved = f.saved.as_ref().and_then(|saved| saved.spec.as_ref());
    let has = match f.phase.domain() {
        Some(domain) => domain.spec.as_ref(),
        None => saved,
    };
    if let Some(spec) = has {
        return f.changes.waiting(spec);
    }
    let why = match f.phase.domain() {
        Some(_) => ": nobody knows what the domain that runs was built from",
        None => "",
    };
    let all = f.changes.words().into_iter();
    all.map(|change| format!("{change} waits for the next start{why}"))
        .collect()
}
