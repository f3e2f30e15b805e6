//! Tests against a real Xen. They run in the dom0 of the lab: `cargo xtask test`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may.

mod agent;
mod config;
mod context;
mod devices;
mod hotplug;
mod examples;
mod guest;
mod host;
mod lifecycle;
mod memory;
mod migrate;
mod save;
mod support;
mod suspend;
mod vcpu;
