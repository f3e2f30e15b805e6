//! The unit tests of the crates that have unsafe code, under valgrind.
//!
//! Most memory errors are possible in the parts of libxl and libxlutil that work without Xen. The live tests cannot run under valgrind,
//! which does not know the hypercalls of today's Xen and lets them fail. See `sanitizer.rs` for the live tests.

use anyhow::Result;

use super::counts::{self, Counts};
use crate::cargo::Cargo;
use crate::setup;

/// Ends a test program with status 99 if memory is definitely lost, read before it was written, or accessed where nothing is allocated.
const RUNNER: &str = "valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
                      --show-leak-kinds=definite --num-callers=25 --child-silent-after-fork=yes";

/// Runs the tests. Installs valgrind if it is missing.
pub(crate) fn run() -> Result<Counts> {
    setup::packages(&["valgrind", "libc6-dbg"])?;
    counts::of(
        "under valgrind",
        Cargo::native()
            .command(&[
                "test",
                "--package=libxl-sys",
                "--package=libxl",
                "--lib",
                "--tests",
                "--no-fail-fast",
            ])
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", RUNNER)
            // Fewer random cases, because each takes thirty times as long.
            .env("PROPTEST_CASES", "8"),
    )
}
