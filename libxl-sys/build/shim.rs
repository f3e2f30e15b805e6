//! The parts in C: the log bridge, because it formats a `va_list`, and a lookup in the dynamic
//! linker's tables.

use std::path::PathBuf;

pub(crate) fn compile(include_dirs: &[PathBuf]) {
    cc::Build::new()
        .files(["csrc/loaded.c", "csrc/logger.c"])
        .includes(include_dirs)
        .warnings(true)
        .extra_warnings(true)
        .compile("libxl_sys_shim");
}
