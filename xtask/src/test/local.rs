//! The tests that run here, without a lab. Most of them wait most of the time, so several programs run beside each other.

use std::cmp::Reverse;
use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use super::counts::{self, Counts};
use super::libtest;
use crate::cargo::{Cargo, Program};

/// Number of programs that run at once.
const PROGRAMS: usize = 2;
/// Number of tests that each program runs at once, unless the user has set [`THREADS`].
const TESTS: &str = "6";
const THREADS: &str = "RUST_TEST_THREADS";

/// Builds and runs the unit and process tests of the workspace.
pub(crate) fn run(cargo: &Cargo) -> Result<Counts> {
    let mut programs = cargo.programs(&[
        "test",
        "--no-run",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
    ])?;
    programs.retain(|program| program.is_test);
    // The largest has the most tests, and ends last if it does not begin first.
    programs.sort_by_key(|program| Reverse(fs::metadata(&program.path).map_or(0, |it| it.len())));
    if programs.is_empty() {
        bail!("cargo has built no tests");
    }
    let queue = Mutex::new(programs.into_iter());
    let next = || queue.lock().ok()?.next();
    let lanes: Vec<Result<Counts>> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..PROGRAMS).map(|_| scope.spawn(|| lane(next))).collect();
        lanes
            .into_iter()
            .map(|lane| {
                lane.join()
                    .unwrap_or_else(|_| bail!("a runner of tests panicked"))
            })
            .collect()
    });
    let mut counts = Counts::default();
    for lane in lanes {
        counts += lane?;
    }
    Ok(counts)
}

fn lane(next: impl Fn() -> Option<Program>) -> Result<Counts> {
    let mut counts = Counts::default();
    while let Some(program) = next() {
        counts += one(&program).with_context(|| format!("the tests of {}", program.name))?;
    }
    Ok(counts)
}

fn one(program: &Program) -> Result<Counts> {
    let threads = std::env::var(THREADS).unwrap_or_else(|_| TESTS.to_owned());
    let (variable, value) = libtest::SWITCH.split_once('=').context("not a variable")?;
    let mut command = Command::new(&program.path);
    // Same directory and environment as under cargo.
    command
        .args(libtest::ARGUMENTS)
        .current_dir(&program.package)
        .env("CARGO_MANIFEST_DIR", &program.package)
        .env(THREADS, threads)
        .env(variable, value);
    // A program may have no tests.
    counts::of_some(&format!("unit and process: {}", program.name), &mut command)
}
