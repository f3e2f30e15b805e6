//! JSON as Go's `encoding/json` reads it.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::field_error::FieldError;

/// Reads a whole file.
///
/// # Errors
/// The text is not a JSON object, or a field has the wrong type. An error about a type names the field and the type that was
/// expected.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, FieldError> {
    read(value(text)?)
}

/// Reads a JSON object.
///
/// # Errors
/// The text is not JSON, or not an object.
pub fn value(text: &[u8]) -> Result<Value, FieldError> {
    let value: Value =
        serde_json::from_slice(text).map_err(|e| FieldError::new("", format!("not JSON: {e}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(FieldError::new("", "expected a JSON object"))
    }
}

/// Converts a JSON value into `T`.
///
/// # Errors
/// A field has the wrong type. The error names the field and the type that was expected.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(Folded(value)).map_err(|e| {
        let path = e.path().to_string();
        let field = if path == "." { String::new() } else { path };
        FieldError::new(field, reword(&e.into_inner().to_string()))
    })
}

/// Rewords the errors of serde, which read "invalid type: string \"x\", expected y".
fn reword(text: &str) -> String {
    let found = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "));
    match found.and_then(|rest| rest.split_once(", expected ")) {
        Some((found, expected)) => format!("expected {expected}, found {found}"),
        None => text.to_owned(),
    }
}

/// A JSON value whose objects match the names of a struct's fields without regard to case.
struct Folded(Value);

impl<'de> IntoDeserializer<'de, serde_json::Error> for Folded {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Renames every member to the field that it matches. An exact match wins over one that differs in case.
fn fold(object: Map<String, Value>, fields: &'static [&'static str]) -> Map<String, Value> {
    let mut folded = Map::new();
    let mut exact = Vec::new();
    for (name, value) in object {
        if value.is_null() {
            continue;
        }
        let field = fields.iter().find(|f| f.eq_ignore_ascii_case(&name));
        match field {
            None => {}
            Some(&field) if field == name => {
                exact.push(field);
                folded.insert(name, value);
            }
            Some(&field) if exact.contains(&field) => {}
            Some(&field) => {
                folded.insert(field.to_owned(), value);
            }
        }
    }
    folded
}

impl<'de> Deserializer<'de> for Folded {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Folded)))
            }
            Value::Object(members) => visitor.visit_map(MapDeserializer::new(
                members.into_iter().map(|(k, v)| (k, Folded(v))),
            )),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(members) => {
                Folded(Value::Object(fold(members, fields))).deserialize_any(visitor)
            }
            // serde could read a struct from a list. Here that is an error.
            Value::Array(_) => Err(serde::de::Error::invalid_type(
                serde::de::Unexpected::Seq,
                &"an object",
            )),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Bundle {
        #[serde(rename = "PciShort")]
        pci_short: String,
        #[serde(rename = "Members")]
        members: Vec<Bundle>,
        #[serde(rename = "N")]
        n: u32,
    }

    fn read(text: &str) -> Result<Bundle, String> {
        parse(text.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn names_take_any_case_and_null_is_nothing() {
        let b = read(r#"{"Pcishort":"00:14.0","members":[{"PCISHORT":"x","n":null}],"other":{}}"#)
            .unwrap();
        assert_eq!(b.pci_short, "00:14.0");
        assert_eq!(b.members[0].pci_short, "x");
        assert_eq!(read(r#"{"Members":null}"#).unwrap(), Bundle::default());
    }

    #[test]
    fn an_exact_name_wins() {
        for text in [
            r#"{"PciShort":"right","pcishort":"wrong"}"#,
            r#"{"PCISHORT":"wrong","PciShort":"right"}"#,
        ] {
            assert_eq!(read(text).unwrap().pci_short, "right");
        }
    }

    #[test]
    fn errors_name_the_field_and_what_it_should_be() {
        assert_eq!(
            read(r#"{"members":[{"N":"lots"}]}"#).unwrap_err(),
            "Members[0].N: expected u32, found string \"lots\""
        );
        assert_eq!(read("[]").unwrap_err(), "expected a JSON object");
        assert!(
            read("{")
                .unwrap_err()
                .starts_with("not JSON: EOF while parsing")
        );
        assert_eq!(
            read(r#"{"Members":[[1]]}"#).unwrap_err(),
            "Members[0]: expected an object, found sequence"
        );
    }
}
