//! `cargo xtask fuzz`: builds the fuzz targets as `cargo fuzz` does, with the installed compiler, and runs them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{Cargo, Program, RUSTFLAGS, SEPARATOR};
use crate::{paths, setup};

/// Packages that the build needs: libFuzzer is written in C++.
const PACKAGES: &[&str] = &["g++"];
/// With an explicit target, flags apply to the programs, and not to build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Flags that `cargo fuzz` passes to the compiler: coverage for libFuzzer, and the address sanitizer.
const FLAGS: [&str; 10] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// What to run, and for how long.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// The targets; all of them if none is named
    targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::packages(PACKAGES)?;
    let programs = build()?;
    let wanted =
        |name: &str| options.targets.is_empty() || options.targets.iter().any(|t| t == name);
    for target in &options.targets {
        if !programs.iter().any(|program| program.name == *target) {
            let names: Vec<&str> = programs.iter().map(|p| p.name.as_str()).collect();
            bail!("{target}: no such target; there are {}", names.join(", "));
        }
    }
    let mut failed = Vec::new();
    for program in programs.iter().filter(|program| wanted(&program.name)) {
        println!("\n=== {}, {} s", program.name, options.seconds);
        if !fuzz(program, options.seconds)? {
            failed.push(program.name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nfailed: {}; the inputs are in fuzz/artifacts",
        failed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

fn build() -> Result<Vec<Program>> {
    let words = [
        "build",
        "--manifest-path=fuzz/Cargo.toml",
        "--release",
        "--target",
        TARGET,
    ];
    Cargo::native().programs_with(&words, |command| {
        command
            .env(RUSTFLAGS, FLAGS.join(SEPARATOR))
            // Sanitizers need a nightly compiler, or this variable.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", paths::root().join("target/fuzz"));
    })
}

/// Runs one target. Interesting inputs stay in the corpus for the next run.
fn fuzz(program: &Program, seconds: u32) -> Result<bool> {
    let corpus = directory("corpus", &program.name)?;
    let artifacts = directory("artifacts", &program.name)?;
    let status = Command::new(&program.path)
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=30", "-print_final_stats=1", "-verbosity=0"])
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .status()
        .with_context(|| program.path.display().to_string())?;
    Ok(status.success())
}

fn directory(kind: &str, name: &str) -> Result<PathBuf> {
    let path = paths::root().join("fuzz").join(kind).join(name);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}
