//! The state of a simulated Xen. No time passes and nothing happens but through calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{DomainId, Error, ErrorKind, Life, Result, Seen, ShutdownReason};
use crate::spec::{Mode, Spec};

/// Milliseconds of simulated time.
pub type Millis = u64;

/// The whole host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    now: Millis,
    next_domid: u32,
    memory_mib: u64,
    domains: BTreeMap<u32, SimDomain>,
    /// What has been done to domains of a uuid, across their incarnations.
    history: BTreeMap<Uuid, History>,
    /// Those to which something happened.
    #[serde(skip)]
    touched: BTreeSet<u32>,
    /// How often an operation was tried on a number that another domain has.
    #[serde(skip)]
    foreign: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct History {
    creates: u32,
    unpauses: u32,
    destroys: u32,
    starts: u32,
}

/// One domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SimDomain {
    uuid: Uuid,
    name: Option<String>,
    memory_mib: u64,
    hvm: bool,
    paused: bool,
    shutdown: Option<u8>,
    /// Taken apart; listed until then.
    dying_until: Option<Millis>,
    started: bool,
    ran_ms: Millis,
    running_since: Option<Millis>,
    guest: Guest,
    preserved: bool,
    /// What the guest will do, counted in time it runs.
    plans: Vec<(Millis, u8)>,
}

/// How a guest behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    act: Option<u8>,
    after: Millis,
    once: bool,
    stop: Millis,
    stubborn: bool,
    deaf: bool,
    pv: bool,
    create: Millis,
    destroy: Millis,
    fail_create: u32,
    fail_unpause: u32,
    fail_destroy: u32,
    litter: bool,
}

/// How a guest answers a shutdown request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It acknowledged.
    Yes,
    /// It never will.
    Never,
}

impl Guest {
    /// Reads the words of a command line.
    #[must_use]
    pub fn from_cmdline(cmdline: &str) -> Self {
        let words: BTreeMap<&str, &str> = cmdline
            .split_whitespace()
            .map(|w| w.split_once('=').unwrap_or((w, "")))
            .collect();
        let flag = |word: &str| words.contains_key(word);
        let millis = |word: &str, default: Millis| {
            words
                .get(word)
                .and_then(|v| decimal_millis(v))
                .unwrap_or(default)
        };
        let count = |word: &str| words.get(word).and_then(|v| v.parse().ok()).unwrap_or(0);
        let act = match words.get("lab.action") {
            Some(&"poweroff") => Some(ShutdownReason::POWEROFF.0),
            Some(&"reboot") => Some(ShutdownReason::REBOOT.0),
            Some(&"crash") => Some(ShutdownReason::CRASH.0),
            _ => None,
        };
        Self {
            act: words.get("sim.reason").and_then(|v| v.parse().ok()).or(act),
            after: millis("lab.after", 3000),
            once: flag("sim.once"),
            stop: millis("sim.stop", 1000),
            stubborn: flag("sim.stubborn"),
            deaf: flag("sim.deaf"),
            pv: !flag("sim.nopv"),
            create: millis("sim.create", 200),
            destroy: millis("sim.destroy", 200),
            fail_create: count("sim.fail-create"),
            fail_unpause: count("sim.fail-unpause"),
            fail_destroy: count("sim.fail-destroy"),
            litter: flag("sim.litter"),
        }
    }
}

/// `1.25` as 1250.
fn decimal_millis(text: &str) -> Option<Millis> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<3}");
    let millis: Millis = part.get(..3)?.parse().ok()?;
    whole
        .parse::<Millis>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(millis)
}

impl Default for Model {
    fn default() -> Self {
        Self::new(8192)
    }
}

impl Model {
    /// A host with this much memory and no domains.
    #[must_use]
    pub fn new(memory_mib: u64) -> Self {
        Self {
            now: 0,
            next_domid: 1,
            memory_mib,
            domains: BTreeMap::new(),
            history: BTreeMap::new(),
            touched: BTreeSet::new(),
            foreign: 0,
        }
    }

    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now
    }

    /// When something will happen by itself.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        self.domains.values().filter_map(SimDomain::next_due).min()
    }

    /// Lets time pass.
    pub fn advance(&mut self, to: Millis) {
        while let Some(due) = self.next_due().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            let now = self.now;
            self.domains
                .retain(|_, d| d.dying_until.is_none_or(|at| at > now));
            for (domid, d) in &mut self.domains {
                if let Some(reason) = d.act(now) {
                    d.stop_running(now);
                    d.shutdown = Some(reason);
                    self.touched.insert(*domid);
                }
            }
        }
        self.now = self.now.max(to);
    }

    /// Takes the numbers of the domains to which something happened that raises an event.
    pub fn take_touched(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.touched)
    }

    /// Memory that no domain has.
    #[must_use]
    pub fn free_mib(&self) -> u64 {
        let used: u64 = self.domains.values().map(|d| d.memory_mib).sum();
        self.memory_mib.saturating_sub(used)
    }

    /// How often an operation was tried on a number that another domain has.
    #[must_use]
    pub fn foreign_attempts(&self) -> u32 {
        self.foreign
    }

    /// All domains.
    #[must_use]
    pub fn list(&self) -> Vec<Seen> {
        self.domains
            .iter()
            .map(|(domid, d)| Seen {
                id: DomainId {
                    domid: *domid,
                    uuid: d.uuid,
                },
                name: d.name.clone(),
                life: d.life(),
                cpu_time_ns: d.ran(self.now) * 1_000_000,
                memory_kib: d.memory_mib * 1024,
            })
            .collect()
    }

    /// One of them.
    #[must_use]
    pub fn info(&self, id: DomainId) -> Option<Seen> {
        self.list().into_iter().find(|s| s.id == id)
    }

    /// Whether it is a dead domain that was kept.
    #[must_use]
    pub fn is_preserved(&self, id: DomainId) -> bool {
        self.domains
            .get(&id.domid)
            .is_some_and(|d| d.uuid == id.uuid && d.preserved)
    }

    /// How many domains of this uuid run or could go on running.
    #[must_use]
    pub fn live(&self, uuid: Uuid) -> usize {
        self.domains
            .values()
            .filter(|d| d.uuid == uuid && d.dying_until.is_none() && !d.preserved)
            .count()
    }

    /// Starts building a domain: from now on it is there, nameless and paused. Says how long building takes.
    ///
    /// # Errors
    /// The name is taken, or there is not enough memory.
    pub fn begin_create(&mut self, spec: &Spec) -> Result<(DomainId, Millis)> {
        let guest = Guest::from_cmdline(&spec.cmdline());
        if self.named(&spec.name).is_some() {
            return Err(Error::new(
                ErrorKind::Other,
                format!("a domain with the name {} exists already", spec.name),
            ));
        }
        if spec.memory_mib > self.free_mib() {
            return Err(Error::new(
                ErrorKind::NoMemory,
                format!(
                    "not enough memory: {} MiB needed, {} MiB free",
                    spec.memory_mib,
                    self.free_mib()
                ),
            ));
        }
        let history = self.history.entry(spec.uuid).or_default();
        history.creates += 1;
        if history.creates <= guest.fail_create && !guest.litter {
            return Err(Error::new(
                ErrorKind::Other,
                "domain creation failed (simulated)",
            ));
        }
        let create = guest.create;
        let domid = self.insert(SimDomain {
            uuid: spec.uuid,
            name: None,
            memory_mib: spec.memory_mib,
            hvm: spec.mode == Mode::Hvm,
            paused: true,
            shutdown: None,
            dying_until: None,
            started: false,
            ran_ms: 0,
            running_since: None,
            guest,
            preserved: false,
            plans: Vec::new(),
        });
        let uuid = spec.uuid;
        Ok((DomainId { domid, uuid }, create))
    }

    /// Ends building a domain.
    ///
    /// # Errors
    /// It was destroyed meanwhile, the name was taken meanwhile, or its words want it to fail.
    pub fn end_create(&mut self, id: DomainId, name: &str) -> Result<()> {
        if self.named(name).is_some() {
            self.domains.remove(&id.domid);
            return Err(Error::new(
                ErrorKind::Other,
                format!("a domain with the name {name} exists already"),
            ));
        }
        let creates = self.history.entry(id.uuid).or_default().creates;
        let d = self.get(id)?;
        d.name = Some(name.to_owned());
        if creates <= d.guest.fail_create {
            return Err(Error::new(
                ErrorKind::Other,
                "domain creation failed (simulated)",
            ));
        }
        Ok(())
    }

    /// Lets a domain run.
    ///
    /// # Errors
    /// It is gone, or its words want it to fail.
    pub fn unpause(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        self.get(id)?;
        let history = self.history.entry(id.uuid).or_default();
        history.unpauses += 1;
        let (unpauses, starts) = (history.unpauses, history.starts);
        let d = self.get(id)?;
        if unpauses <= d.guest.fail_unpause {
            return Err(Error::new(ErrorKind::Other, "unpause failed (simulated)"));
        }
        d.paused = false;
        let first = !d.started;
        if first {
            d.started = true;
            if let Some(reason) = d.guest.act.filter(|_| !(d.guest.once && starts > 0)) {
                d.plans.push((d.guest.after, reason));
            }
        }
        d.go_on_running(now);
        if first {
            self.history.entry(id.uuid).or_default().starts += 1;
        }
        Ok(())
    }

    /// Stops a domain's processors. Raises no event.
    ///
    /// # Errors
    /// It is gone.
    pub fn pause(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        d.paused = true;
        d.stop_running(now);
        Ok(())
    }

    /// Asks the guest to power off.
    ///
    /// # Errors
    /// It is gone, or has no drivers that could hear.
    pub fn request_shutdown(&mut self, id: DomainId) -> Result<Answer> {
        let now = self.now;
        let d = self.get(id)?;
        if d.hvm && !d.guest.pv {
            return Err(Error::new(
                ErrorKind::NoParavirt,
                "the guest has no PV drivers to ask",
            ));
        }
        Ok(d.obey(now))
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// It is gone, or has none.
    pub fn power_button(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        if !d.hvm {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "only an HVM domain has a power button",
            ));
        }
        d.obey(now);
        Ok(())
    }

    /// How long destroying the domain takes.
    ///
    /// # Errors
    /// It is gone.
    pub fn begin_destroy(&mut self, id: DomainId) -> Result<Millis> {
        let d = self.get(id)?;
        Ok(d.guest.destroy)
    }

    /// Destroys it. The number stays listed for a moment, as dying.
    ///
    /// # Errors
    /// It is gone, or its words want it to fail.
    pub fn end_destroy(&mut self, id: DomainId) -> Result<()> {
        self.get(id)?;
        let history = self.history.entry(id.uuid).or_default();
        history.destroys += 1;
        let destroys = history.destroys;
        let d = self.get(id)?;
        if destroys <= d.guest.fail_destroy {
            return Err(Error::new(ErrorKind::Other, "destroy failed (simulated)"));
        }
        self.kill(id)
    }

    /// Destroys it at once, as an outsider does.
    ///
    /// # Errors
    /// It is gone.
    pub fn kill(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        d.stop_running(now);
        d.plans.clear();
        d.name = None;
        d.memory_mib = 0;
        d.dying_until = Some(now + 50);
        self.touched.insert(id.domid);
        Ok(())
    }

    /// Makes the guest end with this reason.
    ///
    /// # Errors
    /// It is gone.
    pub fn shut_down(&mut self, id: DomainId, reason: ShutdownReason) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        d.stop_running(now);
        d.shutdown = Some(reason.0);
        self.touched.insert(id.domid);
        Ok(())
    }

    /// Takes a suspended domain up again.
    ///
    /// # Errors
    /// It is gone, or not suspended.
    pub fn resume(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        if d.shutdown != Some(ShutdownReason::SUSPEND.0) {
            return Err(Error::new(ErrorKind::Other, "the domain is not suspended"));
        }
        d.shutdown = None;
        d.go_on_running(now);
        // Xen raises no event for this.
        Ok(())
    }

    /// Gives the domain another name.
    ///
    /// # Errors
    /// It is gone, or the name is taken.
    pub fn rename(&mut self, id: DomainId, name: &str) -> Result<()> {
        if self.named(name).is_some() {
            return Err(Error::new(
                ErrorKind::Other,
                format!("a domain with the name {name} exists already"),
            ));
        }
        self.get(id)?.name = Some(name.to_owned());
        Ok(())
    }

    /// Keeps a dead domain with a suffix to its name.
    ///
    /// # Errors
    /// It is gone, or the name is taken.
    pub fn preserve(&mut self, id: DomainId, suffix: &str) -> Result<()> {
        let name = self.get(id)?.name.clone().unwrap_or_default();
        self.rename(id, &format!("{name}{suffix}"))?;
        // The hypervisor goes on reporting the old uuid.
        self.get(id)?.preserved = true;
        Ok(())
    }

    /// Restarts a domain in place. It stays paused.
    ///
    /// # Errors
    /// It is gone, or not HVM.
    pub fn soft_reset(&mut self, id: DomainId) -> Result<()> {
        let d = self.get(id)?;
        if !d.hvm {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "only an HVM domain can be soft-reset",
            ));
        }
        d.shutdown = None;
        d.paused = true;
        d.started = false;
        d.plans.clear();
        Ok(())
    }

    /// A domain of someone else, with a number of its own or one that just became free.
    pub fn outsider(&mut self, uuid: Uuid, name: &str, domid: Option<u32>) -> u32 {
        let d = SimDomain {
            uuid,
            name: Some(name.to_owned()),
            memory_mib: 1,
            hvm: false,
            paused: false,
            shutdown: None,
            dying_until: None,
            started: true,
            ran_ms: 1,
            running_since: Some(self.now),
            guest: Guest::from_cmdline(""),
            preserved: false,
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

    fn insert(&mut self, d: SimDomain) -> u32 {
        let domid = self.next_domid;
        self.next_domid += 1;
        self.domains.insert(domid, d);
        domid
    }

    fn named(&self, name: &str) -> Option<u32> {
        self.domains
            .iter()
            .find(|(_, d)| d.name.as_deref() == Some(name))
            .map(|(domid, _)| *domid)
    }

    fn get(&mut self, id: DomainId) -> Result<&mut SimDomain> {
        let gone = || Error::new(ErrorKind::NotFound, format!("domain {id} does not exist"));
        match self.domains.get_mut(&id.domid) {
            Some(d) if d.uuid != id.uuid => {
                self.foreign += 1;
                Err(gone())
            }
            Some(d) if d.dying_until.is_none() => Ok(d),
            _ => Err(gone()),
        }
    }
}

impl SimDomain {
    fn life(&self) -> Life {
        match self.shutdown {
            _ if self.dying_until.is_some() => Life::Dying,
            Some(reason) => Life::Shutdown(ShutdownReason(reason)),
            None if self.paused => Life::Paused,
            None => Life::Running,
        }
    }

    fn ran(&self, now: Millis) -> Millis {
        self.ran_ms
            + self
                .running_since
                .map_or(0, |since| now.saturating_sub(since) + 1)
    }

    fn stop_running(&mut self, now: Millis) {
        self.ran_ms = self.ran(now);
        self.running_since = None;
    }

    fn go_on_running(&mut self, now: Millis) {
        if self.running_since.is_none() && self.life() == Life::Running {
            self.running_since = Some(now);
        }
    }

    fn next_due(&self) -> Option<Millis> {
        let since = self.running_since.filter(|_| self.dying_until.is_none());
        let plan = self.plans.iter().map(|(at, _)| *at).min();
        let act = since
            .zip(plan)
            .map(|(since, at)| since + at.saturating_sub(self.ran_ms));
        self.dying_until.or(act)
    }

    /// What the guest does by itself at `now`.
    fn act(&mut self, now: Millis) -> Option<u8> {
        if self.next_due().is_none_or(|due| due > now) || self.dying_until.is_some() {
            return None;
        }
        let first = self
            .plans
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)?
            .0;
        Some(self.plans.swap_remove(first).1)
    }

    fn obey(&mut self, now: Millis) -> Answer {
        // A paused guest hears nothing, nor does a suspended one.
        if self.guest.deaf || self.running_since.is_none() {
            return Answer::Never;
        }
        if !self.guest.stubborn {
            let at = self.ran(now) + self.guest.stop;
            self.plans.push((at, ShutdownReason::POWEROFF.0));
        }
        Answer::Yes
    }
}
