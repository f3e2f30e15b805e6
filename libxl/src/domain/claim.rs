//! Who of this process decides what becomes of a domain: who suspends it, resumes it, or has given
//! it away. One at a time, so that nobody acts on what another has just changed.

use std::{
    collections::BTreeMap,
    sync::{Condvar, PoisonError},
};

use crate::{DomainId, Error, ErrorKind, Result, per_process::PerProcess};

struct Table {
    /// What others are told who want the domain as well; without words they wait, because it is over
    /// soon.
    claims: PerProcess<BTreeMap<DomainId, Option<&'static str>>>,
    released: Condvar,
}

static TABLE: Table = Table {
    claims: PerProcess::new(BTreeMap::new()),
    released: Condvar::new(),
};

/// The right to suspend a domain, to resume it, or to give it away, until this is dropped. A thread
/// that has it must not take it again.
#[derive(Debug)]
pub(crate) struct Claim(DomainId);

impl Claim {
    /// Waits for whoever is soon done with the domain, and fails if that takes longer.
    pub(crate) fn take(id: DomainId, function: &'static str) -> Result<Self> {
        let mut claims = TABLE.claims.lock();
        loop {
            match claims.get(&id) {
                None => {
                    claims.insert(id, None);
                    return Ok(Self(id));
                }
                Some(None) => {
                    let woken = TABLE.released.wait(claims);
                    claims = woken.unwrap_or_else(PoisonError::into_inner);
                }
                Some(Some(why)) => {
                    return Err(Error::new(ErrorKind::Invalid, function)
                        .with_domain(Some(id.domid))
                        .with_message(*why));
                }
            }
        }
    }

    /// It takes longer from here on: others are told why they cannot have the domain.
    pub(crate) fn lasts(&self, why: &'static str) {
        TABLE.claims.lock().insert(self.0, Some(why));
        TABLE.released.notify_all();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TABLE.claims.lock().remove(&self.0);
        TABLE.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use uuid::Uuid;

    use super::Claim;
    use crate::{DomId, DomainId, ErrorKind};

    fn any_id() -> DomainId {
        DomainId {
            domid: DomId(7),
            uuid: Uuid::new_v4(),
        }
    }

    /// For how long a thread is watched that must not go on.
    const AWHILE: Duration = Duration::from_millis(50);

    #[test]
    fn what_is_over_soon_is_waited_for() {
        let id = any_id();
        let first = Claim::take(id, "first").unwrap();
        let (tell, told) = mpsc::channel();
        let second = thread::spawn(move || {
            let claim = Claim::take(id, "second");
            tell.send(()).unwrap();
            claim
        });
        told.recv_timeout(AWHILE).unwrap_err();
        drop(first);
        let second = second.join().unwrap().unwrap();
        drop(second);
        Claim::take(id, "third").unwrap();
    }

    #[test]
    fn what_lasts_is_not_waited_for() {
        let id = any_id();
        let first = Claim::take(id, "first").unwrap();
        let waiting = thread::spawn(move || Claim::take(id, "second"));
        thread::sleep(AWHILE);
        first.lasts("it is being painted");
        for refused in [waiting.join().unwrap(), Claim::take(id, "third")] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("being painted"), "{error}");
        }
        drop(first);
        Claim::take(id, "fourth").unwrap();
    }

    #[test]
    fn every_domain_has_its_own() {
        let first = Claim::take(any_id(), "first").unwrap();
        first.lasts("it is being painted");
        Claim::take(any_id(), "second").unwrap();
    }
}
