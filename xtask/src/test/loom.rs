//! Loom's models of the state that threads share in libxl. Loom runs them in every order.

use anyhow::Result;

use super::counts::{self, Counts};
use crate::cargo::{Cargo, RUSTFLAGS, SEPARATOR};
use crate::paths;

/// Compiler flags for the models. See `libxl/src/sync.rs`.
const CFG: [&str; 2] = ["--cfg", "libxl_loom"];

pub(crate) fn run() -> Result<Counts> {
    let mut test = Cargo::native().test(&["--package=libxl", "--lib", "loom_"]);
    // A target directory of its own, because the flags apply to every crate.
    test.env(RUSTFLAGS, CFG.join(SEPARATOR))
        .env("CARGO_TARGET_DIR", paths::root().join("target/loom"));
    counts::of("loom", &mut test)
}
