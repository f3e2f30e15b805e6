//! The Xen toolstack in Rust, in one place for its examples and its cross-crate tests.
//!
//! Depend on [`libxl`] or [`domainmgr`] directly; this package is not published.

pub use domainmgr;
pub use libxl;

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
