//! JSON in which no object has a member twice. Otherwise the last one would count, without a warning.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Any JSON value. The flag is false for `null`, which counts as absent.
pub(super) struct Once(bool);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once(false))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once(true))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once(true))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once(true))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once(true))
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once(true))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        while items.next_element::<Once>()?.is_some() {}
        Ok(Once(true))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Once, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let Once(says) = members.next_value()?;
            // Names match without regard to case, and `null` counts as absent.
            if says && !seen.insert(name.to_ascii_lowercase()) {
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
        }
        Ok(Once(true))
    }
}
