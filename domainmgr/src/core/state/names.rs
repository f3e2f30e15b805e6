//! Names that toolstacks give to the two ends of a migration.

use crate::toolstack::{AWAY, INCOMING};

/// Name of a domain that is being received.
pub(in crate::core) fn incoming(name: &str) -> String {
    format!("{name}{INCOMING}")
}

/// Returns whether this is the name of the receiving end of a migration.
///
/// The receiving end has our uuid, but must not be touched before it has its proper name.
pub(in crate::core) fn is_incoming(name: Option<&str>) -> bool {
    name.is_some_and(|n| n.ends_with(INCOMING))
}

/// Returns whether this is the name of the sending end of a migration.
///
/// The sending end has this name from when the receiver may start until the sender knows that it did.
pub(in crate::core) fn is_migrated_away(name: Option<&str>) -> bool {
    name.is_some_and(|n| n.ends_with(AWAY))
}
