//! Where things are.

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

/// Everything the lab builds and keeps: `target/lab`, or what `LIBXL_LAB_DIR` says.
pub(crate) fn lab_dir() -> PathBuf {
    let dir = env::var_os("LIBXL_LAB_DIR").map_or_else(|| root().join("target/lab"), PathBuf::from);
    std::path::absolute(&dir).unwrap_or(dir)
}

/// Where to get Debian packages, if not from where mmdebstrap looks by itself: `LIBXL_LAB_MIRROR`.
pub(crate) fn mirror() -> Option<OsString> {
    env::var_os("LIBXL_LAB_MIRROR")
}

/// The part of [`lab_dir`] that belongs to one Xen version.
pub(crate) fn xen_dir(xen: Xen) -> PathBuf {
    lab_dir().join(xen.as_str())
}
