//! The trait that each type implements for its check, and the checks that types have in common.

use serde::Serialize;

use super::values::validate_values;
use crate::config::error::Invalid;

/// The checks of one type.
///
/// `at` is the path of the value, with a dot at the end unless the path is empty. `CpuidPolicy` takes a path without
/// the dot.
pub(super) trait Check {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        let _ = at;
        Ok(())
    }
}

/// Checks a whole value: its strings and numbers first, then the requirements of its type.
pub(super) fn validate<T: Check + Serialize>(value: &T) -> Result<(), Invalid> {
    validate_values(value)?;
    value.check("")
}

pub(super) fn required(at: &str, field: &str, value: Option<&str>) -> Result<(), Invalid> {
    match value {
        None => Err(Invalid::new(format!("{at}{field}"), "is not set")),
        Some("") => Err(Invalid::new(format!("{at}{field}"), "is empty")),
        Some(_) => Ok(()),
    }
}
