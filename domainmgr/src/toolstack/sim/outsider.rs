//! Changes that others make to the simulated domains: operators with `xl`, and the guests.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::devices::SimLive;
use super::domain::SimDomain;
use super::guest::{Answer, Guest, Millis};
use super::model::Model;
use crate::spec::ShutdownReason;
use crate::toolstack::domain::{DomainId, Life};
use crate::toolstack::error::{Error, ErrorKind, Result};

impl Model {
    /// Destroys a domain at once.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn kill(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        d.stop_running(now);
        d.plans.clear();
        d.name = None;
        // Xen frees the domain's memory meanwhile. None of it can be counted on before the end.
        d.dying_until = Some(now + d.guest.dying);
        self.exception(true);
        Ok(())
    }

    /// Ends the device model of a domain, if it has one.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn orphan(&mut self, id: DomainId) -> Result<()> {
        let d = self.get(id)?;
        if d.hvm && !d.orphaned {
            d.orphaned = true;
            self.orphans.push(id);
        }
        Ok(())
    }

    /// Returns the domains whose device models have ended since the last call.
    pub fn take_orphans(&mut self) -> Vec<DomainId> {
        std::mem::take(&mut self.orphans)
    }

    /// Makes the guest shut down, or suspend, with this reason.
    ///
    /// # Errors
    /// The domain is gone, or does not run.
    pub fn shut_down(&mut self, id: DomainId, reason: ShutdownReason) -> Result<()> {
        if self.get(id)?.life() != Life::Running {
            return Err(Error::new(ErrorKind::Other, "the guest does not run"));
        }
        self.stop(id.domid, reason.0);
        Ok(())
    }

    /// Asks the guest to suspend, which it does after it has run for `after`.
    ///
    /// The request cannot be taken back once the guest has acknowledged it.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn request_suspend(&mut self, id: DomainId, after: Millis) -> Result<Answer> {
        let now = self.now;
        let d = self.get(id)?;
        Ok(d.ask(now, Some(after), ShutdownReason::SUSPEND.0))
    }

    /// Resumes a suspended domain. Xen raises no event for this.
    ///
    /// # Errors
    /// The domain is gone, or not suspended.
    pub fn resume(&mut self, id: DomainId) -> Result<()> {
        self.resume_in_xen(id)?;
        self.resume_in_xenstore(id)
    }

    /// The first half of a resume: the guest runs.
    ///
    /// # Errors
    /// The domain is gone, or not suspended.
    pub fn resume_in_xen(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        if !d.is_suspended() {
            return Err(Error::new(ErrorKind::Other, "the domain is not suspended"));
        }
        d.shutdown = None;
        d.go_on_running(now);
        Ok(())
    }

    /// The second half of a resume: xenstored hears of it. xenstored does not announce what the guest did in between.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn resume_in_xenstore(&mut self, id: DomainId) -> Result<()> {
        self.get(id)?.announced = false;
        Ok(())
    }

    /// Adds a domain of someone else, with a domid of its own or one that just became free. Returns the domid.
    pub fn outsider(&mut self, uuid: Uuid, name: &str, domid: Option<u32>) -> u32 {
        let d = SimDomain {
            uuid,
            name: Some(name.to_owned()),
            memory_mib: 1,
            hvm: false,
            orphaned: false,
            paused: false,
            shutdown: None,
            announced: false,
            dying_until: None,
            started: true,
            ran_ms: 1,
            running_since: Some(self.now),
            up_at: 0,
            guest: Guest::from_cmdline(""),
            cmdline: String::new(),
            preserved: false,
            screen: None,
            holds: BTreeSet::new(),
            live: SimLive::default(),
            suspend: None,
            plans: Vec::new(),
        };
        match domid {
            None => self.insert(d),
            Some(domid) => {
                self.domains.insert(domid, d);
                domid
            }
        }
    }

    /// Builds the receiving end of a migration to this very host: a domain with another domid and the same uuid.
    ///
    /// The receiver is not to be started before the sender says so.
    ///
    /// # Errors
    /// The sending end is gone, the name is taken, or there is not enough memory.
    pub fn receive(&mut self, source: DomainId) -> Result<DomainId> {
        let d = self.get(source)?.clone();
        let name = format!("{}--incoming", d.name.as_deref().unwrap_or_default());
        self.receiving_end(d, name)
    }

    /// Builds the receiving end of a migration, paused and with this name. `source` is the domain at its source.
    ///
    /// # Errors
    /// The name is taken, or there is not enough memory.
    pub(super) fn receiving_end(&mut self, source: SimDomain, name: String) -> Result<DomainId> {
        if self.named(&name).is_some() {
            return Err(taken(&name));
        }
        if source.memory_mib > self.free_mib() {
            return Err(Error::new(ErrorKind::NoMemory, "not enough memory"));
        }
        let uuid = source.uuid;
        let domid = self.insert(SimDomain {
            name: Some(name),
            paused: true,
            orphaned: false,
            shutdown: None,
            announced: false,
            started: true,
            ran_ms: 0,
            running_since: None,
            up_at: 0,
            suspend: None,
            plans: Vec::new(),
            ..source
        });
        Ok(DomainId { domid, uuid })
    }

    /// Moves the whole guest to the receiver, where it goes on with its boot and its planned shutdowns.
    ///
    /// # Errors
    /// One of the two domains is gone, or the guest is not suspended.
    pub fn hand_over(&mut self, source: DomainId, receiver: DomainId) -> Result<()> {
        let d = self.get(source)?;
        if !d.is_suspended() {
            return Err(Error::new(ErrorKind::Other, "the domain is not suspended"));
        }
        let ran = d.ran_ms;
        let (up_at, plans) = (d.up_at, d.plans.clone());
        let new = self.get(receiver)?;
        new.up_at = up_at.saturating_sub(ran);
        new.plans = plans
            .into_iter()
            .map(|(at, reason)| (at.saturating_sub(ran), reason))
            .collect();
        Ok(())
    }
}

pub(super) fn taken(name: &str) -> Error {
    Error::new(
        ErrorKind::Other,
        format!("a domain with the name {name} exists already"),
    )
}
