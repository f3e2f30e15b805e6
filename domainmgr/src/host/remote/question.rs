//! The question whether a domain may come, which is asked before anything is sent.

use serde::{Deserialize, Serialize};

use super::cpu;
use crate::host::disks::fingerprint::Fingerprint;
use crate::toolstack::HostInfo;

/// The things that the other host has to have in common with this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Version of Xen here.
    pub xen: String,
    /// Storage that the guest writes to, or reads.
    pub storage: Vec<Fingerprint>,
    /// Features of the processors that the guest may have seen; empty if it was shown others, by its configuration.
    #[serde(default)]
    pub cpu: Vec<u32>,
}

impl Question {
    /// Returns the reasons why the domain may not come to this host.
    #[must_use]
    pub fn refusals(&self, here: &HostInfo) -> Vec<String> {
        let xen = here.xen_version.as_str();
        let lacks = cpu::missing(&self.cpu, &here.cpu_features).map(|features| {
            format!(
                "the processors lack features of those that the guest runs on: CPUID {features}; hide them from the guest there                  (cpuid= in its configuration), and start it again"
            )
        });
        let older = match (version(&self.xen), version(xen)) {
            (Some(theirs), Some(ours)) if ours < theirs => Some(format!(
                "Xen {xen} is older than {}, and does not understand its guests",
                self.xen
            )),
            _ => None,
        };
        let storage = self.storage.iter().filter_map(|theirs| {
            let path = &theirs.path;
            match Fingerprint::of(path) {
                Ok(ours) => {
                    let why = theirs.differs(&ours)?;
                    Some(format!("{path} is other storage here: {why}"))
                }
                Err(e) => Some(format!("{path}: {e}")),
            }
        });
        older.into_iter().chain(lacks).chain(storage).collect()
    }
}

/// The major and the minor version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_xen_and_missing_storage_are_refused() {
        let ours = Fingerprint::of("/etc/passwd").unwrap();
        let missing = Fingerprint {
            path: "/no/such/disk".to_owned(),
            ..ours.clone()
        };
        let question = Question {
            xen: "4.20.1".to_owned(),
            storage: vec![ours, missing],
            cpu: vec![0, 1 << 28],
        };
        let here = |xen: &str, features: u32| HostInfo {
            xen_version: xen.to_owned(),
            cpu_features: vec![0, features],
            ..HostInfo::default()
        };
        let refusals = question.refusals(&here("4.17.5-pre", 0));
        assert_eq!(refusals.len(), 3, "{refusals:?}");
        assert!(refusals[0].contains("Xen 4.17.5-pre is older than 4.20.1"));
        assert!(refusals[1].contains("CPUID 1.ECX bit 28"));
        assert!(refusals[2].contains("/no/such/disk: No such file"));
        assert_eq!(question.refusals(&here("4.20.3", u32::MAX)).len(), 1);
        assert_eq!(question.refusals(&here("simulated", u32::MAX)).len(), 1);
    }
}
