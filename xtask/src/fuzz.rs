//! `cargo xtask fuzz`: builds the fuzz targets as `cargo fuzz` does, with the installed compiler, and runs them.
//!
//! The inputs that reach different code are the corpus of a target. `fuzz/corpus` has those of this machine. What is kept in the repository
//! is in `fuzz/kept`, and is added to them first.

mod kept;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

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
    /// Targets that run at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Afterwards keep in the repository the smallest inputs that reach all the code that was reached
    #[arg(long)]
    keep: bool,
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
    let mut wanted: Vec<&Program> = programs.iter().filter(|p| wanted(&p.name)).collect();
    // The next one is taken from the end.
    wanted.reverse();
    let queue = Mutex::new(wanted);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(program) = lock(&queue).pop() {
                    let result = fuzz(program, options);
                    match &result {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(error) => println!("{}: {error:#}", program.name),
                    }
                    lock(&failed).push(program.name.as_str());
                }
            });
        }
    });
    let failed = lock(&failed);
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nfailed: {}; the inputs are in fuzz/artifacts",
        failed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Runs one target, and prints what it said at the end. Interesting inputs stay in the corpus for the next run.
fn fuzz(program: &Program, options: &Options) -> Result<bool> {
    let corpus = directory("corpus", &program.name)?;
    let artifacts = directory("artifacts", &program.name)?;
    kept::unpack(&program.name, &corpus)?;
    println!("{}: {} s", program.name, options.seconds);
    let output = command(program)
        .arg(&corpus)
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=30", "-print_final_stats=1", "-verbosity=0"])
        .output()
        .with_context(|| program.path.display().to_string())?;
    println!(
        "\n=== {}\n{}",
        program.name,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    if output.status.success() && options.keep {
        let smallest = tempfile::tempdir()?;
        let status = command(program)
            .args(["-merge=1", "-verbosity=0"])
            .args([smallest.path(), &corpus])
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("the corpus cannot be made smaller: {status}");
        }
        let number = kept::pack(&program.name, smallest.path())?;
        println!("{number} inputs are kept");
    }
    Ok(output.status.success())
}

fn command(program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command
}

fn directory(kind: &str, name: &str) -> Result<PathBuf> {
    let path = paths::root().join("fuzz").join(kind).join(name);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}
