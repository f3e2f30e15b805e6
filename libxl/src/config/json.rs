//! libxl's JSON forms of the types that have no form of their own in JSON.
//!
//! Each submodule is for serde's `with`. All of them read the output of every libxl from 4.14 on.

/// Returns true if a field holds its default value and is left out of the JSON.
pub(super) fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `libxl_defbool`: the strings `"True"` and `"False"`. libxl silently drops a JSON `true`.
pub(super) mod defbool {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde's `with` asks for"
    )]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<bool>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match value {
            Some(true) => "True",
            Some(false) => "False",
            None => "<default>",
        })
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<bool>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Word(String),
            Bool(bool),
            Null(()),
        }
        match Form::deserialize(deserializer)? {
            Form::Word(word) if word == "True" => Ok(Some(true)),
            Form::Word(word) if word == "False" => Ok(Some(false)),
            Form::Word(word) if word == "<default>" => Ok(None),
            Form::Word(word) => Err(serde::de::Error::custom(format!(
                "\"{word}\" is none of \"True\", \"False\" and \"<default>\""
            ))),
            Form::Bool(value) => Ok(Some(value)),
            Form::Null(()) => Ok(None),
        }
    }
}

/// A C `int` that means yes or no: `1` or `0`. libxl silently drops a JSON `true`.
pub(super) mod int_bool {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde's `with` asks for"
    )]
    pub(crate) fn serialize<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(u8::from(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<bool, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Bool(bool),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Number(number) => number != 0,
            Form::Bool(value) => value,
        })
    }
}

/// A number of seconds that libxl keeps as `uint32_t` and Xen treats as signed.
pub(super) mod wrapping_i32 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde's `with` asks for"
    )]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<i32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .map(|seconds| u32::from_ne_bytes(seconds.to_ne_bytes()))
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<i32>, D::Error> {
        let seconds = Option::<u32>::deserialize(deserializer)?;
        Ok(seconds.map(|seconds| i32::from_ne_bytes(seconds.to_ne_bytes())))
    }
}

/// `libxl_uuid`: the nil UUID stands for `None`.
pub(super) mod uuid {
    use ::uuid::Uuid;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::ref_option,
        reason = "the signature that serde's `with` asks for"
    )]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Uuid>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.unwrap_or_default().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Uuid>, D::Error> {
        let uuid = Option::<Uuid>::deserialize(deserializer)?;
        Ok(uuid.filter(|uuid| !uuid.is_nil()))
    }
}

/// `libxl_key_value_list`: an object.
///
/// libxl may write `null` for a key without a value, and ignores such a key when it uses the list. Such a key is left
/// out here.
pub(super) mod key_values {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(crate) fn serialize<S: Serializer>(
        value: &BTreeMap<String, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        let map = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
        Ok(map
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect())
    }
}
