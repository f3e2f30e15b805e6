//! Who owns what the host has once: files and devices of disks, names and addresses of network interfaces, VNC displays.
//!
//! Xen does not look after that. Its `block` script means to, and compares a hexadecimal number with a decimal one; QEMU
//! opens images without their locks. Two guests that write to one file system destroy it.

mod claims;
mod host;
mod own_files;
mod things;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

pub use self::claims::{Claims, Refusal, Taken};
pub use self::host::taken as taken_by_host;
pub use self::own_files::check as check_own_files;
use crate::spec::Spec;

/// An owner, as people know it.
#[derive(Clone, Debug)]
struct Owner {
    name: String,
    claims: Claims,
}

#[derive(Debug, Default)]
struct State {
    owners: HashMap<Uuid, Owner>,
    /// Keys that were refused something.
    refused: HashSet<Uuid>,
}

/// The owners of everything that there is once on the host.
#[derive(Debug, Default)]
pub struct Owners {
    state: Mutex<State>,
}

impl Owners {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `spec` needs belongs to `key` already: its domain was there before.
    pub fn expect(&self, key: Uuid, spec: &Spec) {
        let owner = Owner {
            name: spec.name.clone(),
            claims: Claims::of(spec),
        };
        self.state().owners.insert(key, owner);
    }

    /// Takes all that `spec` needs, or nothing. `others` are the host and the domains of other toolstacks, and what they
    /// have.
    ///
    /// # Errors
    /// What cannot be had, and who has it.
    pub fn take(&self, key: Uuid, spec: &Spec, others: &[Taken]) -> Result<(), Refusal> {
        // Before the lock: it looks at files.
        let claims = Claims::of(spec);
        claims.within()?;
        let mut state = self.state();
        let mut ours = state.owners.iter().filter(|(owner, _)| **owner != key);
        let refusal = ours.find_map(|(key, owner)| {
            claims.refused_by(&owner.claims, &format_args!("{} ({key})", owner.name))
        });
        if let Some(refusal) = refusal {
            state.refused.insert(key);
            return Err(Refusal {
                ours: true,
                ..refusal
            });
        }
        if let Some(refusal) = others
            .iter()
            .find_map(|t| claims.refused_by(&t.claims, &t.owner))
        {
            return Err(refusal);
        }
        let owner = Owner {
            name: spec.name.clone(),
            claims,
        };
        state.owners.insert(key, owner);
        state.refused.remove(&key);
        Ok(())
    }

    /// What `key` has is what `spec` says, from now on: its domain has been changed. Returns whether somebody waits for anything.
    #[must_use]
    pub fn has(&self, key: Uuid, spec: &Spec) -> bool {
        let claims = Claims::of(spec);
        let mut state = self.state();
        if let Some(owner) = state.owners.get_mut(&key) {
            owner.claims = claims;
        }
        !std::mem::take(&mut state.refused).is_empty()
    }

    /// The VNC display that `key` has got, where any was to do.
    pub fn shows(&self, key: Uuid, listen: IpAddr, display: u32) {
        if let Some(owner) = self.state().owners.get_mut(&key) {
            owner.claims.shows(listen, display);
        }
    }

    /// Gives up what `key` has. Returns whether somebody waits for anything.
    #[must_use]
    pub fn release(&self, key: Uuid) -> bool {
        let mut state = self.state();
        let had = state.owners.remove(&key).is_some();
        had && !std::mem::take(&mut state.refused).is_empty()
    }

    /// What two domains can have, and should not: said of the one that has it second.
    #[must_use]
    pub fn warnings(&self, key: Uuid) -> Vec<String> {
        let state = self.state();
        let Some(me) = state.owners.get(&key) else {
            return Vec::new();
        };
        let mine = &me.claims;
        let others = state.owners.iter().filter(|(other, _)| **other != key);
        let mut said: Vec<String> = others
            .flat_map(|(other, owner)| {
                mine.doubtful_beside(&owner.claims, &format_args!("{} ({other})", owner.name))
            })
            .collect();
        // Always in the same order: a status that says the same is not written again.
        said.sort();
        mine.doubtful_within().into_iter().chain(said).collect()
    }

    /// Whether `key` is known to have anything.
    #[must_use]
    pub fn knows(&self, key: Uuid) -> bool {
        self.state().owners.contains_key(&key)
    }
}

#[cfg(test)]
mod tests;
