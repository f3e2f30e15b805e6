//! Raw FFI bindings to libxl, Xen's toolstack library, with libxlutil, xentoollog,
//! xencall, and a little of xenctrl and xenstore.
//!
//! The bindings are generated at build time from the headers of the libxl that is linked, because
//! libxl promises no ABI: its structures change with every Xen release. The compiler checks the
//! size and the layout of each of them. Use the `libxl` crate for a safe interface.
//!
//! * Enumerations are open integers (`libxl_shutdown_reason(pub c_int)`): guests and newer
//!   libraries send values that the headers do not name.
//! * Structures have neither `Copy` nor `Debug` nor `Default`: they own memory and need their
//!   `_init` and `_dispose` functions.
//! * [`libxl_sys_logger_create`] makes a logger for `libxl_ctx_alloc` that hands finished lines to
//!   a callback, and stays clear of it in the processes that libxl forks.
//!
//! # Features
//!
//! * `xlutil` (default): libxlutil, which reads xl's configuration files.
//!
//! # Build
//!
//! Needs the headers (Debian: `libxen-dev`), libclang and a C compiler. `LIBXL_INCLUDE_DIR` and
//! `LIBXL_LIB_DIR`, set together, override pkg-config. Dependents' build scripts see
//! `DEP_XENLIGHT_VERSION`, `DEP_XENLIGHT_INCLUDE` and `DEP_XENLIGHT_HAVE`: the `LIBXL_HAVE_*`
//! features of the headers, in lower case, without the prefix, separated by commas.
//!
//! Without headers, on x86_64, the build uses prebuilt bindings for Debian's Xen 4.14, 4.17 and
//! 4.20. They suffice for documentation and `cargo check`, but nothing can be linked.
//! `LIBXL_PREBUILT=4.17` requests the bindings of one release.

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    improper_ctypes,
    missing_debug_implementations,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rustdoc::all,
    unsafe_op_in_unsafe_fn
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

include!(concat!(env!("OUT_DIR"), "/version.rs"));
