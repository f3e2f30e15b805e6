//! The files the agent shares with the rest of EVE, in EVE's schema.
//!
//! Go wrote them and Go reads them: field names are matched without regard to case, `null` is the same as nothing, and
//! fields nobody knows are skipped.

mod adapters;
mod build;
mod config;
mod disks;
mod fold;
mod global;
mod image;
mod import;
pub mod inputs;
mod metric;
mod nics;
mod status;

use serde::{Deserialize, Serialize};

pub use self::adapters::{AssignableAdapters, DeviceNetworkStatus, IoBundle, Port, kind};
pub use self::build::spec;
pub use self::config::{
    Bytes, DiskConfig, DomainConfig, Hidden, IoAdapter, Kilobytes, ModeField, VifConfig,
};
pub use self::fold::{FieldError, parse};
pub use self::global::apply as apply_global;
pub use self::image::ImageStatus;
pub use self::import::import;
pub use self::metric::{DomainMetric, HostMemory};
pub use self::status::{DiskStatus, DomainStatus, PreservedDomain, State};

/// The application and the version of its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UuidAndVersion {
    /// The application's uuid, which is the key and the domain's uuid too.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// Counts up with each change by the controller.
    #[serde(rename = "Version")]
    pub version: String,
}
