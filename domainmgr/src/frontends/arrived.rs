//! Domains that came from another host, and that no file describes here.

use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// Source of a domain that came from another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// The spec for its next boot here.
    pub spec: Spec,
}
