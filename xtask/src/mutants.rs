//! `cargo xtask mutants`: changes one thing after another in the modules that decide what a domain's life is and who may use a context,
//! and counts the changes that no test notices.

use std::env;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::ready_soon;
use crate::paths;

/// The release that `.cargo/mutants.toml` was written for.
const VERSION: &str = "27.1.0";

/// The mutants to try, and how many at a time.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Changes that are tried at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// For cargo-mutants, such as `--list` or `--shard 1/4`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs cargo-mutants, which writes what it has found to `target/mutants.out`. The exit code is zero only if every change was noticed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let tools = paths::root().join("target/tools");
    let program = tools.join("bin/cargo-mutants");
    let cargo = || Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if !program.exists() {
        let status = cargo()
            .args(["install", "cargo-mutants", "--locked", "--version", VERSION])
            .arg("--root")
            .arg(&tools)
            .stdin(Stdio::null())
            .status()
            .context("cannot run cargo")?;
        ensure!(status.success(), "cargo install cargo-mutants: {status}");
    }
    let mut mutants = Command::new(&program);
    ready_soon(&mut mutants)
        .args(["mutants", "--package", "libxl"])
        .args(["--jobs", &options.jobs.to_string(), "--output", "target"])
        .args(&options.arguments)
        .current_dir(paths::root());
    let status = mutants
        .status()
        .with_context(|| program.display().to_string())?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
