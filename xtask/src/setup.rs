//! Debian packages that building, testing and the lab need.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::Cargo;
use crate::tool;

/// What must be installed, for building (first line), for making the lab's images and for running them.
const PACKAGES: &[&str] = &[
    "gcc",
    "libc6-dev",
    "libclang-dev",
    "libxen-dev",
    "pkg-config",
    "debian-archive-keyring",
    "e2fsprogs",
    "mmdebstrap",
    "openssh-client",
    "qemu-system-x86",
    "qemu-utils",
    "util-linux",
];

/// Installs what is missing; where that is not allowed, fails with the line to type.
pub(crate) fn ensure() -> Result<()> {
    packages(PACKAGES)
}

/// The same with these packages, which not everybody needs.
pub(crate) fn packages(wanted: &[&str]) -> Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!(
        "apt-get install --yes --no-install-recommends {}",
        missing.join(" ")
    );
    if !rustix::process::geteuid().is_root() {
        bail!("Debian packages are missing. As root, type:\n\n    {line}\n");
    }
    eprintln!("setup: installing Debian packages: {}", missing.join(" "));
    if apt_get(&["install"], &missing) {
        return Ok(());
    }
    eprintln!(
        "setup: that failed, perhaps because the package lists are missing or old: reading them anew"
    );
    if apt_get(&["update"], &[]) && apt_get(&["install"], &missing) {
        return Ok(());
    }
    bail!("could not install Debian packages. As root, type:\n\n    apt-get update\n    {line}\n");
}

/// The parts of the Rust toolchain that only checking needs, which a minimal one lacks.
pub(crate) fn components() -> Result<()> {
    let there =
        |tool: &str| tool::output(&mut Cargo::native().command(&[tool, "--version"])).is_ok();
    if there("fmt") && there("clippy") {
        return Ok(());
    }
    let line = ["component", "add", "rustfmt", "clippy"];
    eprintln!("setup: rustup {}", line.join(" "));
    tool::output(Command::new("rustup").args(line)).context(
        "cargo fmt and cargo clippy are missing, and could not be installed with rustup; Debian has them in rustfmt and rust-clippy",
    )?;
    Ok(())
}

fn is_installed(package: &str) -> bool {
    tool::output(Command::new("dpkg-query").args([
        "--show",
        "--showformat=${db:Status-Status}\n",
        package,
    ]))
    .is_ok_and(|status| status.lines().any(|line| line == "installed"))
}

fn apt_get(verb: &[&str], packages: &[&str]) -> bool {
    Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--quiet", "--yes", "--no-install-recommends"])
        .args(verb)
        .args(packages)
        .stdin(std::process::Stdio::null())
        // Standard output belongs to the task that was asked for.
        .stdout(std::io::stderr())
        .status()
        .is_ok_and(|status| status.success())
}
