//! The control socket, through which operators and their programs see domains and give orders.
//!
//! The protocol is varlink (<https://varlink.org>), and `xen.domainmgr.varlink` is the interface. Each client has a thread of
//! its own, and nothing waits for a client: changes that it does not read are dropped, and it is told their number.

mod broadcast;
mod changes;
pub mod client;
mod connection;
mod following;
#[cfg(fuzzing)]
mod fuzz;
mod interface;
mod jobs;
mod migrations;
pub(crate) mod names;
pub(crate) mod parse;
pub mod passed;
mod reception;
mod saved_files;
mod saving;
mod server;
mod service;
pub mod wire;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::fuzz::serve as fuzz;
pub use self::interface::{INTERFACE, NAME};
pub use self::reception::{Coming, Reception};
pub use self::saved_files::SavedFiles;
pub use self::server::{Socket, SocketError, start};
pub use self::service::Sources;
