//! `cargo xtask api`: writes the committed listings of the public API of the published crates.
//!
//! The listings come from rustdoc's JSON. The format of this JSON changes between releases of Rust, so one fixed release always produces
//! it, whatever the rest is built with. They use the bindings committed in `libxl-sys`, so they do not depend on the machine either.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::ready_soon;
use crate::{paths, tool, toolchain};

/// The release of Rust whose rustdoc writes the JSON format that `public-api` reads.
const RUST: &str = "1.95";
/// The Xen release whose bindings are listed: the newest.
const XEN: &str = "4.20";
const CRATES: [&str; 2] = ["libxl-sys", "libxl"];

/// The difference between a committed listing and the code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// The differences, one line each, as text for the terminal.
    Differs(String),
    /// The toolchain that this check needs is missing.
    LeftOut,
}

/// Writes the listings.
pub(crate) fn run() -> Result<ExitCode> {
    for name in CRATES {
        let Some(listing) = listing(name)? else {
            return Ok(ExitCode::FAILURE);
        };
        let path = committed(name);
        fs::write(&path, listing).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares the listings with the code.
pub(crate) fn check() -> Result<Verdict> {
    let mut words = String::new();
    for name in CRATES {
        let Some(now) = listing(name)? else {
            return Ok(Verdict::LeftOut);
        };
        let path = committed(name);
        let before =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        words += &difference(name, &before, &now);
    }
    Ok(if words.is_empty() {
        Verdict::Same
    } else {
        words += "If that is meant: cargo xtask api, and a line in CHANGELOG.md";
        Verdict::Differs(words)
    })
}

fn committed(name: &str) -> PathBuf {
    paths::root().join(name).join("public-api.txt")
}

/// Returns the listing of a crate, one public item per line. `None` without the toolchain for it.
fn listing(name: &str) -> Result<Option<String>> {
    // A target directory of its own: build scripts depend on the variable below, and a shared directory would be rebuilt.
    let target = paths::root().join("target/api");
    let Some(mut cargo) = toolchain::cargo(RUST)? else {
        return Ok(None);
    };
    let status = ready_soon(&mut cargo)
        .args([
            "rustdoc",
            "--quiet",
            "--locked",
            "--lib",
            "--all-features",
            "--package",
            name,
        ])
        .args([
            "--",
            "-Zunstable-options",
            "--output-format=json",
            "--cap-lints=allow",
        ])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("LIBXL_PREBUILT", XEN)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTDOCFLAGS")
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo rustdoc --package {name}: {status}");
    }
    let json = target.join(format!("doc/{}.json", name.replace('-', "_")));
    items(&json).map(Some)
}

/// Runs this program, built with the `api` feature, to print the items.
fn items(json: &Path) -> Result<String> {
    let Some(mut cargo) = toolchain::cargo(RUST)? else {
        bail!("Rust {RUST} is not here any more");
    };
    tool::output(
        ready_soon(&mut cargo)
            .args([
                "run",
                "--quiet",
                "--locked",
                "--package=xtask",
                "--features=api",
            ])
            .arg("--target-dir")
            .arg(paths::root().join("target/api/tool"))
            .args(["--", "api-items"])
            .arg(json),
    )
}

/// Prints one public item per line.
#[cfg(feature = "api")]
pub(crate) fn print_items(json: &Path) -> Result<ExitCode> {
    let api = public_api::Builder::from_rustdoc_json(json)
        // Leaves out implementations that every type has. A derived one takes a single line.
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| json.display().to_string())?;
    // Keeps the order of `public-api`, which groups the items of a type. A re-export may appear twice.
    let mut lines: Vec<String> = api.items().map(ToString::to_string).collect();
    lines.dedup();
    println!("{}", lines.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// Returns the lines that only one of the two listings has, marked with `-` and `+`.
fn difference(name: &str, before: &str, now: &str) -> String {
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), now.lines().collect());
    let mut words = String::new();
    let changes = old.difference(&new).map(|line| ('-', line));
    for (sign, line) in changes.chain(new.difference(&old).map(|line| ('+', line))) {
        let _ = writeln!(words, "{sign} {line}");
    }
    if words.is_empty() {
        words
    } else {
        format!("the public API of {name} has changed:\n{words}")
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_change_of_the_api_is_shown_line_by_line() {
        assert_eq!(difference("libxl", "a\nb\n", "a\nb\n"), "");
        assert_eq!(
            difference("libxl", "a\nb\n", "b\nc\n"),
            "the public API of libxl has changed:\n- a\n+ c\n"
        );
    }
}
