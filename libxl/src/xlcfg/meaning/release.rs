//! The release of Xen whose `xl` is followed.

use std::fmt;

/// A release of Xen, by its minor number: 17 is Xen 4.17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release(pub(super) u32);

impl Release {
    /// The release of the headers.
    ///
    /// `xl` has no feature macros of its own. Where its behaviour changed with a release and
    /// libxl's headers do not show it, a macro that came with the same release tells the two apart.
    pub(super) const BUILT_FOR: Self = Self(if cfg!(libxl_have = "xenstore_quota") {
        22
    } else if cfg!(libxl_have = "xenstore_feature_mask") {
        21
    } else if cfg!(libxl_have = "buildinfo_llc_colors") {
        20
    } else if cfg!(libxl_have = "hvm_pirq") {
        19
    } else if cfg!(libxl_have = "buildinfo_hvm_smbios") {
        18
    } else if cfg!(libxl_have = "device_disk_specification") {
        17
    } else if cfg!(libxl_have = "max_grant_version") {
        16
    } else if cfg!(libxl_have = "device_pci_name") {
        15
    } else {
        14
    });

    /// Returns true if this release is Xen 4.`minor` or later.
    pub(super) fn has(self, minor: u32) -> bool {
        self.0 >= minor
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xen 4.{}", self.0)
    }
}
