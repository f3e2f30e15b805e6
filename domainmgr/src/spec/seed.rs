//! Content of the disk that cloud-init in a guest reads.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Content of the disk for cloud-init.
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
