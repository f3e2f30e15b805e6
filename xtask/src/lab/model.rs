//! The models of the lab's computers.

use super::host::Host;

/// The equipment of a computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// Only what dom0 needs, and memory for a few guests.
    Plain,
    /// Also devices that can be given to guests, behind an IOMMU.
    Devices,
    /// Memory for a thousand small guests.
    Large,
    /// A processor with SSE 4, and memory for programs that need more of it: those with the thread sanitizer.
    Sanitizer,
    /// A host of a pair: also an end of the cable, and the disk that both hosts use.
    Paired(Host),
}

impl Model {
    /// The host of a pair that has this computer.
    pub(super) fn host(self) -> Option<Host> {
        match self {
            Self::Paired(host) => Some(host),
            Self::Plain | Self::Devices | Self::Large | Self::Sanitizer => None,
        }
    }

    /// Memory of the computer, in MiB. A guest of 4 MiB takes some 6 MiB of Xen's.
    pub(crate) fn memory_mib(self) -> u32 {
        match self {
            Self::Plain | Self::Devices | Self::Paired(_) => 4096,
            Self::Sanitizer => 6 << 10,
            Self::Large => 12 << 10,
        }
    }

    /// Memory of dom0, in MiB.
    pub(super) fn dom0_mib(self) -> u32 {
        match self {
            Self::Plain | Self::Devices | Self::Paired(_) => 1536,
            Self::Sanitizer => 3 << 10,
            Self::Large => 4096,
        }
    }
}
