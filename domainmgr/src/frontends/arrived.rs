//! Domains that came from another host, and that no file describes here.

use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// What a domain that came from another host was built from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// The spec for its next boot here.
    pub spec: Spec,
}
