//! The file that a wish comes from, as its frontend understands it.

use std::any::Any;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::core::{Desired, Origin, Reread, Source};
use crate::frontends::arrived::Arrived;
use crate::frontends::eve::{self, DomainConfig};
use crate::frontends::xl;
use crate::spec::Spec;
use crate::spec::with_host::WithHost;

/// The file that a wish comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WishFile {
    /// A DomainConfig.
    #[serde(rename = "config")]
    Eve(Arc<DomainConfig>),
    /// A file of xl's.
    #[serde(rename = "xl")]
    Xl(Arc<xl::File>),
    /// No file: the domain came from another host.
    #[serde(rename = "arrived")]
    Arrived(Arc<Arrived>),
}

impl Source for WishFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl WishFile {
    /// Returns the file that the core carries.
    ///
    /// # Errors
    /// It was recorded in a way that this version of the agent does not know; the text says how.
    pub fn of(origin: &Origin) -> Result<Self, String> {
        match origin {
            Origin::Read(source) => {
                let file = source.as_any().downcast_ref::<Self>().cloned();
                file.ok_or_else(|| "the wish does not come from a file".to_owned())
            }
            Origin::Recorded(value) => value.deserialized().map_err(|e| e.to_string()),
        }
    }

    /// Returns the wish in the file, from which its frontend has made `spec`.
    #[must_use]
    pub fn desired(self, spec: Result<Arc<Spec>, String>, warnings: Vec<String>) -> Desired {
        Desired {
            run: self.activate(),
            version: self.version().to_owned(),
            digest: self.digest(),
            unwritten: matches!(self, Self::Arrived(_)),
            origin: Origin::Read(Arc::new(self)),
            spec,
            warnings,
        }
    }

    /// Returns the wish as this version of the agent reads it.
    #[must_use]
    pub fn reread(self, key: Uuid, host: impl FnOnce() -> Option<Arc<xl::Host>>) -> Reread {
        let spec = match &self {
            Self::Eve(config) => eve::spec(key, config).ok(),
            Self::Xl(file) => host().and_then(|host| file.spec(key, host.as_ref()).ok()),
            Self::Arrived(arrived) => Some(arrived.spec.clone()),
        };
        Reread {
            run: self.activate(),
            version: self.version().to_owned(),
            origin: Origin::Read(Arc::new(self)),
            spec,
        }
    }

    /// Returns what becomes of the domain when the host goes down. A file that cannot be used says nothing about that.
    #[must_use]
    pub fn with_host(&self) -> WithHost {
        match self {
            Self::Eve(config) => eve::with_host(config).unwrap_or_default(),
            Self::Xl(file) => file.with_host.clone(),
            Self::Arrived(_) => WithHost::default(),
        }
    }

    /// Returns whether the domain is to run. A file of xl's is there because it is, unless it says otherwise. A domain that came from
    /// another host runs because it was given to this one.
    pub(super) fn activate(&self) -> bool {
        match self {
            Self::Eve(config) => config.activate,
            Self::Xl(file) => !file.idle,
            Self::Arrived(_) => false,
        }
    }

    /// The writer's own number for what the file says; empty if there is none.
    fn version(&self) -> &str {
        match self {
            Self::Eve(config) => &config.uuid_and_version.version,
            Self::Xl(_) | Self::Arrived(_) => "",
        }
    }

    fn digest(&self) -> String {
        match self {
            Self::Eve(config) => config.digest(),
            Self::Xl(file) => file.digest(),
            Self::Arrived(_) => String::new(),
        }
    }
}
