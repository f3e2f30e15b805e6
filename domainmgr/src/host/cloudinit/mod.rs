//! The disk that cloud-init in a guest reads: a file system called `cidata` with `meta-data` and `user-data` in it.

mod iso;

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::spec::Seed;

/// Returns the image of the disk.
#[must_use]
pub fn image(seed: &Seed) -> Vec<u8> {
    let meta_data = format!(
        "instance-id: {}\nlocal-hostname: {}\n",
        scalar(&seed.instance()),
        scalar(&seed.hostname)
    );
    iso::image(
        "cidata",
        &[
            ("meta-data", meta_data.as_bytes()),
            ("user-data", &seed.user_data),
        ],
    )
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
    fn user_data_does_not_show() {
        let seed = Seed::new(Uuid::nil(), 1, b"password: hunter2".to_vec());
        assert!(!format!("{seed:?}").contains("hunter2"));
        let image = image(&seed);
        assert!(image.windows(7).any(|w| w == b"hunter2"));
    }
}
