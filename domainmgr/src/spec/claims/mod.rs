//! Resources that a domain needs and the host has only once, and the conflicts about them. Pure except for looking up
//! paths.

mod needs;
pub mod things;

pub use self::needs::{Claims, Refusal, Taken};
