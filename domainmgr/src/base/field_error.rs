//! Errors in files, with the path of the field.

use std::fmt;

/// An error in a file: the field, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field, e.g. `DiskConfigList[0].Format`; empty for the file as a whole.
    pub field: String,
    /// Description of the error, for people.
    pub reason: String,
}

impl FieldError {
    /// Makes the error for one field.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.field, self.reason)
        }
    }
}

impl std::error::Error for FieldError {}
