//! Owners of the resources that the host has only once.
//!
//! These are files and devices of disks, names and addresses of network interfaces, and VNC displays.
//!
//! Xen does not check who uses them. Its `block` script is meant to, but compares a hexadecimal number with a decimal one.
//! QEMU opens images without their locks. Two guests that write to one file system destroy it.

mod host;
mod own_files;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

pub use self::host::taken as taken_by_host;
pub use self::own_files::check as check_own_files;
use crate::spec::Spec;
use crate::spec::claims::{Claims, Refusal, Taken};

/// An owner: its name for people, and its resources.
#[derive(Clone, Debug)]
struct Owner {
    name: String,
    claims: Claims,
}

#[derive(Debug, Default)]
struct State {
    owners: HashMap<Uuid, Owner>,
    /// Keys that were refused a resource.
    refused: HashSet<Uuid>,
}

/// The owners of all resources that the host has only once.
#[derive(Debug, Default)]
pub struct Owners {
    state: Mutex<State>,
}

impl Owners {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `key` already has the resources that `spec` needs, because its domain existed before.
    pub fn expect(&self, key: Uuid, spec: &Spec) {
        let owner = Owner {
            name: spec.name.clone(),
            claims: Claims::of(spec),
        };
        self.state().owners.insert(key, owner);
    }

    /// Takes all resources that `spec` needs, or none. `others` are those of the host and of other toolstacks' domains.
    ///
    /// # Errors
    /// The resource that cannot be had, and its owner.
    pub fn take(&self, key: Uuid, spec: &Spec, others: &[Taken]) -> Result<(), Refusal> {
        // Before the lock is taken, because this looks at files.
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

    /// Sets the resources of `key` to those of `spec` after its domain was changed.
    ///
    /// Returns whether any domain waits for a resource.
    #[must_use]
    pub fn has(&self, key: Uuid, spec: &Spec) -> bool {
        let claims = Claims::of(spec);
        let mut state = self.state();
        if let Some(owner) = state.owners.get_mut(&key) {
            owner.claims = claims;
        }
        !std::mem::take(&mut state.refused).is_empty()
    }

    /// Records the VNC display that `key` has got, where the config accepts any.
    pub fn shows(&self, key: Uuid, listen: IpAddr, display: u32) {
        if let Some(owner) = self.state().owners.get_mut(&key) {
            owner.claims.shows(listen, display);
        }
    }

    /// Gives up the resources of `key`. Returns whether any domain waits for a resource.
    #[must_use]
    pub fn release(&self, key: Uuid) -> bool {
        let mut state = self.state();
        let had = state.owners.remove(&key).is_some();
        had && !std::mem::take(&mut state.refused).is_empty()
    }

    /// Returns warnings about resources of `key` that two domains can have, but should not.
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
        // Always in the same order, because an unchanged status is not written again.
        said.sort();
        mine.doubtful_within().into_iter().chain(said).collect()
    }

    /// Returns whether `key` is known to have resources.
    #[must_use]
    pub fn knows(&self, key: Uuid) -> bool {
        self.state().owners.contains_key(&key)
    }
}

#[cfg(test)]
mod tests;
