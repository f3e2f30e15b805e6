//! `cargo xtask bindings`: makes the bindings anew that `libxl-sys` brings along.
//!
//! The build script makes bindings in every build against headers; a test of `libxl-sys` compares them with those in
//! `libxl-sys/prebuilt`, and writes them there if it is told to.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cargo::Cargo;

/// Releases of Xen whose bindings there are, and the release of Debian that has the headers.
const RELEASES: [(&str, &str); 3] = [
    ("4.14", "bullseye"),
    ("4.17", "bookworm"),
    ("4.20", "trixie"),
];

/// The test that compares. Others read what it writes, so that it runs alone.
const TEST: &str = "they_are_what_bindgen_makes_of_the_installed_headers";
/// Has the test of `libxl-sys` write what bindgen makes of the headers.
const BLESS: &str = "LIBXL_BLESS";

/// What to make.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Only those of this release
    #[arg(long, value_parser = RELEASES.map(|(version, _)| version))]
    xen: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    for (version, suite) in RELEASES {
        if options.xen.as_deref().is_none_or(|only| only == version) {
            make(version, suite).with_context(|| format!("bindings for Xen {version}"))?;
            println!("libxl-sys/prebuilt/{version}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn make(version: &str, suite: &str) -> Result<()> {
    // Also where the system has that release: its packages may be older.
    let cargo = Cargo::against(version, suite)?;
    let mut test = cargo.test(&["--quiet", "--package=libxl-sys", "--test=prebuilt", TEST]);
    let output = test.env(BLESS, "1").output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
