//! Domains with our uuid, and the choice of the one to manage.
//!
//! There may be several: dead domains that were kept, the two ends of a migration to this very host, and domains that
//! an outsider restores from a file.

use super::state::domain::Domain;
use super::state::facts::{Facts, Want};
use super::state::life::{is_dead, is_suspended};
use super::state::names::{is_incoming, is_migrated_away};
use super::state::sibling::Sibling;
use crate::toolstack::{Life, Seen, ShutdownReason};

/// Returns whether this is the name that our domain is given.
fn is_ours(f: &Facts, name: Option<&str>) -> bool {
    name.is_some() && name == f.name().as_deref()
}

/// Returns whether the domain is not the one to manage.
///
/// It was kept when it died, by this agent or by xl, or was left behind by a migration.
pub(super) fn is_kept(f: &Facts, seen: &Seen) -> bool {
    let before = || f.siblings.iter().any(|b| b.kept && b.id == seen.id);
    if is_dead(seen.life) {
        before() || is_stamped(seen.name.as_deref(), f.name().as_deref())
    } else {
        // A wish to stop applies to every domain that could run again.
        is_suspended(seen.life) && f.want() != Want::Stop && before()
    }
}

/// Returns whether this is the name of a preserved domain.
///
/// A preserved domain has another name, but to the hypervisor it still has our uuid.
fn is_stamped(name: Option<&str>, our_name: Option<&str>) -> bool {
    // The name ends in a date and a time: -20160104T1531Z with xl, -20160104T153107Z.DOMID with this agent.
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

/// Returns the domain among `seen` to manage, if there is one that may be touched.
///
/// A running domain goes before one that stands still, and a domain with our name before others.
pub(super) fn best<'a>(f: &Facts, seen: &[&'a Seen]) -> Option<&'a Seen> {
    let name = f.name();
    // A domain that this agent itself was receiving when it ended is its own.
    let remains = f.phase.boot().and_then(|boot| boot.remains.as_ref());
    let ours = |s: &Seen| remains.is_some() && s.name.as_ref() == remains;
    seen.iter()
        .copied()
        .filter(|s| !is_incoming(s.name.as_deref()) || ours(s))
        .min_by_key(|s| {
            let rank = match s.life {
                Life::Running => 0,
                // The guest has not arrived: as long as it can be sent back, it is still where it was.
                Life::Paused if s.cpu_time_ns == 0 => 4,
                Life::Paused => 1,
                Life::Shutdown(reason) if reason != ShutdownReason::SUSPEND => 2,
                Life::Shutdown(_) | Life::Dying => 3,
            };
            (rank, s.name != name, s.id.domid)
        })
}

/// Returns whether the guest of `old`, which is still there, has moved to `new` and has run there.
///
/// The migration to this host has completed, but the sender ended before it destroyed its side.
pub(super) fn has_moved(f: &Facts, old: &Seen, new: &Seen) -> bool {
    let sent = is_migrated_away(old.name.as_deref());
    // Two domains cannot have one name: the old one has lost it, or given it away.
    let named = is_ours(f, new.name.as_deref());
    is_suspended(old.life) && new.cpu_time_ns > 0 && (sent || named)
}

/// Takes note of the other domains with our uuid, beside the managed one.
pub(super) fn note(f: &mut Facts, there: &[&Seen]) {
    let named = |d: &&Domain| is_ours(f, d.name.as_deref());
    let built = f.phase.domain().filter(|_| !f.phase.is_leftover());
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
