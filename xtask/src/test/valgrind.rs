//! The unit tests of the crates that have unsafe code, under valgrind.
//!
//! What libxl and libxlutil do without Xen is most of what can go wrong in memory. The live tests cannot run in it: to valgrind the
//! hypercalls of today's Xen are unknown, and it lets them fail. See `sanitizer.rs` for those.

use anyhow::Result;

use super::counts::{self, Counts};
use crate::cargo::Cargo;
use crate::setup;

/// Everything that is lost for good, read before it was written, or touched where nothing is, ends a test program with this.
const RUNNER: &str = "valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
                      --show-leak-kinds=definite --num-callers=25 --child-silent-after-fork=yes";

/// Runs them; valgrind is installed if it is not there.
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
            // Fewer random cases: each takes thirty times as long.
            .env("PROPTEST_CASES", "8"),
    )
}
