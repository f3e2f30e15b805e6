//! The demonstration: what becomes of real domains on a real Xen under the agent's care.
//!
//! Runs in the dom0 of the lab, `cargo xtask demo`. Everything that is shown is also checked: the
//! exit status is zero only if all of it came out right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // What goes wrong shall end it.

#[allow(dead_code)] // Shared with the live tests, which use more of it.
#[path = "../live/agent/host.rs"]
mod host;
#[allow(dead_code)]
#[path = "../live/support.rs"]
mod support;

mod router;
mod story;
mod timeline;

use std::sync::Arc;

use timeline::Timeline;

fn main() {
    let timeline = Arc::new(Timeline::start());
    story::tell(&timeline);
    timeline.say("everything came out right");
}
