//! Passwords.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A password: sent to libxl in the clear, printed as `***`.
///
/// ```
/// use libxl::config::Secret;
///
/// let password = Secret::from("hunter2");
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns the password in the clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Replaces the passwords in the JSON of a configuration or a device, so that the JSON can be shown.
///
/// ```
/// use libxl::config::redact;
///
/// let mut json = serde_json::json!({ "vnc": { "passwd": "hunter2", "display": 1 } });
/// redact(&mut json);
/// assert_eq!(json, serde_json::json!({ "vnc": { "passwd": "***", "display": 1 } }));
/// ```
pub fn redact(json: &mut Value) {
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                if key == "passwd" && value.is_string() {
                    *value = "***".into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(array) => array.iter_mut().for_each(redact),
        _ => {}
    }
}
