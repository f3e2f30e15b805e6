//! Fields that EVE's DomainConfig has gained since 2019, and unknown fields. Skipped fields are reported unless they are harmless.

mod fields;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::fields::Unread::{Harmless, Refused, Warned};
use self::fields::{DISK, DOMAIN, Fields, IO_ADAPTER, UUID_AND_VERSION, VIF};
use crate::base::field_error::FieldError;

/// Another name of the field with the user data, since 2021.
const LARGE_USER_DATA: &str = "pubsub-large-CloudInitUserData";

/// Notices about fields that are set but not followed.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Skipped fields: the domain is built without them.
    pub(super) warnings: Vec<FieldError>,
    /// The first field because of which the domain is not built.
    pub(super) refused: Option<FieldError>,
}

/// Renames `LARGE_USER_DATA` to `CloudInitUserData`, the name that the agent reads.
///
/// # Errors
/// Both fields are set, with different contents.
pub(super) fn rename(config: &mut Map<String, Value>) -> Result<(), FieldError> {
    let find = |config: &Map<String, Value>, name: &str| {
        let mut names = config.iter().filter(|(_, value)| is_set(value));
        let found = names.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(n, _)| n.clone())
    };
    let Some(large) = find(config, LARGE_USER_DATA) else {
        return Ok(());
    };
    let value = config.remove(&large);
    match find(config, "CloudInitUserData").and_then(|plain| config.get(&plain)) {
        Some(plain) if Some(plain) != value.as_ref() => Err(FieldError::new(
            LARGE_USER_DATA,
            "there is a CloudInitUserData too, with another content",
        )),
        Some(_) => Ok(()),
        None => {
            config.extend(value.map(|value| ("CloudInitUserData".to_owned(), value)));
            Ok(())
        }
    }
}

/// Collects the notices about the fields of a DomainConfig that are not followed.
pub(super) fn notices(config: &Map<String, Value>) -> Notices {
    let mut notices = Notices::default();
    notices.object("", config, DOMAIN);
    for (list, fields) in [
        ("UUIDandVersion", UUID_AND_VERSION),
        ("DiskConfigList", DISK),
        ("VifList", VIF),
        ("IoAdapterList", IO_ADAPTER),
    ] {
        let found = config.iter().find(|(n, _)| n.eq_ignore_ascii_case(list));
        match found.map(|(_, value)| value) {
            Some(Value::Object(object)) => notices.object(&format!("{list}."), object, fields),
            Some(Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    if let Value::Object(object) = item {
                        notices.object(&format!("{list}[{i}]."), object, fields);
                    }
                }
            }
            _ => {}
        }
    }
    notices
}

impl Notices {
    fn object(&mut self, place: &str, object: &Map<String, Value>, fields: Fields) {
        for (name, value) in object.iter().filter(|(_, value)| is_set(value)) {
            let known = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            let (field, unread) = match known {
                // Target 1 is a disk, as every entry of the list.
                Some(("Target", _)) if value == 1 => continue,
                Some(&(field, unread)) => (field.to_owned(), unread),
                None => (shown(name), Warned("no such field is known")),
            };
            let notice =
                |why: &str| FieldError::new(format!("{place}{field}"), format!("skipped: {why}"));
            match unread {
                Harmless => {}
                Warned(why) => self.warnings.push(notice(why)),
                Refused(why) => {
                    let refused = FieldError::new(format!("{place}{field}"), why);
                    self.refused.get_or_insert(refused);
                }
            }
        }
    }
}

/// Returns a name that is safe to show: short, and without control sequences for a terminal.
fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.len() <= 64 && name.chars().all(plain) {
        return name.to_owned();
    }
    let start: String = name.chars().take(40).collect();
    start.escape_default().to_string()
}

/// Returns whether a value differs from Go's zero value. Go writes every field, most of them with that value.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            let nothing = [
                "",
                "00000000-0000-0000-0000-000000000000",
                "0001-01-01T00:00:00Z",
            ];
            !nothing.contains(&text.as_str())
        }
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => members.values().any(is_set),
    }
}
