//! Tests with the sanitizers of the compiler.
//!
//! The address and leak sanitizers check how our code uses memory, including memory that libxl has allocated, and find memory that neither
//! frees. The thread sanitizer finds memory that two threads use without an order between them. All see libxl's own accesses only where it
//! calls the C library, because it was not built with them. The thread sanitizer knows libxl's locks for that reason.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::counts::{self, Counts};
use crate::cargo::{Cargo, Program, RUSTFLAGS, SEPARATOR};
use crate::lab::Hardware;
use crate::xen::Xen;
use crate::{paths, tool};

/// A kind of fault to look for.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sanitizer {
    /// Misused memory, and leaks
    Address,
    /// Data races; the unit tests of libxl and those with the stand-in run as well
    Thread,
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    /// Returns the variable in which the sanitizer finds that it has to change the exit status if it has found anything.
    fn options(self) -> (&'static str, &'static str) {
        match self {
            // It looks for leaks when the program ends.
            Self::Address => ("ASAN_OPTIONS", "detect_leaks=1:exitcode=99"),
            Self::Thread => (
                "TSAN_OPTIONS",
                // libxl forks where there are several threads, and its child goes on to exec. A thread that looks for a late suspend may
                // be left when the process ends.
                "die_after_fork=0:report_thread_leaks=0:exitcode=99",
            ),
        }
    }

    /// Returns what belongs before a program.
    pub(crate) fn words(self) -> [String; 2] {
        let (name, value) = self.options();
        ["env".to_owned(), format!("{name}={value}")]
    }

    /// Returns the words for the tests' runner: those that were asked for, or the default choice.
    pub(crate) fn tests(self, asked: &[String]) -> Vec<String> {
        if !asked.is_empty() {
            return asked.to_vec();
        }
        let tests: &[&str] = match self {
            Self::Address => &[
                "context::",
                "hotplug::",
                "hypervisor::",
                "lifecycle::",
                "memory::",
                "orders::",
                "suspend::",
                "vcpu::",
            ],
            // Those in which several threads are at work.
            Self::Thread => &[
                "context::",
                "event_loop::",
                "lifecycle::",
                "orders::",
                "suspend::",
                "watch_all::",
                "watcher::",
            ],
        };
        tests.iter().map(|&test| test.to_owned()).collect()
    }

    /// Returns the computer that can run the programs.
    pub(crate) fn hardware(self) -> Hardware {
        match self {
            Self::Address => Hardware::Plain,
            Self::Thread => Hardware::Sanitizer,
        }
    }

    /// Builds the live tests with this sanitizer, for the dom0 of `xen`.
    pub(crate) fn programs(self, cargo: &Cargo, xen: Xen) -> Result<Vec<Program>> {
        let words = ["test", "--no-run", "--workspace", "--test=live"];
        let words = [&words, self.arguments()?].concat();
        cargo.programs_with(&words, |command| {
            self.set(command, cargo, &format!("{}-{xen}", self.directory()));
        })
    }

    /// Runs the tests of libxl that do without Xen.
    pub(crate) fn without_xen(self) -> Result<Counts> {
        let words = [
            "--package=libxl",
            "--lib",
            "--test=simulated",
            "--no-fail-fast",
        ];
        let words = [&words, self.arguments()?].concat();
        let cargo = Cargo::native();
        let mut test = cargo.test(&words);
        self.set(&mut test, &cargo, self.directory());
        let (name, value) = self.options();
        test.env(name, value);
        // It allows itself no more memory, and the sanitizer needs some.
        test.args(["--skip", "a_stream_needs_a_thread_and_says_so"]);
        counts::of(&format!("{} sanitizer", self.name()), &mut test)
    }

    /// Returns arguments for cargo.
    fn arguments(self) -> Result<&'static [&'static str]> {
        // With an explicit target, flags apply to the programs, and not to build scripts and macros, which run here.
        const TARGET: &str = "--target=x86_64-unknown-linux-gnu";
        Ok(match self {
            Self::Address => &[TARGET],
            Self::Thread => {
                standard_library()?;
                // The sanitizer has to see its atomics and locks.
                &[TARGET, "-Zbuild-std"]
            }
        })
    }

    /// Makes a command of `cargo` build with this sanitizer.
    fn set(self, command: &mut Command, cargo: &Cargo, directory: &str) {
        let mut flags = cargo.rustflags();
        flags.push(format!("-Zsanitizer={}", self.name()));
        command
            // Every release of the compiler has the sanitizers, behind a switch for nightly compilers.
            .env("RUSTC_BOOTSTRAP", "1")
            .env(RUSTFLAGS, flags.join(SEPARATOR))
            .env(
                "CARGO_TARGET_DIR",
                paths::root().join("target").join(directory),
            );
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Address => "asan",
            Self::Thread => "tsan",
        }
    }
}

/// Has rustup install the source of the standard library, if it is missing.
fn standard_library() -> Result<()> {
    let sysroot = tool::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.toml");
    if source.exists() {
        return Ok(());
    }
    let status = Command::new("rustup")
        .args(["component", "add", "rust-src"])
        .stdin(Stdio::null())
        .status()
        .context("cannot run rustup, for the source of Rust's standard library")?;
    ensure!(status.success(), "rustup component add rust-src: {status}");
    Ok(())
}
