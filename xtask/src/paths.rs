//! Paths of the checkout and the lab.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::xen::Xen;

/// Top of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Directory for everything the lab builds and keeps: `target/lab`, or the value of `LIBXL_LAB_DIR`.
pub(crate) fn lab_dir() -> PathBuf {
    let dir = env::var_os("LIBXL_LAB_DIR").map_or_else(|| root().join("target/lab"), PathBuf::from);
    std::path::absolute(&dir).unwrap_or(dir)
}

/// Mirror for Debian packages, from `LIBXL_LAB_MIRROR`. `None` for the default of mmdebstrap.
pub(crate) fn mirror() -> Option<OsString> {
    env::var_os("LIBXL_LAB_MIRROR")
}

/// Subdirectory of [`lab_dir`] for one Xen version.
pub(crate) fn xen_dir(xen: Xen) -> PathBuf {
    lab_dir().join(xen.as_str())
}
