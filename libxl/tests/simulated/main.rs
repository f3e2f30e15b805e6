//! Contexts, operations and the watcher on a stand-in for libxl, so that their behaviour can be
//! tested without Xen. Claims about Xen itself belong in the live tests.
#![allow(clippy::unwrap_used, clippy::panic)] // A test may.

mod event_loop;
mod faults;
#[cfg(feature = "log")]
mod logger;
mod operations;
#[path = "../program/mod.rs"]
mod program;
mod signals;
mod soundness;
mod stand_in;
mod store;
mod watch_all;
mod watcher;
mod withdrawn;
