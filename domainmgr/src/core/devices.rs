//! Devices that the guest does not connect to: its kernel has no driver for them, or something is wrong with them.

use std::time::Duration;

use super::context::Next;
use super::op::Op;
use super::state::domain::Domain;
use super::state::facts::Facts;
use crate::base::time::Time;
use crate::toolstack::Error;

/// Time that a guest gets to connect to its devices: an emulated machine boots slowly, and a boot loader may wait for
/// somebody.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest pause between two looks at devices that are missing.
const PAUSE: Duration = Duration::from_secs(600);

/// Returns the time of the next look at the devices; `None` once all are connected, or if there are none.
pub(super) fn due(domain: &Domain) -> Option<Time> {
    let has = |spec: &crate::spec::Spec| !(spec.disks.is_empty() && spec.nics.is_empty());
    domain.spec.as_deref().filter(|spec| has(spec))?;
    match domain.connected.looked {
        None => Some(domain.since + PATIENCE),
        Some(_) if domain.connected.missing.is_empty() => None,
        Some((at, times)) => {
            let pause = PATIENCE.saturating_mul(1 << times.min(8));
            Some(at + pause.min(PAUSE))
        }
    }
}

/// Looks at the devices, if it is time.
pub(super) fn look(f: &Facts, now: Time) -> Option<Next> {
    let domain = f.phase.domain()?;
    let due = due(domain).is_some_and(|at| at <= now);
    due.then_some(Next::Run(Op::Devices(domain.id)))
}

/// Handles the result of [`Op::Devices`].
pub(super) fn looked(f: &mut Facts, now: Time, result: Result<Vec<String>, Error>) {
    let Some(domain) = f.phase.domain_mut() else {
        return;
    };
    let times = domain.connected.looked.map_or(0, |(_, times)| times);
    domain.connected.looked = Some((now, times.saturating_add(1)));
    // After a failed look, the devices count as before.
    if let Ok(missing) = result {
        domain.connected.missing = missing;
    }
}
