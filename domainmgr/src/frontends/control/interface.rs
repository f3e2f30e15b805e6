//! The interface of the socket.

/// The interface, as the service describes itself.
pub const INTERFACE: &str = include_str!("../../../xen.domainmgr.varlink");

/// Name of the interface.
pub const NAME: &str = "xen.domainmgr";
