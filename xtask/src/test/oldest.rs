//! The oldest supported Rust, which Debian 13 ships.

use anyhow::Result;

use super::counts::Counts;
use super::steps;
use crate::cargo::ready_soon;
use crate::{paths, toolchain};

/// `rust-version` of the workspace's Cargo.toml.
pub(crate) const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Compiles all `targets` with this release. rustup installs it if it is missing. Without rustup, or a connection to its server, the
/// check counts as skipped.
pub(crate) fn check(targets: &[&[&str]]) -> Result<Counts> {
    if toolchain::is_mine(RUST)? {
        println!("Rust {RUST}: everything here was built with it");
        return Ok(Counts::default());
    }
    for targets in targets {
        let Some(mut cargo) = toolchain::cargo(RUST)? else {
            return Ok(Counts {
                skipped: 1,
                ..Counts::default()
            });
        };
        cargo.args(["check", "--locked"]).args(*targets).env(
            "CARGO_TARGET_DIR",
            paths::root().join(format!("target/rust-{RUST}")),
        );
        steps::succeed(ready_soon(&mut cargo))?;
    }
    Ok(Counts::default())
}
