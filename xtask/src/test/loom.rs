//! Models of what threads share in libxl, which loom runs in every order.

use anyhow::Result;

use super::counts::{self, Counts};
use crate::cargo::{Cargo, RUSTFLAGS, SEPARATOR};
use crate::paths;

/// See `libxl/src/sync.rs`.
const CFG: [&str; 2] = ["--cfg", "libxl_loom"];

pub(crate) fn run() -> Result<Counts> {
    let mut test = Cargo::native().test(&["--package=libxl", "--lib", "loom_"]);
    // Apart from everything else: the flags are those of every crate.
    test.env(RUSTFLAGS, CFG.join(SEPARATOR))
        .env("CARGO_TARGET_DIR", paths::root().join("target/loom"));
    counts::of("loom", &mut test)
}
