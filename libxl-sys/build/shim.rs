//! The log bridge, in C because it formats a `va_list`.

use std::path::PathBuf;

pub(crate) fn compile(include_dirs: &[PathBuf]) {
    cc::Build::new()
        .file("csrc/logger.c")
        .includes(include_dirs)
        .warnings(true)
        .extra_warnings(true)
        .compile("libxl_sys_logger");
}
