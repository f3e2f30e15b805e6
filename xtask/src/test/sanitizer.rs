//! The live tests with the address and leak sanitizers.
//!
//! They watch what our code does with memory, also with what libxl has allocated, and what either never frees. What libxl does by itself
//! they see only where it calls the C library, because it was not built for them; nor was Rust's own library.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{Cargo, Program, RUSTFLAGS, SEPARATOR};
use crate::paths;
use crate::xen::Xen;

/// What goes before a program: leaks are looked for at its end, and end it with another status.
pub(crate) const WORDS: &[&str] = &["env", "ASAN_OPTIONS=detect_leaks=1:exitcode=99"];

/// What is run when nothing else is asked for.
const TESTS: &[&str] = &[
    "context::",
    "hotplug::",
    "hypervisor::",
    "lifecycle::",
    "memory::",
    "orders::",
    "suspend::",
    "vcpu::",
];

/// Words for the tests' runner: those that were asked for, or a choice.
pub(crate) fn tests(asked: &[String]) -> Vec<String> {
    if asked.is_empty() {
        TESTS.iter().map(|&test| test.to_owned()).collect()
    } else {
        asked.to_vec()
    }
}

/// Builds the live tests with it, for the dom0 of `xen`.
pub(crate) fn programs(cargo: &Cargo, xen: Xen) -> Result<Vec<Program>> {
    let mut flags = cargo.rustflags();
    flags.push("-Zsanitizer=address".to_owned());
    cargo.programs_with(
        &[
            "test",
            "--no-run",
            "--workspace",
            "--test=live",
            // Build scripts and macros run here, without it.
            "--target=x86_64-unknown-linux-gnu",
        ],
        |command: &mut Command| {
            // The compiler has it in every release, behind a switch that is meant for nightly ones.
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .env(RUSTFLAGS, flags.join(SEPARATOR))
                .env(
                    "CARGO_TARGET_DIR",
                    paths::root().join(format!("target/asan-{xen}")),
                );
        },
    )
}
