//! The question whether a domain may come, which is asked before anything is sent.

use serde::{Deserialize, Serialize};

use crate::host::disks::fingerprint::Fingerprint;

/// The things that the other host has to have in common with this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Version of Xen here.
    pub xen: String,
    /// Storage that the guest writes to, or reads.
    pub storage: Vec<Fingerprint>,
}

impl Question {
    /// Returns the reasons why the domain may not come to this host, which runs this version of Xen.
    #[must_use]
    pub fn refusals(&self, xen: &str) -> Vec<String> {
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
        older.into_iter().chain(storage).collect()
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
        };
        let refusals = question.refusals("4.17.5-pre");
        assert_eq!(refusals.len(), 2, "{refusals:?}");
        assert!(refusals[0].contains("Xen 4.17.5-pre is older than 4.20.1"));
        assert!(refusals[1].contains("/no/such/disk: No such file"));
        assert_eq!(question.refusals("4.20.3").len(), 1);
        assert_eq!(question.refusals("simulated").len(), 1);
    }
}
