//! The kinds of changes, and the subject of each.

use std::fmt;

use libxl::config;
use serde::{Deserialize, Serialize};

use crate::spec::adapters::PciAddress;
use crate::spec::disks::Written;

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
    /// One more PCI device of the host.
    AttachPci(Box<Written<config::Pci>>),
    /// The PCI device with this address in the host is taken away.
    DetachPci(PciAddress),
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
    pub(super) fn over(self, before: Self) -> Self {
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
            Self::AttachPci(pci) => write!(f, "attach pci {}", PciAddress::from(&pci.config)),
            Self::DetachPci(address) => write!(f, "detach pci {address}"),
            Self::Insert { vdev, path } => write!(f, "insert {vdev} {path}"),
            Self::Eject { vdev } => write!(f, "eject {vdev}"),
        }
    }
}

/// The subject of a change. Of two changes with the same subject, the later one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Thing<'a> {
    Figures,
    Disk(&'a str),
    Disc(&'a str),
    Nic([u8; 6]),
    Pci(PciAddress),
}

impl Change {
    pub(super) fn thing(&self) -> Thing<'_> {
        match self {
            Self::Set(_) => Thing::Figures,
            Self::AttachDisk(disk) => Thing::Disk(vdev_of(&disk.config)),
            Self::DetachDisk(vdev) => Thing::Disk(vdev),
            Self::AttachNic(nic) => Thing::Nic(mac_of(&nic.config)),
            Self::DetachNic(mac) => Thing::Nic(*mac),
            Self::AttachPci(pci) => Thing::Pci(PciAddress::from(&pci.config)),
            Self::DetachPci(address) => Thing::Pci(*address),
            Self::Insert { vdev, .. } | Self::Eject { vdev } => Thing::Disc(vdev),
        }
    }

    /// Returns the disc that the change puts into a drive.
    pub(super) fn disc(&self) -> Option<&str> {
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
            Self::AttachDisk(_) | Self::AttachNic(_) | Self::AttachPci(_) => "attach",
            Self::DetachDisk(_) | Self::DetachNic(_) | Self::DetachPci(_) => "detach",
            Self::Insert { .. } => "insert",
            Self::Eject { .. } => "eject",
        }
    }

    /// Returns whether the change may give the domain something that the host has only once.
    #[must_use]
    pub fn takes(&self) -> bool {
        matches!(
            self,
            Self::AttachDisk(_) | Self::AttachNic(_) | Self::AttachPci(_) | Self::Insert { .. }
        )
    }
}
