//! The wish for a domain, as its file says it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::origin::Origin;
use crate::spec::Spec;

/// The newest wish that could be read, and what is known of its file.
#[derive(Clone, Debug)]
pub(in crate::core) struct Wished {
    pub(in crate::core) file: File,
    /// The newest usable config.
    pub(in crate::core) desired: Option<Desired>,
    /// Reason why the newest file cannot be used or built from, and its time.
    pub(in crate::core) problem: Option<(String, OffsetDateTime)>,
    /// The wish has changed since an earlier run of the agent.
    pub(in crate::core) renewed: bool,
    pub(in crate::core) pending: Option<Pending>,
}

impl Default for Wished {
    fn default() -> Self {
        Self {
            file: File::Unread,
            desired: None,
            problem: None,
            renewed: false,
            pending: Some(Pending::Add),
        }
    }
}

/// State of the config file, as far as the worker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum File {
    /// It has not been looked at.
    Unread,
    Absent,
    /// It is unknown whether it is there.
    Doubtful,
    There,
}

/// Change of the wish that the worker is still working off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The first wish.
    Add,
    /// A newer wish or an order.
    Modify,
}

/// The present content of a domain's config file.
#[derive(Clone, Debug)]
pub enum Wish {
    /// There is no file.
    Absent,
    /// There is a file, but it cannot be used. The last usable one, if any, stays in force.
    Unusable(String),
    /// It is unknown whether there is a file. Nothing is begun or removed, and a running domain goes on.
    Doubtful(String),
    /// There is a file, and it could be read.
    Wanted(Desired),
}

/// A config file that could be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desired {
    /// The domain is to run. Older records do not say so, nor the version; both follow from the origin.
    #[serde(default)]
    pub run: bool,
    /// The writer's own number for what the file says; empty if there is none.
    #[serde(default)]
    pub version: String,
    /// Content of the file, as it was read.
    #[serde(flatten)]
    pub origin: Origin,
    /// The spec to build, or the reason why it cannot be built.
    pub spec: Result<Arc<Spec>, String>,
    /// Warnings about the config, such as settings of which the guest gets nothing. Shown to people.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Nobody has written this: it is what a domain that came from another host was built from there.
    #[serde(default)]
    pub unwritten: bool,
    /// Digest of the config, by which people can tell whether it has changed. Nothing is decided from it.
    pub digest: String,
}

impl Desired {
    /// Returns whether both wish for the same: the same domain, the same choice of running or not, and the same
    /// version.
    ///
    /// The wording of the file does not matter, nor does anything that a version of this agent adds to it.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.run == other.run
            && self.version == other.version
            && match (&self.spec, &other.spec) {
                (Ok(ours), Ok(theirs)) => ours.says_the_same(theirs),
                (ours, theirs) => ours == theirs,
            }
    }

    /// The same wish, for a guest that may have been built from `before`: the guest keeps its cloud-init instance.
    ///
    /// With `recovered`, an earlier agent may have left `before`.
    pub(in crate::core) fn after(mut self, before: Option<&Self>, recovered: bool) -> Self {
        if let (Ok(spec), Some(Ok(before))) = (&mut self.spec, before.map(|b| &b.spec)) {
            Arc::make_mut(spec).keep_instance(before, recovered);
        }
        self
    }
}
