//! The live tests: built here, run in a lab's dom0.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::again::{self, Failed};
use super::cases::Cases;
use super::counts::{self, Counts};
use super::sanitizer;
use crate::cargo::Cargo;
use crate::lab::{Hardware, Lab};
use crate::xen::Xen;
use crate::{paths, tool};

/// Seconds after which the tests' program is taken for hung, which takes a quarter of an hour.
const LIMIT: u32 = 1800;

/// The tests that need devices to give away, and are run on a computer that has some.
const DEVICES: &str = "devices::";

const ALONE: &str = "--test-threads=1";

/// What to run the tests in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Version of the lab.
    pub(crate) xen: Xen,
    /// What its computer has.
    pub(crate) hardware: Hardware,
    /// Without xl in dom0.
    pub(crate) without_xl: bool,
    /// With the address and leak sanitizers.
    pub(crate) sanitize: bool,
}

/// Builds for a Xen version, starts its lab, and runs the tests there. Their exit status is the verdict.
pub(crate) fn run(setting: Setting, arguments: &[String]) -> Result<Counts> {
    let Setting {
        xen,
        hardware,
        without_xl,
        sanitize,
    } = setting;
    let cargo = Cargo::for_lab(xen)?;
    let mut programs = cargo.programs(&["build", "--package", "domainmgr", "--bins"])?;
    programs.extend(cargo.programs(&["build", "--package", "libxl-toolstack", "--examples"])?);
    programs.extend(if sanitize {
        sanitizer::programs(&cargo, xen)?
    } else {
        cargo.programs(&[
            "test",
            "--no-run",
            "--package",
            "libxl-toolstack",
            "--test",
            "live",
        ])?
    });

    let lab = Lab::start(xen, hardware)?;
    for program in &programs {
        lab.put(&program.path, &program.name)?;
    }
    if without_xl {
        lab.hide_xl()?;
    }
    let ours: &[&str] = match hardware {
        Hardware::Plain => &["--skip", DEVICES],
        // There is one of each, which tests cannot share.
        Hardware::Devices => &[DEVICES, ALONE],
    };
    let arguments: Vec<&str> = ours
        .iter()
        .copied()
        .chain(arguments.iter().map(String::as_str))
        .collect();
    let under: &[&str] = if sanitize { sanitizer::WORDS } else { &[] };
    let mut cases = Cases::default();
    let mut failed = Failed::default();
    let mut counts = counts::of_lines(&mut live(&lab, under, &arguments), |line| {
        cases.see(line);
        failed.see(line);
    })?;
    if counts.broken || counts.failed > 0 {
        explain(&lab, xen);
        if counts.failed == 0 {
            bail!("the live tests' program ended badly, or was still running after {LIMIT} s");
        }
        if let Some(names) = failed.to_try_again(&counts) {
            println!("\n=== once more, alone: {}", names.join(", "));
            let arguments: Vec<&str> = names.into_iter().chain(["--exact", ALONE]).collect();
            let again = counts::of_lines(&mut live(&lab, under, &arguments), |line| {
                cases.see(line);
            })?;
            counts = again::both(counts, again);
        }
    }
    print!("{cases}");
    Ok(counts)
}

/// The tests' program in dom0, behind the words `under`, which is ended after a time.
fn live(lab: &Lab, under: &[&str], arguments: &[&str]) -> Command {
    let words: Vec<String> = [under, &["/share/bin/live"], arguments]
        .concat()
        .into_iter()
        .map(tool::quote)
        .collect();
    let line = format!(
        "cd /tmp && RUST_BACKTRACE=1 PATH=/share/bin:$PATH timeout --kill-after=10 {LIMIT} {}",
        words.join(" ")
    );
    // The same once more around ssh, for the case that all of dom0 hangs.
    let remote = lab.command(&line);
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=10", &(LIMIT + 60).to_string()])
        .arg(remote.get_program())
        .args(remote.get_args());
    command
}

/// Prints what may explain a failure, and keeps all of it under `target/lab/VERSION/results`.
pub(crate) fn explain(lab: &Lab, xen: Xen) {
    let results = paths::xen_dir(xen).join("results");
    if let Err(error) = collect(lab, xen, &results) {
        println!("the logs of dom0 could not be had: {error:#}");
    }
    show(&results);
    println!("\nlogs: {}", results.display());
}

/// Takes what explains a failure out of dom0, while it still runs.
fn collect(lab: &Lab, xen: Xen, results: &Path) -> Result<()> {
    if results.exists() {
        fs::remove_dir_all(results)?;
    }
    fs::create_dir_all(results)?;
    let remote = "/share/results";
    lab.output(&format!(
        "rm -rf {remote} && mkdir {remote} && cd {remote} && cp -r /var/log/xen xen && dmesg >dmesg && ps -ef >ps &&
         xenstore-ls -f >xenstore; /usr/lib/xen-*/bin/xl dmesg >xen-dmesg 2>/dev/null; /usr/lib/xen-*/bin/xl list >domains 2>/dev/null; true"
    ))?;
    let dir = paths::xen_dir(xen);
    fs::remove_dir(results)?;
    fs::rename(dir.join("share/results"), results).context("cannot take the logs over")?;
    fs::copy(dir.join("serial.log"), results.join("serial.log"))?;
    Ok(())
}

/// Prints the ends of the logs.
fn show(results: &Path) {
    let mut files: Vec<_> = ["serial.log", "xen-dmesg", "domains", "dmesg"]
        .iter()
        .map(|name| results.join(name))
        .collect();
    if let Ok(entries) = fs::read_dir(results.join("xen")) {
        files.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_file()),
        );
    }
    for file in files {
        let tail = tool::tail(&file, 15);
        if !tail.trim().is_empty() {
            println!("\n··· the end of {}\n{tail}", file.display());
        }
    }
}
