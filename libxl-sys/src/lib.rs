//! Raw FFI bindings to libxl.
