//! `cargo xtask bindings`: regenerates the bindings committed in `libxl-sys`.
//!
//! Every build against headers runs bindgen in the build script. A test of `libxl-sys` compares the result with `libxl-sys/prebuilt`, and
//! writes it there when `LIBXL_BLESS` is set.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cargo::Cargo;

/// The Xen releases with committed bindings, each with the Debian release that ships the headers.
const RELEASES: [(&str, &str); 3] = [
    ("4.14", "bullseye"),
    ("4.17", "bookworm"),
    ("4.20", "trixie"),
];

/// The comparing test. Other tests read the files that it writes, so it runs alone.
const TEST: &str = "they_are_what_bindgen_makes_of_the_installed_headers";
/// Variable that makes this test write the bindings instead of comparing them.
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
    // Not the system's libxl, even for the same release: its packages may be older.
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
