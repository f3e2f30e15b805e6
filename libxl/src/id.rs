//! Identifiers of a domain: its domid, and its identity.

use std::fmt;

use libxl_sys as sys;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A domain id, as the hypervisor numbers domains. Ids are reused after a domain is gone, so an id
/// alone does not say which domain is meant: see [`DomainId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DomId(pub u32);

impl DomId {
    /// The control domain.
    pub const DOM0: Self = Self(0);
    /// The first id that is reserved for special purposes: guests have lower ones.
    const FIRST_RESERVED: u32 = 0x7ff0;
    /// The largest id that a guest can have.
    pub(crate) const LAST_GUEST: u32 = Self::FIRST_RESERVED - 1;

    /// Returns true if a guest can have this id: it is neither dom0's nor reserved.
    #[doc(alias = "libxl_domid_valid_guest")]
    #[must_use]
    pub const fn is_guest(self) -> bool {
        self.0 > 0 && self.0 < Self::FIRST_RESERVED
    }
}

impl fmt::Display for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomId({})", self.0)
    }
}

impl From<u32> for DomId {
    fn from(domid: u32) -> Self {
        Self(domid)
    }
}

/// The identity of one domain: domid and UUID together.
///
/// libxl's events name only a domid, which may by then belong to another domain. A UUID alone is
/// not enough either: a preserved domain has the same UUID as the domain that is created in its
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DomainId {
    /// The hypervisor's id of the domain.
    pub domid: DomId,
    /// The UUID it was created with.
    pub uuid: Uuid,
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.domid, self.uuid)
    }
}

/// A `libxl_uuid` is sixteen bytes in the order in which the text form has them.
pub(crate) fn uuid_from(raw: &sys::libxl_uuid) -> Uuid {
    Uuid::from_bytes(raw.uuid)
}

#[cfg(test)]
mod tests {
    use super::DomId;

    #[test]
    fn guests_are_between_dom0_and_the_reserved_ids() {
        assert!(!DomId::DOM0.is_guest());
        assert!(DomId(1).is_guest());
        assert!(DomId(0x7fef).is_guest());
        assert!(!DomId(0x7ff0).is_guest());
        assert!(!DomId(u32::MAX).is_guest());
    }

    #[test]
    fn libxl_draws_the_same_lines() {
        for domid in [0, 1, 0x7fef, 0x7ff0, 0x7ff4, u32::MAX] {
            // SAFETY: looks at the number only.
            let theirs = unsafe { libxl_sys::libxl_domid_valid_guest(domid) } != 0;
            assert_eq!(DomId(domid).is_guest(), theirs, "{domid}");
        }
    }
}
