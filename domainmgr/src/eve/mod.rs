//! The files the agent shares with the rest of EVE, in EVE's schema.
//!
//! Programs in Go write and read these files. Field names match without regard to case, `null` counts as absent, and
//! unknown fields are skipped. Those of a DomainConfig are reported.

mod adapters;
mod build;
mod config;
mod disks;
mod fold;
mod global;
mod image;
mod import;
mod later;
mod metric;
mod nics;
mod once;
mod status;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
pub use self::nics::mac_of;
pub use self::status::{DiskStatus, DomainStatus, PreservedDomain, State};
use crate::spec::Spec;

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

/// The most warnings for one config: more would not be read.
const MOST_WARNINGS: usize = 32;

/// The result of reading a DomainConfig.
#[derive(Clone, Debug)]
pub struct Understood {
    /// The config as it came.
    pub config: DomainConfig,
    /// The domain to build, or the first field that makes it impossible.
    pub spec: Result<Spec, FieldError>,
    /// Fields that are skipped or have no effect, and those whose effect may surprise.
    pub warnings: Vec<FieldError>,
}

/// Reads the DomainConfig of `key`.
///
/// # Errors
/// The text is not a JSON object, an object has a member twice, or a field has the wrong type. An error about a type names the
/// field and the type that was expected.
pub fn understand(key: Uuid, text: &[u8]) -> Result<Understood, FieldError> {
    let mut value = fold::value(text)?;
    if let Err(e) = serde_json::from_slice::<once::Once>(text) {
        return Err(FieldError::new("", e.to_string()));
    }
    let Value::Object(fields) = &mut value else {
        return Err(FieldError::new("", "expected a JSON object"));
    };
    later::rename(fields)?;
    let notices = later::notices(fields);
    let config: DomainConfig = fold::read(value)?;
    let spec = match (spec(key, &config), notices.refused) {
        // A wrong uuid is reported before anything else.
        (Err(e), _) if e.field.starts_with("UUIDandVersion") => Err(e),
        (_, Some(refused)) => Err(refused),
        (spec, None) => spec,
    };
    let mut warnings = notices.warnings;
    if let Ok(spec) = &spec {
        warnings.extend(build::without_effect(spec, &config));
        warnings.extend(build::doubts(spec, &config));
    }
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    if more > 0 {
        warnings.truncate(MOST_WARNINGS);
        warnings.push(FieldError::new("", format!("and {more} more")));
    }
    Ok(Understood {
        config,
        spec,
        warnings,
    })
}
