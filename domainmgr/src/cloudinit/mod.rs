//! The disk that cloud-init in a guest reads: a file system called `cidata` with `meta-data` and `user-data` in it.

mod iso;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the disk says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Changes with the instance: then cloud-init runs again in the guest.
    pub instance_id: String,
    /// The name the guest is to have.
    pub hostname: String,
    /// What the user wrote. It holds passwords more often than not.
    pub user_data: Vec<u8>,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("instance_id", &self.instance_id)
            .field("user_data", &format_args!("{} bytes", self.user_data.len()))
            .finish_non_exhaustive()
    }
}

impl Seed {
    /// The seed of an application, in this version of its config.
    #[must_use]
    pub fn new(uuid: Uuid, version: &str, user_data: Vec<u8>) -> Self {
        Self {
            instance_id: format!("{uuid}/{version}"),
            hostname: uuid.to_string(),
            user_data,
        }
    }

    /// The content of the disk.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let meta_data = format!(
            "instance-id: {}\nlocal-hostname: {}\n",
            scalar(&self.instance_id),
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
    fn user_data_does_not_show() {
        let seed = Seed::new(Uuid::nil(), "1", b"password: hunter2".to_vec());
        assert!(!format!("{seed:?}").contains("hunter2"));
        let image = seed.image();
        assert!(image.windows(7).any(|w| w == b"hunter2"));
    }
}
