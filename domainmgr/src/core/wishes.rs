//! Effects of a newer wish on the facts.

use super::Ctx;
use super::facts::{Backoff, Facts, Pending, Rest, Want, Wish};
use crate::settings::PoweroffPolicy;

/// Marks the wish as worked off, once nothing is on its way any more.
pub(super) fn settle(f: &mut Facts) {
    let on_its_way = f.halt.is_some()
        || f.restarting
        || (f.want() == Want::Run && f.domain.is_none() && f.tries > 0 && !f.boot_failed);
    if !on_its_way && f.heard {
        f.pending = None;
    }
}

pub(super) fn wished(cx: &mut Ctx, f: &mut Facts, wish: Wish) {
    let first = !f.heard;
    f.heard = true;
    f.doubtful = matches!(wish, Wish::Doubtful(_));
    match wish {
        Wish::Absent => {
            if f.present && !first {
                cx.info("its file is gone");
            }
            if f.present {
                // No event tells of a domain that an outsider has built while there was none.
                f.clear = false;
                f.stale = true;
            }
            f.present = false;
            f.problem = None;
            super::order::wish_goes_before(cx, f);
        }
        Wish::Unusable(why) | Wish::Doubtful(why) => {
            f.present = true;
            if f.problem.as_ref().is_none_or(|(old, _)| *old != why) {
                cx.warn(why.clone());
                f.problem = Some((why, cx.now.wall));
            }
        }
        Wish::Wanted(new) => {
            let new = new.after(f.desired.as_ref(), first && f.recovered);
            let there = f.present;
            let same = there
                && f.desired
                    .as_ref()
                    .is_some_and(|old| old.says_the_same(&new));
            f.present = true;
            f.renewed |= first && f.recovered && !same;
            let known = f.desired.as_ref().map(|old| &old.warnings);
            for warning in new
                .warnings
                .iter()
                .filter(|w| known.is_none_or(|k| !k.contains(w)))
            {
                cx.warn(warning.clone());
            }
            if same {
                // The file may say the same in other words.
                f.desired = Some(new.clone());
            }
            if same && f.boot_failed {
                // The same config was written again: its author has put something right, and does not want to wait.
                try_again(f);
            }
            if same && f.problem.is_none() {
                return;
            }
            f.problem = new
                .spec
                .as_ref()
                .err()
                .map(|why| (why.clone(), cx.now.wall));
            if let Some((why, _)) = &f.problem {
                cx.warn(why.clone());
            }
            if same {
                return;
            }
            if f.destroying.failures == 0 && (!first || f.ended || f.renewed) {
                f.error = None;
            }
            super::order::wish_goes_before(cx, f);
            f.vanished = false;
            f.pending = Some(if first { Pending::Add } else { Pending::Modify });
            f.desired = Some(new);
            f.clear = false;
            f.stale = true;
            f.has_run |= f.boot_failed && f.want() == Want::Stop;
            // A newer wish ends every wait, except the one before the next attempt to destroy.
            f.tries = 0;
            f.boot_failed = false;
            f.adapters_failed = false;
            f.reserving = Backoff::default();
            f.short_lives = 0;
            f.ended = false;
            f.rest = Rest::Ready;
            f.next_retry = None;
        }
    }
}

/// Tries a failed boot again at once.
pub(super) fn try_again(f: &mut Facts) {
    if !f.boot_failed {
        return;
    }
    f.boot_failed = false;
    f.tries = 0;
    f.rest = Rest::Ready;
    f.next_retry = None;
    // No event tells of a domain that an outsider has built meanwhile.
    f.clear = false;
    f.stale = true;
}

/// Returns whether a guest that ended although it should run is started again some time.
pub(super) fn retries(f: &Facts) -> bool {
    !f.vanished && f.settings.poweroff_policy == PoweroffPolicy::Retry
}
