//! Claims to domains: the right, within this process, to suspend a domain, resume it or give it
//! away. One holder at a time, so that nobody acts on a state that another thread has just changed.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(all(libxl_loom, test))]
use ::loom::lazy_static;

#[cfg(not(all(libxl_loom, test)))]
use crate::per_process::PerProcess;
#[cfg(all(libxl_loom, test))]
use crate::sync::PerProcess;
use crate::{
    DomainId, Error, ErrorKind, Result,
    limits::Clock,
    sync::{Condvar, PoisonError},
    wake::Wake,
};

struct Table {
    /// The reason given to others that want the domain. Without a reason they wait, because the
    /// claim is released soon.
    claims: PerProcess<BTreeMap<DomainId, Option<&'static str>>>,
    released: Condvar,
}

#[cfg(not(all(libxl_loom, test)))]
static TABLE: Table = Table {
    claims: PerProcess::new(BTreeMap::new()),
    released: Condvar::new(),
};

#[cfg(all(libxl_loom, test))]
lazy_static! {
    static ref TABLE: Table = Table {
        claims: PerProcess::default(),
        released: Condvar::new(),
    };
}

/// The right to suspend a domain, to resume it, or to give it away, held until this is dropped.
///
/// A thread that holds a claim must not take it again.
#[derive(Debug)]
pub(crate) struct Claim(DomainId);

impl Claim {
    /// Takes the claim, and waits for a holder that releases it soon, within the limits of `clock`.
    /// Fails if the holder's claim [`lasts`](Self::lasts).
    pub(crate) fn take(id: DomainId, function: &'static str, clock: &Clock) -> Result<Self> {
        // Until this returns, an abort ends the wait.
        let waiting = Arc::new(Waiting);
        if let Some(abort) = clock.abort_handle() {
            abort.attach(&waiting);
        }
        let mut claims = TABLE.claims.lock();
        loop {
            match claims.get(&id) {
                None => {
                    claims.insert(id, None);
                    return Ok(Self(id));
                }
                Some(None) => {
                    let in_time = clock.check(function);
                    in_time.map_err(|error| error.with_domain(Some(id.domid)))?;
                    let left = match clock.deadline() {
                        Some(at) => at.saturating_duration_since(Instant::now()),
                        None => FOR_EVER,
                    };
                    let woken = TABLE.released.wait_timeout(claims, left);
                    (claims, _) = woken.unwrap_or_else(PoisonError::into_inner);
                }
                Some(Some(why)) => {
                    return Err(Error::new(ErrorKind::Invalid, function)
                        .with_domain(Some(id.domid))
                        .with_message(*why));
                }
            }
        }
    }

    /// Marks the claim as long-lasting: others no longer wait, but fail with `why`.
    pub(crate) fn lasts(&self, why: &'static str) {
        TABLE.claims.lock().insert(self.0, Some(why));
        TABLE.released.notify_all();
    }
}

/// Timeout that stands for no limit: a year, because clocks have an end.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A thread that waits for a claim.
struct Waiting;

impl Wake for Waiting {
    fn wake(&self) {
        // A thread that has checked the handle before the abort is waiting by the time this lock is
        // taken.
        drop(TABLE.claims.lock());
        TABLE.released.notify_all();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TABLE.claims.lock().remove(&self.0);
        TABLE.released.notify_all();
    }
}

#[cfg(all(libxl_loom, test))]
mod loom;

#[cfg(all(test, not(libxl_loom)))]
mod tests;
