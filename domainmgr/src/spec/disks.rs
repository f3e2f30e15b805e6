//! Disks of a domain, and the images that they come from.

use libxl::config;
use serde::{Deserialize, Serialize};

use crate::cloudinit::Seed;

/// A disk: a file or block device that is used in place, or an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Absolute path of what the guest uses. Of an image it is only known on the host: see [`crate::disks::prepare`].
    pub path: String,
    /// The image it comes from; `None`: it is used in place.
    pub image: Option<Image>,
    /// Others that say so too may use it at the same time.
    pub shared: bool,
    /// What the agent writes onto it, for cloud-init in the guest.
    pub seed: Option<Seed>,
    /// What the file contains.
    pub format: Format,
    /// A CD-ROM drive with this disc in it.
    pub cdrom: bool,
    /// Bytes the guest shall see at least.
    pub least_size: u64,
    /// Name in the guest.
    pub vdev: String,
    /// Whether the guest may write.
    pub read_only: bool,
    /// Its writer answers for what is in it: only whether it is there is looked at. Without a path there is nothing to
    /// look at.
    pub as_it_is: bool,
    /// It was attached by hand: libxl gets it as it was written.
    pub attached: Option<Box<Written<config::Disk>>>,
}

/// A device as somebody has written it, in xl's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written<T> {
    /// The text.
    pub text: String,
    /// What libxl is given for it.
    pub config: T,
}

/// An image, which no guest ever writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The hash it is known by.
    pub sha256: String,
    /// Where it is; empty: where the images are.
    pub location: String,
    /// The copy the guest uses; `None`: the guest only reads, and uses the image itself.
    pub copy: Option<Copied>,
}

/// A guest's own copy of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The name of the file.
    pub name: String,
    /// It outlives the domain, until the DomainConfig is gone.
    pub preserve: bool,
}

/// What a disk's file contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The bytes of the disk.
    #[default]
    Raw,
    /// QEMU's first format.
    Qcow,
    /// QEMU's own format.
    Qcow2,
    /// Microsoft's format.
    Vhd,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Qcow, Self::Qcow2, Self::Vhd];

    /// EVE's word, which is also libxl's, and the ending of a file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow => "qcow",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
}
