//! Tests against a real Xen. They run in the dom0 of the lab: `cargo xtask test`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Allowed in tests.

mod acceptance;
mod agent;
mod alone;
mod config;
mod config_fields;
mod console;
mod context;
mod devices;
mod event_loop;
mod examples;
mod guest;
mod host;
mod hotplug;
mod hotplug_program;
mod hypervisor;
mod lifecycle;
mod memory;
mod migrate;
mod orders;
mod phases;
mod remus;
mod save;
mod soft_reset;
mod support;
mod suspend;
mod thousand;
mod two_hosts;
mod unsupported;
mod vcpu;
mod watch_all;
mod xlcfg;
