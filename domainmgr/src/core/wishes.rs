//! Effects of a newer wish on the facts.

use super::context::Ctx;
use super::orders;
use super::state::backoff::Backoff;
use super::state::facts::{Facts, Want};
use super::state::wish::{Desired, File, Pending, Wish};

/// Marks the wish as worked off, once nothing is on its way any more.
pub(super) fn settle(f: &mut Facts) {
    let on_its_way = f.phase.goes_down()
        || f.waits_for().is_some()
        || f.phase.restarts()
        || (f.want() == Want::Run
            && !f.phase.has_domain()
            && f.past.tries > 0
            && !f.phase.boot_failed());
    if !on_its_way && f.wish.file != File::Unread {
        f.wish.pending = None;
    }
}

pub(super) fn wished(cx: &mut Ctx, f: &mut Facts, wish: Wish) {
    let before = f.wish.file;
    f.wish.file = match wish {
        Wish::Absent => File::Absent,
        Wish::Doubtful(_) => File::Doubtful,
        Wish::Unusable(_) | Wish::Wanted(_) => File::There,
    };
    match wish {
        Wish::Absent => absent(cx, f, before),
        Wish::Unusable(why) | Wish::Doubtful(why) => unusable(cx, f, why),
        Wish::Wanted(new) => wanted(cx, f, new, before),
    }
}

fn absent(cx: &mut Ctx, f: &mut Facts, before: File) {
    if before != File::Absent && before != File::Unread {
        cx.info("its file is gone");
    }
    if before != File::Absent {
        look_again(f);
    }
    f.wish.problem = None;
    orders::wish_goes_before(cx, f);
}

/// Records the reason why the file is of no use. The last usable wish stays in force.
fn unusable(cx: &mut Ctx, f: &mut Facts, why: String) {
    if f.wish.problem.as_ref().is_none_or(|(old, _)| *old != why) {
        cx.warn(why.clone());
        f.wish.problem = Some((why, cx.now.wall));
    }
}

/// Takes a wish that could be read, and acts on it if it differs from the one in force.
fn wanted(cx: &mut Ctx, f: &mut Facts, new: Desired, before: File) {
    let first = before == File::Unread;
    let new = new.after(f.wish.desired.as_ref(), first && f.recovered);
    let old = f.wish.desired.as_ref();
    let same = before != File::Absent && old.is_some_and(|old| old.says_the_same(&new));
    f.wish.renewed |= first && f.recovered && !same;
    warn_of_news(cx, f, &new);
    if same {
        // The file may say the same in other words.
        f.wish.desired = Some(new.clone());
    }
    if same && f.phase.boot_failed() {
        // The same config was written again: its author has put something right, and does not want to wait.
        f.try_boot_again();
    }
    if same && f.wish.problem.is_none() {
        return;
    }
    let why = new.spec.as_ref().err();
    f.wish.problem = why.map(|why| (why.clone(), cx.now.wall));
    if let Some((why, _)) = &f.wish.problem {
        cx.warn(why.clone());
    }
    if !same {
        replace(cx, f, new, first);
    }
}

/// Logs the warnings that the wish in force does not have.
fn warn_of_news(cx: &mut Ctx, f: &Facts, new: &Desired) {
    let known = f.wish.desired.as_ref().map(|old| &old.warnings);
    let is_new = |warning: &&String| known.is_none_or(|known| !known.contains(warning));
    for warning in new.warnings.iter().filter(is_new) {
        cx.warn(warning.clone());
    }
}

/// Puts a wish in force that differs from the one before.
fn replace(cx: &mut Ctx, f: &mut Facts, new: Desired, first: bool) {
    let destroying = f.phase.domain().is_some_and(|d| d.destroying.failures > 0);
    if !destroying && (!first || f.phase.has_ended() || f.wish.renewed) {
        f.error = None;
    }
    orders::wish_goes_before(cx, f);
    f.wish.pending = Some(if first { Pending::Add } else { Pending::Modify });
    f.wish.desired = Some(new);
    look_again(f);
    f.past.has_run |= f.phase.boot_failed() && f.want() == Want::Stop;
    end_waits(f);
}

/// Ends every wait, except the one before the next attempt to destroy.
fn end_waits(f: &mut Facts) {
    f.past.tries = 0;
    if let Some(boot) = f.phase.boot_mut() {
        boot.at_once();
        boot.forget_end();
    }
    f.adapters.failed = false;
    f.adapters.reserving = Backoff::default();
    f.past.short_lives = 0;
}

/// Has the next step look at Xen: no event tells of a domain that an outsider has built meanwhile.
fn look_again(f: &mut Facts) {
    f.looks.outdate();
}
