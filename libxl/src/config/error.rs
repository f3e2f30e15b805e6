//! Errors in a configuration that are found before libxl sees it.

use std::error::Error;
use std::fmt;

/// The error for a configuration that must not reach libxl, from
/// [`DomainConfig::validate`](super::DomainConfig::validate).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// Path of the field, in libxl's names: `b_info.type.hvm.vnc.listen`, `disks[1].format`.
    pub field: String,
    /// Description of the fault, such as "is not set".
    pub reason: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl Error for Invalid {}

/// The error for a word that names no value of an enumeration, from the enumeration's `FromStr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    what: &'static str,
    word: String,
    expected: &'static [&'static str],
}

impl UnknownWord {
    pub(super) fn new(what: &'static str, word: &str, expected: &'static [&'static str]) -> Self {
        Self {
            what,
            word: word.to_owned(),
            expected,
        }
    }

    /// Returns the words that name the values of the enumeration.
    pub fn expected(&self) -> &'static [&'static str] {
        self.expected
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no {}; known are {}",
            self.word,
            self.what,
            self.expected.join(", ")
        )
    }
}

impl Error for UnknownWord {}
