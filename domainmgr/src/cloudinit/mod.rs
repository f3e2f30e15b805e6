//! The disk that cloud-init in a guest reads: a file system called `cidata` with `meta-data` and `user-data` in it.

mod iso;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the disk says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Which user data this is, as the writer of the config counts it; 0: it does not.
    #[serde(default)]
    pub version: u32,
    /// The instance that a guest with this user data has been told before, by an agent that called it otherwise.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// The name the guest is to have.
    pub hostname: String,
    /// What the user wrote. It holds passwords more often than not.
    pub user_data: Vec<u8>,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("instance", &self.instance())
            .field("user_data", &format_args!("{} bytes", self.user_data.len()))
            .finish_non_exhaustive()
    }
}

impl Seed {
    /// The seed of an application.
    #[must_use]
    pub fn new(uuid: Uuid, version: u32, user_data: Vec<u8>) -> Self {
        Self {
            version,
            instance_id: None,
            hostname: uuid.to_string(),
            user_data,
        }
    }

    /// The instance. If it is another one than before, cloud-init in the guest begins anew: keys, passwords, commands.
    /// Therefore it follows from the application and its user data, and from nothing else.
    #[must_use]
    pub fn instance(&self) -> String {
        let uuid = &self.hostname;
        match (&self.instance_id, self.version) {
            (Some(known), _) => known.clone(),
            (None, 0) => {
                let key = uuid.parse().unwrap_or_default();
                format!("{uuid}/{}", Uuid::new_v5(&key, &self.user_data))
            }
            (None, version) => format!("{uuid}/{version}"),
        }
    }

    /// Whether a guest is to read the same, whichever instance it is called.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.hostname, &self.user_data) == (&other.hostname, &other.user_data)
    }

    /// The content of the disk.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let meta_data = format!(
            "instance-id: {}\nlocal-hostname: {}\n",
            scalar(&self.instance()),
            scalar(&self.hostname)
        );
        iso::image(
            "cidata",
            &[
                ("meta-data", meta_data.as_bytes()),
                ("user-data", &self.user_data),
            ],
        )
    }
}

/// Text as YAML reads it back: what is not plain beyond doubt is quoted, so that it never becomes syntax.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let begins = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    if begins && text.chars().all(plain) {
        return text.to_owned();
    }
    // JSON's strings are YAML's.
    serde_json::Value::from(text).to_string()
}

/// Where the disk of an application is.
#[must_use]
pub fn path(dir: &Path, uuid: Uuid) -> PathBuf {
    dir.join(format!("{uuid}.cidata"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_never_syntax() {
        assert_eq!(scalar("a-b/1.2"), "a-b/1.2");
        for (odd, quoted) in [
            ("a/1\nuser: root", r#""a/1\nuser: root""#),
            ("a: b", r#""a: b""#),
            ("a\"#", r##""a\"#""##),
            ("", r#""""#),
            ("-", r#""-""#),
        ] {
            assert_eq!(scalar(odd), quoted);
        }
    }

    #[test]
    fn an_instance_is_new_with_its_user_data_alone() {
        let seed = |version, data: &str| Seed::new(Uuid::from_u128(7), version, data.into());
        let instance = seed(0, "a").instance();
        assert_eq!(seed(0, "a").instance(), instance);
        assert_ne!(seed(0, "b").instance(), instance);
        // Who counts has the last word.
        assert_eq!(seed(3, "a").instance(), seed(3, "b").instance());
        assert_ne!(seed(3, "a").instance(), seed(4, "a").instance());
        assert!(seed(3, "a").instance().ends_with("/3"));
        let known = Seed {
            instance_id: Some("x/1".into()),
            ..seed(0, "a")
        };
        assert_eq!(known.instance(), "x/1");
        assert!(known.says_the_same(&seed(2, "a")) && !known.says_the_same(&seed(0, "b")));
    }

    #[test]
    fn user_data_does_not_show() {
        let seed = Seed::new(Uuid::nil(), 1, b"password: hunter2".to_vec());
        assert!(!format!("{seed:?}").contains("hunter2"));
        let image = seed.image();
        assert!(image.windows(7).any(|w| w == b"hunter2"));
    }
}
