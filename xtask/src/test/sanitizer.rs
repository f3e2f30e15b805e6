//! The live tests with the address and leak sanitizers.
//!
//! The sanitizers check how our code uses memory, including memory that libxl has allocated, and find memory that neither frees. They see
//! libxl's own accesses only where it calls the C library, because it was not built with them. The same holds for Rust's standard
//! library.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{Cargo, Program, RUSTFLAGS, SEPARATOR};
use crate::paths;
use crate::xen::Xen;

/// Prefix for a program: it looks for leaks when the program ends, and changes the exit status if there are any.
pub(crate) const WORDS: &[&str] = &["env", "ASAN_OPTIONS=detect_leaks=1:exitcode=99"];

/// The tests that run by default.
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

/// Returns the words for the tests' runner: those that were asked for, or the default choice.
pub(crate) fn tests(asked: &[String]) -> Vec<String> {
    if asked.is_empty() {
        TESTS.iter().map(|&test| test.to_owned()).collect()
    } else {
        asked.to_vec()
    }
}

/// Builds the live tests with the sanitizers, for the dom0 of `xen`.
pub(crate) fn programs(cargo: &Cargo, xen: Xen) -> Result<Vec<Program>> {
    let mut flags = cargo.rustflags();
    flags.push("-Zsanitizer=address".to_owned());
    cargo.programs_with(
        &[
            "test",
            "--no-run",
            "--workspace",
            "--test=live",
            // Build scripts and macros run here, without the sanitizers.
            "--target=x86_64-unknown-linux-gnu",
        ],
        |command: &mut Command| {
            // Every release of the compiler has the sanitizers, behind a switch for nightly compilers.
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
