//! A worker's belief about Xen, to be compared with the actual state.

use super::state::facts::Facts;
use crate::toolstack::{DomainId, Life, Seen};

/// The domains that a worker believes Xen to have under its uuid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Belief(Vec<(DomainId, Life, Option<String>)>);

impl Belief {
    /// Returns whether `seen` matches the belief. Domains that are being taken apart do not count.
    #[must_use]
    pub fn holds<'a>(&self, seen: impl IntoIterator<Item = &'a Seen>) -> bool {
        let mut there: Vec<_> = seen
            .into_iter()
            .filter(|s| s.life != Life::Dying)
            .map(|s| (s.id, s.life, s.name.clone()))
            .collect();
        there.sort_by_key(|(id, ..)| *id);
        there == self.0
    }
}

impl Facts {
    /// Returns the domains that the worker believes Xen to have under its uuid.
    #[must_use]
    pub fn belief(&self) -> Belief {
        let ours = self.phase.domain().map(|d| (d.id, d.life, d.name.clone()));
        let siblings = self.siblings.iter().map(|b| (b.id, b.life, b.name.clone()));
        let mut all: Vec<_> = ours
            .into_iter()
            .chain(siblings)
            .filter(|(_, life, _)| *life != Life::Dying)
            .collect();
        all.sort_by_key(|(id, ..)| *id);
        Belief(all)
    }
}
