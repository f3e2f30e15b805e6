//! The formats of a saved or migrating domain: the file format and the wire format of `xl`.

mod header;
mod pace;
mod pages;
pub(crate) mod relay;
mod waiter;
mod wire;

pub use header::SavedHeader;
pub(crate) use waiter::{Silence, Waiter};
pub(crate) use wire::Wire;
