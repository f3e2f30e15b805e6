//! What a saved or migrating domain looks like on its way: the file format and the wire of `xl`.

mod header;
pub(crate) mod relay;
mod wire;

pub use header::SavedHeader;
pub(crate) use wire::{Waiter, Wire, read_exact, write_all};
