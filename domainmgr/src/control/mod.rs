//! The control socket, through which operators and their programs see domains and give orders.
//!
//! The protocol is varlink (<https://varlink.org>), and `xen.domainmgr.varlink` is the interface. Each client has a thread of
//! its own, and nothing waits for a client: changes that it does not read are dropped, and it is told their number.

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

/// Name of the interface.
pub const NAME: &str = "xen.domainmgr";
