//! The copies of images, and the domains that use them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use uuid::Uuid;

use super::name;

/// The copies that one domain needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// These copies.
    Only(BTreeSet<String>),
    /// Every copy that was made for the domain, because its needs are not known.
    All,
}

/// The copies of one domain, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The copies that the domain needs.
    pub needs: Use,
    /// Every copy that was made for the domain. The agent must not remove any other.
    pub made: BTreeSet<String>,
}

/// The copies that each domain uses.
#[derive(Debug)]
pub struct Register {
    uses: Mutex<HashMap<Uuid, Claim>>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

impl Default for Register {
    fn default() -> Self {
        let (wake, woken) = bounded(1);
        Self {
            uses: Mutex::default(),
            wake,
            woken,
        }
    }
}

impl Register {
    /// Announces a domain whose needs are not known yet. Until they are, all of its copies are kept.
    pub fn expect(&self, key: Uuid) {
        let claim = Claim {
            needs: Use::All,
            made: BTreeSet::new(),
        };
        self.lock().entry(key).or_insert(claim);
    }

    /// Sets the copies that `key` needs from now on, and those that were ever made for it.
    ///
    /// After this returns, no copy that `key` needs is removed.
    pub fn set(&self, key: Uuid, needs: Use, made: BTreeSet<String>) {
        let claim = Claim { needs, made };
        if self.lock().insert(key, claim.clone()) != Some(claim) {
            self.wake();
        }
    }

    /// Forgets a domain that no longer exists.
    pub fn forget(&self, key: Uuid) {
        self.lock().remove(&key);
        self.wake();
    }

    /// Wakes the keeper, because something happened to the files.
    pub fn wake(&self) {
        // The channel is full: the keeper looks anyway.
        let _ = self.wake.try_send(());
    }

    /// Returns the channel on which [`Register::wake`] wakes the thread that looks after the copies.
    #[must_use]
    pub fn woken(&self) -> &Receiver<()> {
        &self.woken
    }

    /// Locks the table. No domain can begin to need a copy meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Claim>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number of domains that need `file`.
#[must_use]
pub fn needed(uses: &HashMap<Uuid, Claim>, file: &str) -> u32 {
    let owner = name::owner(file);
    let needing = uses.iter().filter(|(key, claim)| match &claim.needs {
        Use::Only(files) => files.iter().any(|needed| name::same(needed, file)),
        Use::All => owner == Some(**key),
    });
    u32::try_from(needing.count()).unwrap_or(u32::MAX)
}

/// Returns whether `file` is a copy that the agent has made for a known domain.
#[must_use]
pub fn is_ours(uses: &HashMap<Uuid, Claim>, file: &str) -> bool {
    let claim = name::owner(file).and_then(|owner| uses.get(&owner));
    claim.is_some_and(|claim| claim.made.iter().any(|made| name::same(made, file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    fn file(key: Uuid) -> String {
        name::of("aa", key, 0, crate::spec::Format::Raw)
    }

    #[test]
    fn who_needs_what() {
        let claim = |needs, made: &[String]| Claim {
            needs,
            made: made.iter().cloned().collect(),
        };
        let only = |files: &[String]| claim(Use::Only(files.iter().cloned().collect()), &[file(A)]);
        let count = |uses: &[(Uuid, Claim)], file: &str| {
            let uses = uses.iter().cloned().collect();
            (needed(&uses, file), is_ours(&uses, file))
        };
        let all = || claim(Use::All, &[]);
        assert_eq!(count(&[(A, only(&[file(A)]))], &file(A)), (1, true));
        let before = file(A).replace("aa-", "AA-");
        assert_eq!(count(&[(A, only(&[file(A)]))], &before), (1, true));
        assert_eq!(count(&[(A, only(&[]))], &file(A)), (0, true));
        assert_eq!(count(&[(A, all())], &file(A)), (1, false));
        assert_eq!(count(&[(A, all())], &file(B)), (0, false));
        assert_eq!(count(&[], &file(A)), (0, false), "nobody knows it");
        let both = [(A, only(&[])), (B, only(&[file(A)]))];
        assert_eq!(count(&both, &file(A)), (1, true));
    }
}
