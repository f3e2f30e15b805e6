//! Types of the messages on the socket, as in `xen.domainmgr.varlink`.

mod orders;
mod shown;

pub use self::orders::*;
pub use self::shown::*;
