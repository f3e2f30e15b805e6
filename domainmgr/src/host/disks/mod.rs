//! The files behind a domain's disks: finding, checking, copying and growing them.
//!
//! A guest never writes to an image, only to its own copy. A copy is made under a temporary name and renamed at the end, so
//! that a file with the final name is whole.

mod bounds;
mod bytes;
mod check;
mod copy;
mod discard;
pub mod fingerprint;
mod grow;
mod header;
pub mod name;
mod prepare;
mod qcow2;
pub mod register;
#[cfg(test)]
mod tests;

pub use self::bounds::{Bounds, Failure, copies_at_once};
pub use self::check::{check, doubts};
pub use self::discard::{discard, discard_all};
pub use self::prepare::{Copies, Places, prepare};
