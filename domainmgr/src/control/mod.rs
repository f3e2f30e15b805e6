//! The control socket: what an operator, or a program of his, sees of the domains and asks of them.
//!
//! It speaks varlink (<https://varlink.org>); `xen.domainmgr.varlink` is the interface. A client has a thread of its own, and
//! nobody waits for it: what it does not read is dropped, and it is told how much that was.

mod board;
mod changes;
pub mod client;
pub(crate) mod names;
mod server;
mod service;
pub mod wire;

pub use self::board::{Board, Change};
pub use self::server::{Socket, SocketError, start};
pub use self::service::Sources;

/// The interface, as the service describes itself.
pub const INTERFACE: &str = include_str!("../../xen.domainmgr.varlink");

/// Its name.
pub const NAME: &str = "xen.domainmgr";
