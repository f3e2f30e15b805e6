//! Xen: a safe wrapper of libxl.

pub mod config;
