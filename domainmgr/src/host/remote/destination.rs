//! The other host of a migration, and the way to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The program that receives domains on the other host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receiver {
    /// The agent. It remembers what became of a domain.
    #[default]
    Agent,
    /// xl, of which nothing can be asked later.
    Xl,
}

/// The other host of a migration, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The host, as `ssh` knows it: a name or an address, perhaps with a user.
    pub host: String,
    /// A command of the shell that takes the place of `ssh`: it is given the host and the command to run there.
    #[serde(default)]
    pub via: Option<String>,
    /// The program that receives the domain.
    #[serde(default)]
    pub receiver: Receiver,
    /// Number of this migration, by which either side can ask later what became of it.
    pub token: Uuid,
    /// Seconds after which the migration is given up, if the guest has not been given away by then.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// The guest is suspended before anything of it is sent.
    #[serde(default)]
    pub suspended_first: bool,
    /// The domain is to run there only until that host is started again, as it does here.
    #[serde(default)]
    pub until_boot: bool,
}

impl Destination {
    /// Returns whether the host can be given to `ssh`, which takes a word that begins with a hyphen for an option.
    #[must_use]
    pub fn is_host(host: &str) -> bool {
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        !host.is_empty() && !host.starts_with('-') && host.chars().all(plain)
    }

    /// Returns the time that the migration may take until the guest is given away.
    #[must_use]
    pub fn allowed(&self) -> Option<Duration> {
        self.timeout
            .map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Returns the command that receives the domain on the other host. The agent's is told first what the domain needs, and says
    /// whether it may come.
    pub(super) fn receive(&self) -> String {
        match self.receiver {
            Receiver::Agent => {
                let until = if self.until_boot {
                    " --until-reboot"
                } else {
                    ""
                };
                format!(
                    "domainmgr migrate-receive --check --token {}{until}",
                    self.token
                )
            }
            Receiver::Xl => "xl migrate-receive".to_owned(),
        }
    }

    /// Returns the command that says what became of this migration; `None` if nobody there knows.
    pub(super) fn ask(&self) -> Option<String> {
        let knows = self.receiver == Receiver::Agent;
        knows.then(|| format!("domainmgr migrate-receive --outcome {}", self.token))
    }

    /// Returns whether the other side can be asked later what became of this migration.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.ask().is_some()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a host that this command of the shell reaches.
    pub(in super::super) fn to(via: &str) -> Destination {
        Destination {
            host: "beta".to_owned(),
            via: Some(via.to_owned()),
            receiver: Receiver::Agent,
            token: Uuid::nil(),
            timeout: None,
            suspended_first: false,
            until_boot: false,
        }
    }

    #[test]
    fn a_host_is_a_word_and_no_option() {
        for host in ["beta", "root@10.0.0.2", "fe80::1%eth0"] {
            assert!(Destination::is_host(host), "{host}");
        }
        for host in ["", "-oProxyCommand=reboot", "a b", "a\nb"] {
            assert!(!Destination::is_host(host), "{host:?}");
        }
    }
}
