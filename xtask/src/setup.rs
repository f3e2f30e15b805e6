//! Debian packages that building, testing and the lab need.

mod apt;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::Cargo;
use crate::lab::lock::Lock;
use crate::test::Counts;
use crate::tool;

/// Packages that must be installed: for building, for making the lab's images, and for running them.
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
    "util-linux",
];

/// Installs missing packages. Where this is not allowed, fails with the command to type.
pub(crate) fn ensure() -> Result<()> {
    packages(PACKAGES)
}

/// Same as [`ensure`], for packages that only some tasks need.
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
    let _lock = Lock::take("setup")?;
    eprintln!("setup: installing Debian packages: {}", missing.join(" "));
    let Err(first) = add(&missing, &line) else {
        return Ok(());
    };
    if first.is::<Refused>() {
        return Err(first);
    }
    eprintln!(
        "setup: that failed, perhaps because the package lists are missing or old: reading them anew"
    );
    apt_get(&["update"], &[]);
    add(&missing, &line).with_context(|| {
        format!(
            "cannot install Debian packages. As root, type:\n\n    apt-get update\n    {line}\n"
        )
    })
}

/// Same as [`packages`], for packages that a task can do without. Returns false, with the reason on standard error, if installing
/// them would change packages that are there already.
pub(crate) fn packages_if_harmless(wanted: &[&str]) -> Result<bool> {
    match packages(wanted) {
        Err(error) if error.is::<Refused>() => {
            eprintln!("left out: {error}");
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

/// Error of an installation that would change installed packages.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Installs packages if this changes no installed package: those belong to the machine's owner.
fn add(missing: &[&str], line: &str) -> Result<()> {
    let changes = apt::changes(&simulate(&[], missing)?);
    if !changes.is_empty() {
        let list: String = changes.iter().map(|c| format!("    {c}\n")).collect();
        return Err(Refused(format!(
            "installing {} would change packages that are there already:\n\n{list}\nThat is for you to decide. To allow it, as root, type:\n\n    {line}\n",
            missing.join(" ")
        ))
        .into());
    }
    if !apt_get(&["install", "--no-remove"], missing) {
        bail!("apt-get failed");
    }
    Ok(())
}

/// Returns the output of `apt-get --simulate`.
fn simulate(options: &[String], packages: &[&str]) -> Result<String> {
    tool::output(
        tool::with_system_path(&mut Command::new("apt-get"))
            .env("LC_ALL", "C")
            .args(options)
            .args(["--simulate", "--no-install-recommends", "install"])
            .args(packages),
    )
}

/// Rehearses set-up: nothing may be removed or downgraded.
///
/// The rehearsal uses this machine as it would be without our packages, and with a package from another archive that the owner has
/// installed.
pub(crate) fn rehearse() -> Result<Counts> {
    let installed =
        fs::read_to_string("/var/lib/dpkg/status").context("cannot read dpkg's status")?;
    let status = tempfile::NamedTempFile::new()?;
    let (before, missing) = apt::before_set_up(&installed, PACKAGES);
    fs::write(status.path(), before)?;
    let options = [
        "-o".to_owned(),
        format!("Dir::State::status={}", status.path().display()),
    ];
    let rehearsal = simulate(&options, &missing).or_else(|error| {
        if apt_get(&["update"], &[]) {
            simulate(&options, &missing)
        } else {
            Err(error)
        }
    })?;
    let installs = rehearsal.lines().filter(|l| l.starts_with("Inst ")).count();
    if missing.is_empty() || installs < missing.len() {
        bail!("of {missing:?}, apt would install {installs}:\n{rehearsal}");
    }
    let harm: Vec<_> = apt::changes(&rehearsal)
        .into_iter()
        .filter(apt::Change::is_harm)
        .map(|change| change.to_string())
        .collect();
    println!(
        "set-up would install {installs} packages, for {}",
        missing.join(", ")
    );
    if !harm.is_empty() {
        bail!("set-up would do harm:\n{}", harm.join("\n"));
    }
    Ok(Counts {
        passed: 1,
        ..Counts::default()
    })
}

/// Installs the components of the Rust toolchain that only checks need. A minimal toolchain lacks them.
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
    tool::with_system_path(&mut Command::new("apt-get"))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--quiet", "--yes", "--no-install-recommends"])
        // The system may be updating its packages.
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(verb)
        .args(packages)
        .stdin(std::process::Stdio::null())
        // Standard output is reserved for the task that was asked for.
        .stdout(std::io::stderr())
        .status()
        .is_ok_and(|status| status.success())
}
