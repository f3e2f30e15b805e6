//! Origin of a wish: the file that somebody has written. The core carries it, and looks at nothing in it.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use ciborium::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The thing that a frontend has made a wish from, such as a file.
pub trait Source: erased_serde::Serialize + Debug + Send + Sync {
    /// Returns the source itself, for the frontend that knows its type.
    fn as_any(&self) -> &dyn Any;
}

erased_serde::serialize_trait_object!(Source);

/// The source of a wish. It is remembered, so that a later version of the agent can read it again.
#[derive(Clone, Debug)]
pub enum Origin {
    /// As its frontend has read it.
    Read(Arc<dyn Source>),
    /// As it was recorded, before its frontend has read it again.
    Recorded(Arc<Value>),
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Read(source) => source.serialize(to),
            Self::Recorded(value) => value.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        Ok(Self::Recorded(Arc::new(value)))
    }
}
