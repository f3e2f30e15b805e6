//! The NAME of a domain, as an operator types it.

use std::sync::Arc;

use uuid::Uuid;

use crate::frontends::eve::DomainStatus;

/// Why a name stands for no domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// There is none.
    Nobody,
    /// It fits all of these.
    Several(Vec<Uuid>),
}

/// Returns whether `name` is the uuid of a domain, or its full name in Xen.
pub(crate) fn is_exactly(status: &DomainStatus, name: &str) -> bool {
    status.uuid_and_version.uuid == name || status.domain_name == name
}

/// Returns whether `name` is the DisplayName of a domain, or its number in Xen.
pub(crate) fn is_loosely(status: &DomainStatus, name: &str) -> bool {
    status.display_name == name || (status.domain_id != 0 && status.domain_id.to_string() == name)
}

/// Finds the domain called `name`. A uuid and a full name go before a DisplayName and a number, which a name may look like.
pub(super) fn find(all: &[(Uuid, Arc<DomainStatus>)], name: &str) -> Result<Uuid, Lost> {
    for fits in [is_exactly, is_loosely] {
        let found: Vec<Uuid> = all
            .iter()
            .filter(|(_, status)| !name.is_empty() && fits(status, name))
            .map(|(key, _)| *key)
            .collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            [..] => return Err(Lost::Several(found)),
        }
    }
    Err(Lost::Nobody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_uuids() {
        let domain = |key: u128, name: &str, display: &str, domid| {
            let key = Uuid::from_u128(key);
            let mut status = DomainStatus {
                domain_name: name.into(),
                display_name: display.into(),
                domain_id: domid,
                ..DomainStatus::default()
            };
            status.uuid_and_version.uuid = key.to_string();
            (key, Arc::new(status))
        };
        let all = [
            domain(1, "web.1", "web", 7),
            domain(2, "web.2", "web", 0),
            domain(3, "7", "seven", 9),
            domain(4, "", "", 0),
        ];
        let key = |n| Ok(Uuid::from_u128(n));
        assert_eq!(find(&all, "web.1"), key(1));
        assert_eq!(find(&all, "7"), key(3));
        assert_eq!(find(&all, "9"), key(3));
        assert_eq!(find(&all, &Uuid::from_u128(4).to_string()), key(4));
        let both = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_eq!(find(&all, "web"), Err(Lost::Several(both)));
        for nobody in ["", "0", "Web", "web.3"] {
            assert_eq!(find(&all, nobody), Err(Lost::Nobody), "{nobody:?}");
        }
    }
}
