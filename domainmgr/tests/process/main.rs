//! The agent and its commands, mostly the real program on a simulated Xen.
//!
//! All of it is one program, so that it is compiled and linked once.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may, and its files are its own"
)]

mod acceptance;
mod adapters;
mod bad_input;
mod changes;
mod cli;
mod common;
mod control;
mod coverage;
mod crashes;
mod dashboard;
mod disks;
mod documents;
mod errors;
mod generated;
mod head_of_line;
mod host;
mod host_stop;
mod hundreds;
mod inputs;
mod jobs;
mod journal;
mod life;
mod memory;
mod metrics;
mod migration;
mod ocf;
mod owners;
mod resources;
mod saving;
mod storm;
mod supervision;
mod xl;
