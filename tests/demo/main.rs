//! The demonstration: the lives of real domains on a real Xen under the agent's care.
//!
//! Runs in the dom0 of the lab, with `cargo xtask demo`; with `two-hosts` as a second argument in the first of a pair of labs, with
//! `cargo xtask demo --hosts 2`. Each step prints what it expects, and checks it. The exit
//! status is zero only if every step succeeds. Otherwise the directory given as the only argument holds files that
//! explain the failure. It also has `events.json`, from which the picture of the run is drawn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A failure must end the program.

#[allow(dead_code)] // Shared with the live tests, which use more of it.
#[path = "../live/agent"]
mod agent {
    pub(crate) mod host;
}
#[allow(dead_code)]
#[path = "../live/support.rs"]
mod support;
#[allow(dead_code)]
#[path = "../live/two_hosts"]
mod two_hosts {
    pub(crate) mod beta;
    pub(crate) mod cable;
    pub(crate) mod courier;
    pub(crate) mod relay;
}

mod moves;
mod report;
mod router;
mod story;
mod timeline;
mod watch;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use agent::host;
use timeline::Timeline;

fn main() -> ExitCode {
    let Some(out) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: demo DIRECTORY [two-hosts]");
        return ExitCode::from(2);
    };
    let tell = match env::args().nth(2).as_deref() {
        Some("two-hosts") => moves::tell,
        _ => story::tell,
    };
    std::fs::create_dir_all(&out).expect("a directory for what comes out of it");
    report::remember_panics();
    let timeline = Arc::new(Timeline::start());
    let told = catch_unwind(AssertUnwindSafe(|| tell(&timeline, &out)));
    timeline.save(&out.join("events.json"));
    let words = report::last_words();
    if !words.is_empty() {
        println!("\n  outside of any step:  {words}");
    }
    let right = told.unwrap_or(false);
    if right {
        timeline.say("everything came out right");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
