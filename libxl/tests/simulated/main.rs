//! Contexts, operations and the watcher on a stand-in for libxl, so that what they do can be seen
//! without Xen. What a test claims about Xen itself belongs into the live tests.
#![allow(clippy::unwrap_used)] // A test may.

mod operations;
mod stand_in;
