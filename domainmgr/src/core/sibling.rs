//! Domains with our uuid, and which of them is the one to look after.
//!
//! There may be several: dead ones that were kept, the two ends of a migration to this very host, and whatever an
//! outsider restores from a file.

use serde::{Deserialize, Serialize};

use super::facts::{Domain, Facts, Want};
use crate::toolstack::{DomainId, Life, Seen, ShutdownReason};

/// A domain with our uuid that is not the one we look after.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sibling {
    pub(super) id: DomainId,
    pub(super) name: Option<String>,
    pub(super) life: Life,
    /// It lies there for somebody to look into, and stands in nobody's way: it is neither taken for our domain nor
    /// destroyed.
    pub(super) kept: bool,
}

impl Sibling {
    /// One that was known to be kept, by its number only. The first look tells whether it is there still.
    pub(super) fn kept_before(id: DomainId) -> Self {
        Self {
            id,
            name: None,
            life: Life::Dying,
            kept: true,
        }
    }

    /// Whether it is the receiving end of a migration.
    pub(super) fn is_incoming(&self) -> bool {
        is_incoming(self.name.as_deref())
    }
}

/// The receiving end of a migration has our uuid, but is not to be touched before it has its proper name.
pub(super) fn is_incoming(name: Option<&str>) -> bool {
    name.is_some_and(|n| n.ends_with("--incoming"))
}

/// The sending end of a migration is called so from when the receiver may start until the sender knows that it did.
pub(super) fn is_migrated_away(name: Option<&str>) -> bool {
    name.is_some_and(|n| n.ends_with("--migratedaway"))
}

/// Whether it is the name our domain is given.
fn is_ours(f: &Facts, name: Option<&str>) -> bool {
    name.is_some() && name == f.name().as_deref()
}

/// Whether it has ended and waits for a toolstack. A suspended one has not.
pub(super) fn is_dead(life: Life) -> bool {
    matches!(life, Life::Shutdown(reason) if reason != ShutdownReason::SUSPEND)
}

pub(super) fn is_suspended(life: Life) -> bool {
    life == Life::Shutdown(ShutdownReason::SUSPEND)
}

/// Whether it is not the one to look after: kept when it died, by us or by xl, or left behind by a migration.
pub(super) fn is_kept(f: &Facts, seen: &Seen) -> bool {
    let before = || f.siblings.iter().any(|b| b.kept && b.id == seen.id);
    if is_dead(seen.life) {
        before() || is_stamped(seen.name.as_deref(), f.name().as_deref())
    } else {
        // A wish to stop is about everything that could run again.
        is_suspended(seen.life) && f.want() != Want::Stop && before()
    }
}

/// A domain that was preserved has another name, but to the hypervisor still our uuid.
fn is_stamped(name: Option<&str>, our_name: Option<&str>) -> bool {
    // It ends in a date and a time: -20160104T1531Z with xl, -20160104T153107Z.DOMID with us.
    let Some((_, suffix)) = name
        .filter(|_| name != our_name)
        .and_then(|n| n.rsplit_once('-'))
    else {
        return false;
    };
    let (date, time) = suffix.split_at_checked(8).unwrap_or_default();
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let time = time.strip_prefix('T').and_then(|t| t.split_once('Z'));
    digits(date) && time.is_some_and(|(time, _)| digits(time))
}

/// The domain that `seen` offers to look after, if there is one that may be touched: what runs rather than what stands
/// still, and what has our name rather than another.
pub(super) fn best<'a>(f: &Facts, seen: &[&'a Seen]) -> Option<&'a Seen> {
    let name = f.name();
    seen.iter()
        .copied()
        .filter(|s| !is_incoming(s.name.as_deref()))
        .min_by_key(|s| {
            let rank = match s.life {
                Life::Running => 0,
                // Where the guest is not yet: as long as it can be sent back it is where it was.
                Life::Paused if s.cpu_time_ns == 0 => 4,
                Life::Paused => 1,
                Life::Shutdown(reason) if reason != ShutdownReason::SUSPEND => 2,
                Life::Shutdown(_) | Life::Dying => 3,
            };
            (rank, s.name != name, s.id.domid)
        })
}

/// Whether the guest of `old`, which is still there, has gone over to `new`, where it has run: the migration to this
/// host came to its end, and the sender did not live to destroy its side.
pub(super) fn has_moved(f: &Facts, old: &Seen, new: &Seen) -> bool {
    let sent = is_migrated_away(old.name.as_deref());
    // Two cannot have one name: the old one has lost it, or given it away.
    let named = is_ours(f, new.name.as_deref());
    is_suspended(old.life) && new.cpu_time_ns > 0 && (sent || named)
}

/// Notes which others there are beside the domain we look after.
pub(super) fn note(f: &mut Facts, there: &[&Seen]) {
    let named = |d: &&Domain| is_ours(f, d.name.as_deref());
    let built = f.domain.as_ref().filter(|d| !d.leftover);
    let named = built.filter(named).is_some();
    let lives = named || built.is_some_and(|d| !is_suspended(d.life));
    let siblings = there
        .iter()
        .filter(|s| Some(s.id) != f.domain())
        .map(|s| Sibling {
            id: s.id,
            name: s.name.clone(),
            life: s.life,
            kept: is_kept(f, s)
                || lives
                    && (is_dead(s.life)
                        || is_suspended(s.life) && (named || is_migrated_away(s.name.as_deref()))),
        })
        .collect();
    f.siblings = siblings;
}
