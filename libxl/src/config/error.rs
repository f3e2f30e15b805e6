//! What can be wrong with a configuration before libxl sees it.

use std::error::Error;
use std::fmt;

/// A configuration that must not reach libxl, found by [`DomainConfig::validate`](super::DomainConfig::validate).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The place, in libxl's names: `b_info.type.hvm.vnc.listen`, `disks[1].format`.
    pub field: String,
    /// What is wrong there.
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

/// A word that names no value of an enumeration, from its `FromStr`.
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

    /// The words that would have been understood.
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
