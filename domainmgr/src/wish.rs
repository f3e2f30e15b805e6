//! Origin of a wish: the file in which somebody has written what is to run, as its frontend understands it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::eve::{self, DomainConfig};
use crate::spec::Spec;
use crate::xl;

/// The file that a wish comes from. It is remembered, so that a later version of the agent can read it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// A DomainConfig.
    #[serde(rename = "config")]
    Eve(Arc<DomainConfig>),
    /// A file of xl's.
    #[serde(rename = "xl")]
    Xl(Arc<xl::File>),
}

impl Origin {
    /// Returns whether the domain is to run. A file of xl's is there because it is.
    #[must_use]
    pub fn activate(&self) -> bool {
        match self {
            Self::Eve(config) => config.activate,
            Self::Xl(_) => true,
        }
    }

    /// The writer's own number for what the file says; empty if there is none.
    #[must_use]
    pub fn version(&self) -> &str {
        match self {
            Self::Eve(config) => &config.uuid_and_version.version,
            Self::Xl(_) => "",
        }
    }

    /// The file read again, by this version of the agent.
    #[must_use]
    pub fn reread(&self, key: Uuid, host: impl FnOnce() -> Option<Arc<xl::Host>>) -> Option<Spec> {
        match self {
            Self::Eve(config) => eve::spec(key, config).ok(),
            Self::Xl(file) => file.spec(key, host()?.as_ref()).ok(),
        }
    }
}
