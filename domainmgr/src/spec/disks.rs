//! Disks of a domain, and the images that they come from.

use libxl::config;
use serde::{Deserialize, Serialize};

use super::seed::Seed;

/// A disk: a file or block device that is used in place, or an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Absolute path of the file or device that the guest uses. For an image it is known once the disk is
    /// prepared on the host.
    pub path: String,
    /// The image that the disk comes from; `None` for a file or device that is used in place.
    pub image: Option<Image>,
    /// True if others that also set this may use the file or device at the same time.
    pub shared: bool,
    /// Content that the agent writes to the disk, for cloud-init in the guest.
    pub seed: Option<Seed>,
    /// Format of the file.
    pub format: Format,
    /// True for a CD-ROM drive with this disc in it.
    pub cdrom: bool,
    /// Least size that the guest shall see, in bytes.
    pub least_size: u64,
    /// Name in the guest.
    pub vdev: String,
    /// True if the guest may only read.
    pub read_only: bool,
    /// True if the author of the config answers for the content. Then only the existence of the file is checked, and nothing
    /// without a path.
    pub as_it_is: bool,
    /// The disk as the operator wrote it, if it was attached by hand. libxl gets it unchanged.
    pub attached: Option<Box<Written<config::Disk>>>,
}

/// A device as the operator wrote it, in xl's syntax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written<T> {
    /// The text.
    pub text: String,
    /// Configuration that libxl gets for the text.
    pub config: T,
}

/// An image, which no guest ever writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Hash that names the image.
    pub sha256: String,
    /// Path of the image; empty if it is in the directory for images.
    pub location: String,
    /// The copy that the guest uses; `None` if the guest only reads, and uses the image directly.
    pub copy: Option<Copied>,
}

/// A guest's own copy of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Name of the file.
    pub name: String,
    /// True if the copy outlives the domain, until the DomainConfig is gone.
    pub preserve: bool,
}

/// Format of a disk's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The bytes of the disk as they are.
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
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Qcow, Self::Qcow2, Self::Vhd];

    /// Returns EVE's word, which is also libxl's, and the extension of a copy's name.
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
