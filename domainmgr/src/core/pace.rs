//! Slows down the restarts of a guest that ends again and again soon after its start.

use std::time::Duration;

use super::Ctx;
use super::facts::{Facts, Rest, doubling};
use super::time::Time;

/// Sets the time at which a guest that has run since `since` may be started again.
///
/// This is at once if the guest lived long enough, or the first time that it did not; then after 2 s, 4 s … 60 s. Every
/// kind of restart waits here.
///
/// Only the monotonic clock counts: setting the wall clock must neither hurry nor hold up a restart.
pub(super) fn before_restart(cx: &mut Ctx, f: &mut Facts, since: Time) {
    if cx.now.mono.since(since) >= f.settings.short_life {
        f.short_lives = 0;
    } else {
        f.short_lives = f.short_lives.saturating_add(1);
    }
    if f.short_lives < 2 {
        f.rest = Rest::Ready;
        return;
    }
    let pause = doubling(Duration::from_secs(2), f.short_lives - 2);
    cx.warn(format!(
        "it ended too soon after its start; waiting {} s",
        pause.as_secs()
    ));
    f.next_retry = Some(cx.now.wall + pause);
    f.rest = Rest::Until(cx.now.mono + pause);
}
