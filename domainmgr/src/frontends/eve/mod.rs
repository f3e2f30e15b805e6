//! The files the agent shares with the rest of EVE, in EVE's schema.
//!
//! Programs in Go write and read these files. Field names match without regard to case, `null` counts as absent, and
//! unknown fields are skipped. Those of a DomainConfig are reported.

mod build;
mod config;
mod global;
mod image;
mod import;
mod later;
mod metric;
mod once;
mod status;
mod understand;

pub use self::build::{spec, with_host};

pub use self::config::{
    Bytes, DiskConfig, DomainConfig, Hidden, IoAdapter, Kilobytes, ModeField, UuidAndVersion,
    VifConfig,
};
pub use self::global::apply as apply_global;
pub use self::image::ImageStatus;
pub use self::import::import;
pub use self::metric::{DomainMetric, HostMemory};
pub use self::status::{DiskStatus, DomainStatus, Job, PreservedDomain, SpentFile, State};
pub use self::understand::{Understood, understand};
