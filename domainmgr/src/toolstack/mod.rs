//! The agent's interface to Xen: two traits, so that everything above them can run without Xen.
//!
//! [`libxl`] implements them for the real Xen, [`sim`] for an in-memory model of Xen's semantics.

mod domain;
mod error;
mod host_facts;
pub mod libxl;
pub mod live;
mod migration;
mod operation;
mod refusals;
mod session;
pub mod sim;
pub mod xenstored;

pub use self::domain::{DomainId, HostInfo, HostPci, Life, Seen, Usage};
pub use self::error::{Error, ErrorKind, Result};
pub use self::host_facts::facts_of_this_host;
pub use self::live::Live;
pub use self::migration::{AWAY, Arriving, HandedOver, INCOMING, Landing, Leaving, Peer, Report};
pub use self::operation::Limits;
pub use self::session::{MemoryGrant, Need, Session, Toolstack, Wake, Watch};
pub use crate::spec::ShutdownReason;
