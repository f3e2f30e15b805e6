//! The enumerations of libxl's configuration.
//!
//! A value that only means "not set" (`unknown`, `invalid`) has no variant here: leave the field `None`.

mod devices;
mod domain;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::UnknownWord;
pub use devices::*;
pub use domain::*;

/// The kind of a domain (`libxl_domain_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainType {
    /// Paravirtualised: the kernel knows Xen and needs no virtualisation in the CPU. x86.
    Pv,
    /// A whole PC with firmware and emulated devices, which a QEMU in dom0 provides. x86.
    Hvm,
    /// Virtualised by the CPU and without emulated devices. The only kind on Arm.
    Pvh,
}

impl DomainType {
    /// Returns libxl's word: `pv`, `hvm` or `pvh`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Hvm => "hvm",
            Self::Pvh => "pvh",
        }
    }
}

impl fmt::Display for DomainType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for DomainType {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::Pv, Self::Hvm, Self::Pvh]
            .into_iter()
            .find(|known| word.eq_ignore_ascii_case(known.word()))
            .ok_or_else(|| UnknownWord::new("DomainType", word, &["pv", "hvm", "pvh"]))
    }
}
