//! Slows down the restarts of a guest that ends again and again soon after its start.

use std::time::Duration;

use super::context::Ctx;
use super::state::backoff::doubling;
use super::state::boot::Rest;
use super::state::facts::Facts;
use crate::base::time::Time;

/// Sets the time at which a guest that has run since `since` may be started again.
///
/// This is at once if the guest lived long enough, or the first time that it did not; then after 2 s, 4 s … 60 s. Every
/// kind of restart waits here.
///
/// Only the monotonic clock counts: setting the wall clock must neither hurry nor hold up a restart.
pub(super) fn before_restart(cx: &mut Ctx, f: &mut Facts, since: Time) {
    if cx.now.mono.since(since) >= f.settings.short_life {
        f.past.short_lives = 0;
    } else {
        f.past.short_lives = f.past.short_lives.saturating_add(1);
    }
    let Some(boot) = f.phase.boot_mut() else {
        return;
    };
    if f.past.short_lives < 2 {
        boot.rest = Rest::Ready;
        return;
    }
    let pause = doubling(Duration::from_secs(2), f.past.short_lives - 2);
    cx.warn(format!(
        "it ended too soon after its start; waiting {} s",
        pause.as_secs()
    ));
    boot.next_retry = Some(cx.now.wall + pause);
    boot.rest = Rest::Until(cx.now.mono + pause);
}
