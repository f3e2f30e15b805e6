//! The changes that are remembered for the next build.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::apply;
use super::kinds::{Change, Thing};
use super::later::later;
use crate::spec::domain::Spec;

/// The changes that are remembered, one for each subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// Returns whether there are no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a change to apply on top of the domain's file. A detach that makes no difference to the file is not kept.
    pub fn push(&mut self, change: Change, file: Option<&Spec>) {
        let mut change = change;
        if let Change::Set(figures) = &mut change {
            let before = self.0.iter().find_map(|c| match c {
                Change::Set(before) => Some(before.clone()),
                _ => None,
            });
            *figures = std::mem::take(figures).over(before.unwrap_or_default());
        }
        if let (Thing::Disc(vdev), disc) = (change.thing(), change.disc()) {
            // A drive that was attached by an operator keeps its disc in its own change.
            let ours = self.0.iter_mut().find(|c| c.thing() == Thing::Disk(vdev));
            if let Some(Change::AttachDisk(disk)) = ours {
                **disk = apply::drive(vdev, disc);
                return;
            }
        }
        let thing = change.thing();
        // A change of the disk itself replaces the change of the old disk's disc.
        let disc = match thing {
            Thing::Disk(vdev) => Some(Thing::Disc(vdev)),
            _ => None,
        };
        self.0
            .retain(|c| c.thing() != thing && Some(c.thing()) != disc);
        if file.is_none_or(|file| !is_gone(&change, file)) {
            self.0.push(change);
        }
    }

    /// Drops what takes something away that none of these specs has.
    pub fn forget_what_is_gone(&mut self, specs: &[&Spec]) {
        self.0
            .retain(|change| !specs.iter().all(|spec| is_gone(change, spec)));
    }

    /// Returns the spec with all changes.
    #[must_use]
    pub fn applied(&self, spec: &Arc<Spec>) -> Arc<Spec> {
        if self.is_empty() {
            return Arc::clone(spec);
        }
        let mut changed = Spec::clone(spec);
        for change in &self.0 {
            changed = change.applied(&changed);
        }
        if changed == **spec {
            return Arc::clone(spec);
        }
        Arc::new(changed)
    }

    /// Returns the text of each change.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Returns the text of each change that a domain which runs with `spec` does not have yet, with the reason.
    #[must_use]
    pub fn waiting(&self, spec: &Spec) -> Vec<String> {
        let all = self.0.iter().flat_map(Change::each);
        let has_drive = |vdev: &str| spec.disks.iter().any(|disk| disk.vdev == vdev);
        let missing = all.filter(|change| match change.thing() {
            Thing::Disc(vdev) if !has_drive(vdev) => true,
            _ => change.applied(spec) != *spec,
        });
        missing
            .map(|change| match later(&change, spec) {
                Some(why) => format!("{change} waits for the next start: {why}"),
                None => format!("{change} waits for the next start"),
            })
            .collect()
    }
}

/// Returns whether the change only takes something away that the spec does not have.
fn is_gone(change: &Change, spec: &Spec) -> bool {
    let takes_away = matches!(
        change,
        Change::DetachDisk(_) | Change::DetachNic(_) | Change::DetachPci(_)
    );
    takes_away && change.applied(spec) == *spec
}
