//! Changes of a running domain: their parsing, the check whether they need a new start, and their effect on a spec.
//!
//! Everything here is pure. [`parse`] reads the text of an operator, in xl's language. [`Changes`] are the changes that are
//! remembered for the next build.

mod apply;
mod check;
mod later;
pub mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use libxl::config;
use serde::{Deserialize, Serialize};

pub use self::check::check;
pub use self::later::later;
use crate::spec::{Spec, Written};

/// Figures of a domain; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Memory, in MiB.
    pub memory_mib: Option<u64>,
    /// Processors.
    pub vcpus: Option<u32>,
    /// Physical processors that it may run on.
    pub cpus: Option<Vec<u32>>,
    /// Weight against others.
    pub weight: Option<u32>,
    /// The most it gets, in percent of one processor; 0 for no limit.
    pub cap: Option<u32>,
}

/// A change that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Other figures.
    Set(Figures),
    /// One more disk.
    AttachDisk(Box<Written<config::Disk>>),
    /// The disk with this name in the guest is taken away.
    DetachDisk(String),
    /// One more interface. Its address is known.
    AttachNic(Box<Written<config::Nic>>),
    /// The interface with this address is taken away.
    DetachNic([u8; 6]),
    /// Another disc in a CD-ROM drive.
    Insert {
        /// Name of the drive in the guest.
        vdev: String,
        /// Path of the disc.
        path: String,
    },
    /// No disc in a CD-ROM drive.
    Eject {
        /// Name of the drive in the guest.
        vdev: String,
    },
}

/// Six bytes, as people write them.
#[must_use]
pub fn address(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// The name of a disk in the guest; empty if it has none.
pub(crate) fn vdev_of(disk: &config::Disk) -> &str {
    disk.vdev.as_deref().unwrap_or_default()
}

/// The address of an interface; all zeros if it has none.
pub(crate) fn mac_of(nic: &config::Nic) -> [u8; 6] {
    nic.mac.unwrap_or_default().0
}

impl Figures {
    /// Returns each figure that is set, with its key.
    fn words(&self) -> Vec<(&'static str, String)> {
        let cpus = self.cpus.as_ref().map(|cpus| {
            let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
            cpus.join(",")
        });
        let all = [
            ("memory", self.memory_mib.map(|n| n.to_string())),
            ("vcpus", self.vcpus.map(|n| n.to_string())),
            ("cpus", cpus),
            ("weight", self.weight.map(|n| n.to_string())),
            ("cap", self.cap.map(|n| n.to_string())),
        ];
        all.into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// Returns whether no figure is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these figures, with those of `before` where one is not set.
    fn over(self, before: Self) -> Self {
        Self {
            memory_mib: self.memory_mib.or(before.memory_mib),
            vcpus: self.vcpus.or(before.vcpus),
            cpus: self.cpus.or(before.cpus),
            weight: self.weight.or(before.weight),
            cap: self.cap.or(before.cap),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words().into_iter();
        let words: Vec<String> = words.map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(figures) => write!(f, "set {figures}"),
            Self::AttachDisk(disk) => write!(f, "attach disk {}", vdev_of(&disk.config)),
            Self::DetachDisk(vdev) => write!(f, "detach disk {vdev}"),
            Self::AttachNic(nic) => write!(f, "attach nic {}", address(mac_of(&nic.config))),
            Self::DetachNic(mac) => write!(f, "detach nic {}", address(*mac)),
            Self::Insert { vdev, path } => write!(f, "insert {vdev} {path}"),
            Self::Eject { vdev } => write!(f, "eject {vdev}"),
        }
    }
}

/// The subject of a change. Of two changes with the same subject, the later one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing<'a> {
    Figures,
    Disk(&'a str),
    Disc(&'a str),
    Nic([u8; 6]),
}

impl Change {
    fn thing(&self) -> Thing<'_> {
        match self {
            Self::Set(_) => Thing::Figures,
            Self::AttachDisk(disk) => Thing::Disk(vdev_of(&disk.config)),
            Self::DetachDisk(vdev) => Thing::Disk(vdev),
            Self::AttachNic(nic) => Thing::Nic(mac_of(&nic.config)),
            Self::DetachNic(mac) => Thing::Nic(*mac),
            Self::Insert { vdev, .. } | Self::Eject { vdev } => Thing::Disc(vdev),
        }
    }

    /// Returns the disc that the change puts into a drive.
    fn disc(&self) -> Option<&str> {
        match self {
            Self::Insert { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Returns the verb of the command line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::AttachDisk(_) | Self::AttachNic(_) => "attach",
            Self::DetachDisk(_) | Self::DetachNic(_) => "detach",
            Self::Insert { .. } => "insert",
            Self::Eject { .. } => "eject",
        }
    }

    /// Returns whether the change may give the domain something that the host has only once.
    #[must_use]
    pub fn takes(&self) -> bool {
        matches!(
            self,
            Self::AttachDisk(_) | Self::AttachNic(_) | Self::Insert { .. }
        )
    }
}

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
        let moot = file.is_some_and(|file| {
            let gone = matches!(change, Change::DetachDisk(_) | Change::DetachNic(_));
            gone && change.applied(file) == *file
        });
        if !moot {
            self.0.push(change);
        }
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
