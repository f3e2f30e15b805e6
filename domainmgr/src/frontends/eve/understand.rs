//! Reads a DomainConfig as a whole.

use serde_json::Value;
use uuid::Uuid;

use super::build;
use super::config::DomainConfig;
use super::later;
use super::once;
use crate::base::field_error::FieldError;
use crate::base::json;
use crate::spec::Spec;

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
    let mut value = json::value(text)?;
    if let Err(e) = serde_json::from_slice::<once::Once>(text) {
        return Err(FieldError::new("", e.to_string()));
    }
    let Value::Object(fields) = &mut value else {
        return Err(FieldError::new("", "expected a JSON object"));
    };
    later::rename(fields)?;
    let notices = later::notices(fields);
    let config: DomainConfig = json::read(value)?;
    let spec = match (build::spec(key, &config), notices.refused) {
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
