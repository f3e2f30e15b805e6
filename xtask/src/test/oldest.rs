//! The oldest Rust that is supported, which is the one that Debian 13 ships.

use std::process::Command;

use anyhow::Result;

use super::counts::Counts;
use super::steps;
use crate::{paths, tool};

/// As `rust-version` in the workspace's Cargo.toml.
pub(crate) const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Compiles all `targets` with it. rustup fetches it if it is not there; without rustup, or a way to where it gets compilers from, this
/// counts as left out.
pub(crate) fn check(targets: &[&[&str]]) -> Result<Counts> {
    let mine = tool::output(Command::new("rustc").arg("--version"))?;
    if is(&mine, RUST) {
        println!("{}: everything here was built with it", mine.trim());
        return Ok(Counts::default());
    }
    let install = steps::succeed(Command::new("rustup").args([
        "toolchain",
        "install",
        RUST,
        "--profile=minimal",
        "--no-self-update",
    ]));
    if let Err(error) = install {
        println!("left out: Rust {RUST} is needed, and rustup cannot get it: {error:#}");
        return Ok(Counts {
            skipped: 1,
            ..Counts::default()
        });
    }
    for targets in targets {
        steps::succeed(
            Command::new("rustup")
                .args(["run", RUST, "cargo", "check", "--locked"])
                .args(*targets)
                // What the cargo that runs this has set.
                .env_remove("CARGO")
                .env(
                    "CARGO_TARGET_DIR",
                    paths::root().join(format!("target/rust-{RUST}")),
                )
                .current_dir(paths::root()),
        )?;
    }
    Ok(Counts::default())
}

/// Whether `rustc --version` said this one.
fn is(said: &str, version: &str) -> bool {
    said.strip_prefix("rustc ")
        .and_then(|rest| rest.strip_prefix(version))
        .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_longer_ones() {
        assert!(is("rustc 1.85.0 (4d91de4e4 2025-02-17)", "1.85"));
        assert!(!is("rustc 1.850.0 (x)", "1.85"));
        assert!(!is("rustc 1.95.0 (x)", "1.85"));
        assert!(!is("error", "1.85"));
    }
}
