//! The disk that cloud-init in a guest reads: a file system called `cidata` with `meta-data` and `user-data` in it.

mod iso;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Content of the disk.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Version of the user data, as the author of the config counts it; 0 if the versions are not counted.
    #[serde(default)]
    pub version: u32,
    /// Instance ID that a guest with this user data got before, from an agent that made the ID in another way.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// Host name that the guest is to have.
    pub hostname: String,
    /// User data, as the user wrote it. It often contains passwords.
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
    /// Makes the seed of an application.
    #[must_use]
    pub fn new(uuid: Uuid, version: u32, user_data: Vec<u8>) -> Self {
        Self {
            version,
            instance_id: None,
            hostname: uuid.to_string(),
            user_data,
        }
    }

    /// Returns the instance ID, which depends only on the application, and on its user data or their version.
    ///
    /// If the ID is another one than before, cloud-init in the guest begins anew: keys, passwords, commands.
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

    /// Returns whether a guest is to read the same from both, whatever its instance ID.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.hostname, &self.user_data) == (&other.hostname, &other.user_data)
    }

    /// Returns the image of the disk.
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

/// Returns text that YAML reads back unchanged. Text that is not plain beyond doubt is quoted, and never becomes syntax.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let begins = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    if begins && text.chars().all(plain) {
        return text.to_owned();
    }
    // Strings of JSON are also strings of YAML.
    serde_json::Value::from(text).to_string()
}

/// Returns the path of the disk of an application.
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
        // A version has precedence over the content.
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
