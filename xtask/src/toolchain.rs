//! Toolchains of a given release of Rust, for checks that need exactly this release.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{paths, tool};

/// Returns `cargo` of Rust `release`, with the workspace as its directory. `None` if it is missing and rustup cannot install it.
pub(crate) fn cargo(release: &str) -> Result<Option<Command>> {
    let mut command = if is_mine(release)? {
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    } else {
        if let Err(error) = install(release) {
            println!("left out: Rust {release} is needed, and rustup cannot get it: {error:#}");
            return Ok(None);
        }
        let mut command = Command::new("rustup");
        command
            .args(["run", release, "cargo"])
            // Set by the cargo that runs this program.
            .env_remove("CARGO");
        command
    };
    command.current_dir(paths::root());
    Ok(Some(command))
}

/// Returns whether the toolchain in use is of this release.
pub(crate) fn is_mine(release: &str) -> Result<bool> {
    let said = tool::output(Command::new("rustc").arg("--version"))?;
    Ok(is(&said, release))
}

fn install(release: &str) -> Result<()> {
    let status = Command::new("rustup")
        .args(["toolchain", "install", release])
        .args(["--profile=minimal", "--no-self-update"])
        .stdin(Stdio::null())
        .status()
        .context("cannot run rustup")?;
    if !status.success() {
        bail!("rustup: {status}");
    }
    Ok(())
}

/// Returns whether the output of `rustc --version` names this release.
fn is(said: &str, release: &str) -> bool {
    said.strip_prefix("rustc ")
        .and_then(|rest| rest.strip_prefix(release))
        .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_from_longer_ones() {
        assert!(is("rustc 1.85.0 (4d91de4e4 2025-02-17)", "1.85"));
        assert!(!is("rustc 1.850.0 (x)", "1.85"));
        assert!(!is("rustc 1.95.0 (x)", "1.85"));
        assert!(!is("error", "1.85"));
    }
}
