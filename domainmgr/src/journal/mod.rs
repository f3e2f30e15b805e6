//! Durable memory: one record per key, in an SQLite database that survives the agent and the host.
//!
//! The journal does not interpret records. `store` reads and writes the file. [`Journal`] is the thread that commits all
//! gathered changes as one transaction, so that many workers share the cost of reaching the disk.

mod committer;
mod events;
mod store;
#[cfg(test)]
mod tests;

pub use self::committer::{Follower, Haste, Journal, Ticket};
pub use self::events::{Event, PAGE, Page};
pub use self::store::{Change, Entry, FILE, OpenError, Store, set_aside};
