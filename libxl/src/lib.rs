//! Xen: a safe wrapper of libxl.

pub mod config;

mod abort;
mod context;
mod domain;
mod error;
mod have;
mod host;
mod id;
mod logger;
mod operation;
mod pump;
mod raw;
mod shutdown_reason;
mod watcher;

pub use abort::AbortHandle;
pub use config::DomainConfig;
pub use context::{Context, ContextBuilder, SigchldMode};
pub use domain::{Domain, DomainInfo, DomainState, ShutdownVia, Trigger};
pub use error::{Error, ErrorKind, Result};
pub use have::{BUILT_FOR, have};
pub use host::{PhysInfo, VersionInfo};
pub use id::{DomId, DomainId};
pub use logger::LogLine;
pub use operation::{Limits, Operation, Running};
pub use shutdown_reason::ShutdownReason;
pub use watcher::{DomainEvent, RESYNC, Watch, Watcher};
