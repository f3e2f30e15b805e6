//! The operations that the core has decided on. A worker runs one at a time, and each can be aborted meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::run::Run;
use super::shared::Running;
use crate::base::abort::AbortToken;
use crate::base::crash_points;
use crate::base::mailbox::Mail;
use crate::base::progress::Progress;
use crate::core::{self, Built, Facts, Input, Op, Outcome, Scope, abort};
use crate::frontends::control::names::is_exactly;
use crate::frontends::eve::DomainStatus;
use crate::frontends::inputs::Reading;
use crate::host::disks::{self, Bounds, Copies, Failure, Places};
use crate::host::owners;
use crate::spec::feasibility::{self, Refusal};
use crate::spec::limits;
use crate::spec::{Assigned, Mode, Spec};
use crate::toolstack::{Error, ErrorKind, Limits, Need, Seen, Session};

/// Time for which the network interface of a domain that has just been destroyed may still exist.
const LEFTOVERS: Duration = Duration::from_secs(3);

impl Run<'_> {
    pub(super) fn execute(&mut self, op: &Op, deadline: Option<Duration>) -> Outcome {
        let limits = Limits {
            abort: AbortToken::new(),
            deadline: deadline.map(|d| d.max(Duration::from_secs(1))),
            urgent: self.orders.are_open(),
        };
        let running = Running {
            op: op.clone(),
            abort: limits.abort.clone(),
            job: self.facts.as_ref().and_then(Facts::cancels_with),
        };
        *self.shared.running() = Some(running.clone());
        // Mail that came before other threads could see this operation.
        let mail = self.inbox.peek();
        if (mail.has(Mail::STOP) && abort::on_stop(op))
            || (mail.has(Mail::HINT) && abort::on_hint(op))
            || (mail.has(Mail::CONFIG) && self.is_unwished(op))
            || (mail.has(Mail::ORDER) && self.shared.orders_end(&running))
        {
            limits.abort.abort();
        }
        let begin = self.env.clock.now().mono;
        let looks = matches!(op, Op::Look(_) | Op::Turn);
        if !looks {
            crash_points::point(&format!("before {}", op.word()));
        }
        let outcome = self.perform(op, &limits);
        if !looks {
            crash_points::point(&format!("after {}", op.word()));
        }
        *self.shared.running() = None;
        let took = self.env.clock.now().mono.since(begin).as_millis();
        if !looks {
            let error = outcome.error().map(ToString::to_string);
            let error = error.as_deref().unwrap_or("done");
            log::debug!(key:% = self.key, ms:% = took; "{}: {error}", op.word());
        }
        outcome
    }

    /// Returns true if the newest wish makes `op` pointless.
    fn is_unwished(&self, op: &Op) -> bool {
        match self.env.inputs.read(self.key, self.env.clock.now().mono) {
            Reading::Wish(wish) => abort::on_wish(op, &wish),
            Reading::Later(_) => false,
        }
    }

    fn perform(&mut self, op: &Op, limits: &Limits) -> Outcome {
        match op {
            Op::Disks(spec, copies, whole) => {
                let owned = self.own(spec);
                Outcome::Disks(owned.and_then(|()| self.disks(spec, *copies, whole, limits)))
            }
            Op::Discard(names) => {
                let done = disks::discard(&self.env.dirs.copies, names);
                Outcome::Ended(done.map_err(|e| Error::new(ErrorKind::Other, e)))
            }
            Op::Turn => Outcome::Turn(self.ask_for_turn()),
            Op::Reserve(spec) => Outcome::Reserved(self.reserve(spec, limits)),
            Op::Release => {
                self.env.adapters.release(self.key);
                Outcome::Ended(Ok(()))
            }
            Op::Create(spec) | Op::Restore(spec, _) => {
                let ready = self
                    .own(spec)
                    .and_then(|()| self.prepare(spec))
                    .and_then(|()| self.fits_host(spec, limits));
                Outcome::Created(ready.and_then(|doubts| self.build(op, spec, doubts, limits)))
            }
            Op::Send(id, to) => Outcome::Ended(self.send(*id, to, limits)),
            Op::HandOver(_) => Outcome::HandedOver(self.hand_over(limits)),
            Op::Ask(_, to) => Outcome::Asked(Self::ask(to, limits)),
            Op::Receive(spec, token) => {
                let ready = self
                    .own(spec)
                    .and_then(|()| self.prepare(spec))
                    .and_then(|()| self.fits_host(spec, limits));
                let received = ready.and_then(|doubts| self.receive(spec, *token, doubts, limits));
                Outcome::Created(received)
            }
            Op::AwaitGo(_) => Outcome::Ended(self.await_go(limits)),
            Op::Land(id, name) => Outcome::Ended(self.land(*id, name, limits)),
            Op::Change(id, change, before, after) => {
                Outcome::Ended(self.change(*id, change, before, after, limits))
            }
            Op::Save(id, file) => Outcome::Ended(self.save(*id, file.as_deref(), limits)),
            Op::Dump(id, file) => Outcome::Ended(self.dump(*id, file.as_deref(), limits)),
            Op::DiscardSaved => Outcome::Ended(self.discard_saved()),
            Op::Look(scope) => Outcome::Looked(self.look(*scope)),
            Op::Screen(id) => Outcome::Screen(self.session().and_then(|s| s.vnc_display(*id))),
            Op::Devices(id) => Outcome::Devices(self.session().and_then(|s| s.unconnected(*id))),
            _ => Outcome::Ended(self.control(op, limits)),
        }
    }

    /// Returns the domains that start before this one. Tells of names in its `After` that are nobody's.
    fn ask_for_turn(&self) -> Option<String> {
        let first = self.env.turns.ask(self.key, self.mailbox);
        let own = self
            .env
            .board
            .one(self.key)
            .filter(|own| !own.after.is_empty());
        // It is to be built, and every domain has been shown.
        if let (None, Some(own)) = (&first, own) {
            let all = self.env.board.all();
            for name in &own.after {
                let known = |status: &DomainStatus| {
                    is_exactly(status, name) || status.display_name == *name
                };
                if !all.iter().any(|(_, status)| known(status)) {
                    log::warn!(key:% = self.key; "After: no domain is called {name:?}");
                }
            }
        }
        first
    }

    /// Reads the state of the domains in `scope`.
    fn look(&mut self, scope: Scope) -> Result<Vec<Seen>, Error> {
        let key = self.key;
        let session = self.session()?;
        match scope {
            Scope::One(id) => session.info(id).map(|s| s.into_iter().collect()),
            Scope::All => session.find(&|uuid| uuid == key),
        }
    }

    /// Runs an operation that changes the state of an existing domain in Xen, and returns no data.
    fn control(&mut self, op: &Op, limits: &Limits) -> Result<(), Error> {
        let (env, key) = (self.env, self.key);
        let session = self.session()?;
        match op {
            Op::Resume(id) => session.resume(*id, limits),
            Op::TakeBack(id, name) => session.take_back(*id, name, limits),
            Op::Withdraw(id) => session.withdraw_suspend(*id).map(|stood| {
                if stood {
                    log::info!(key:%; "domain {id} had not heard of the save yet, and will not");
                }
            }),
            Op::Unpause(id) => session.unpause(*id, limits),
            Op::Pause(id) => session.pause(*id, limits),
            Op::Shutdown(id) => session.shutdown(*id, limits),
            Op::PowerButton(id) => session.power_button(*id, limits),
            Op::Destroy(id) => session.destroy(*id, limits),
            Op::CoreDump(id) => {
                let path = env.dirs.dump.join(key.to_string());
                session.core_dump(*id, &path, limits)
            }
            Op::Preserve(id, suffix) => session.preserve(*id, suffix, limits),
            Op::Strip(id) => session.strip(*id, limits),
            Op::SoftReset(id, spec) => session.soft_reset(*id, spec, limits),
            // Listed, so that a new operation has to be given its place here or in `perform`.
            Op::Look(_)
            | Op::Save(..)
            | Op::Send(..)
            | Op::HandOver(_)
            | Op::Ask(..)
            | Op::Receive(..)
            | Op::AwaitGo(_)
            | Op::Land(..)
            | Op::Dump(..)
            | Op::Disks(..)
            | Op::Screen(_)
            | Op::Devices(_)
            | Op::Discard(_)
            | Op::Turn
            | Op::Reserve(_)
            | Op::Release
            | Op::Create(_)
            | Op::Restore(..)
            | Op::DiscardSaved
            | Op::Change(..) => Err(Error::new(ErrorKind::Other, "not for Xen to do")),
        }
    }

    /// Returns the session, which is opened if there is none yet.
    pub(super) fn session(&mut self) -> Result<&mut Box<dyn Session>, Error> {
        match &mut self.session {
            Some(session) => Ok(session),
            slot => Ok(slot.insert(self.env.toolstack.session()?)),
        }
    }

    /// Makes sure that nobody else has the things that `spec` names, and takes ownership of them.
    fn own(&mut self, spec: &Spec) -> Result<(), Error> {
        let (env, key) = (self.env, self.key);
        let others = |uuid| uuid != key && !env.owners.knows(uuid);
        let mut others = self.session()?.taken(&others)?;
        others.extend(owners::taken_by_host());
        let own = owners::check_own_files(spec, &env.dirs);
        let taken = own.and_then(|()| env.owners.take(key, spec, &others));
        taken.map_err(|refusal| {
            let kind = if refusal.ours {
                ErrorKind::InUse
            } else {
                ErrorKind::Other
            };
            let config = env.inputs.path_of(key);
            let (field, reason) = (refusal.field, refusal.reason);
            Error::new(kind, format!("{}: {field}: {reason}", config.display()))
        })
    }

    /// Creates the domain, or restores it from the file that holds its memory.
    fn build(
        &mut self,
        op: &Op,
        spec: &Spec,
        doubts: Vec<String>,
        limits: &Limits,
    ) -> Result<Built, Error> {
        let (env, key) = (self.env, self.key);
        let settings = env.settings.read().unwrap_or_else(PoisonError::into_inner);
        let (policy, offload) = (settings.autoballoon, settings.vif_offload);
        drop(settings);
        let saved = match op {
            Op::Restore(_, file) => Some(self.saved_path(file.as_deref())),
            _ => None,
        };
        let session = self.session()?;
        // Kept until the domain has its memory.
        let _grant = session
            .grant_memory(Need::Build(spec), policy, limits)
            .map_err(|e| match e.kind {
                ErrorKind::NoMemory => Error::new(e.kind, format!("Memory: {e}")),
                _ => e,
            })?;
        let id = match saved {
            Some(path) => session.restore(spec, &path, limits)?,
            None => session.create(spec, limits)?,
        };
        if !offload && !spec.nics.is_empty() {
            // The domain runs with offloads, too, only not as well behind another guest.
            if let Err(e) = session.no_offload(id, spec.nics.len()) {
                log::warn!(key:% = key, domid:% = id; "offloads of its interfaces are as they were: {e}");
            }
        }
        let found = session.info(id).ok().flatten();
        Ok(Built {
            id,
            memory_kib: found.map_or(0, |domain| domain.memory_kib),
            doubts,
        })
    }

    /// Makes sure that the host has what `spec` needs, and that nothing is in its way. Returns the warnings.
    ///
    /// Unlike these refusals, the errors of libxl and of hotplug scripts name no field.
    fn fits_host(&mut self, spec: &Spec, limits: &Limits) -> Result<Vec<String>, Error> {
        let key = self.key;
        let end = Instant::now() + LEFTOVERS;
        loop {
            let facts = self.session()?.facts_for(spec)?;
            match feasibility::check(spec, &facts) {
                Ok(()) => {
                    let doubts = feasibility::doubts(spec, &facts);
                    let doubts = doubts.into_iter().chain(disks::doubts(spec));
                    return Ok(doubts.map(|doubt| doubt.to_string()).collect());
                }
                Err(Refusal::Domains(_) | Refusal::Leftover(_))
                    if Instant::now() < end && !limits.abort.is_aborted() =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(refusal) => {
                    let config = self.env.inputs.path_of(key);
                    let text = format!("{}: {}", config.display(), refusal.error());
                    return Err(Error::new(ErrorKind::Other, text));
                }
            }
        }
    }

    /// Prepares the disks, and publishes the progress meanwhile.
    fn disks(
        &mut self,
        spec: &Spec,
        copies: Copies,
        whole: &BTreeSet<String>,
        limits: &Limits,
    ) -> Result<Arc<Spec>, Error> {
        let env = self.env;
        let places = Places {
            copies: &env.dirs.copies,
            images: &env.dirs.images,
            seeds: &env.dirs.seeds(),
        };
        let mut bounds = Bounds {
            limits,
            queue: &env.copying,
            rate: env.copy_rate,
            progress: &mut |progress| self.tell(progress),
        };
        let ready = disks::prepare(spec, places, copies, whole, &mut bounds);
        ready.map(Arc::new).map_err(|failure| match failure {
            Failure::Config(e) => {
                let config = env.inputs.path_of(self.key);
                let text = format!("{}: {e}", config.display());
                Error::new(ErrorKind::InvalidConfig, text)
            }
            Failure::Other(text) => Error::new(ErrorKind::Other, text),
            Failure::Aborted => Error::new(ErrorKind::Aborted, "aborted"),
        })
    }

    /// Publishes the progress of the operation under way.
    pub(super) fn tell(&mut self, progress: Progress) {
        let Some(facts) = self.facts.take() else {
            return;
        };
        let (facts, _) = core::step(self.env.clock.now(), facts, Input::Progress(progress));
        self.publish(&facts);
        self.facts = Some(facts);
    }

    /// Reserves adapters of the host, and waits until they have been taken from the host.
    fn reserve(&self, spec: &Spec, limits: &Limits) -> Result<Assigned, Error> {
        let adapters = &self.env.adapters;
        // A domain that exists may have been built with other adapters.
        let only = self.facts.as_ref().is_none_or(|f| f.domain().is_none());
        let assigned = adapters.reserve(self.key, &spec.name, &spec.adapters, only, limits)?;
        if spec.mode == Mode::Pvh && !assigned.pci.is_empty() {
            adapters.release(self.key);
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "IoAdapterList: a PVH domain cannot have PCI devices",
            ));
        }
        let lines = !assigned.irqs.is_empty() || !assigned.io_ports.is_empty();
        let useless = match spec.mode {
            Mode::Pv => false,
            Mode::Pvh => lines || !assigned.serials.is_empty(),
            Mode::Hvm => lines && assigned.serials.is_empty(),
        };
        if useless {
            adapters.release(self.key);
            let mode = spec.mode.word();
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "IoAdapterList: interrupts and I/O ports are of no use to a {mode} domain: make it PV, or HVM with the \
                     Serial of the bundle in the model"
                ),
            ));
        }
        let hvm = spec.mode == Mode::Hvm;
        if let Some(why) = too_much(spec, &assigned).filter(|_| hvm) {
            adapters.release(self.key);
            let text = format!("IoAdapterList: {why}");
            return Err(Error::new(ErrorKind::InvalidConfig, text));
        }
        Ok(assigned)
    }
}

/// Returns the reason why an HVM domain cannot have all of its adapters.
fn too_much(spec: &Spec, assigned: &Assigned) -> Option<String> {
    let cards = limits::emulated_cards(spec.mode, &spec.nics);
    let (devices, slots) = (assigned.pci.len(), limits::PCI_SLOTS);
    let (lines, most) = (assigned.serials.len(), limits::SERIAL_LINES);
    if cards + devices > slots {
        return Some(format!(
            "its {devices} PCI devices and {cards} emulated network cards do not fit into the {slots} slots that an HVM domain \
             has for them"
        ));
    }
    (lines > most).then(|| {
        format!("{lines} serial lines, and QEMU has {most} for an HVM domain beside its console")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Nic, PciDevice};

    #[test]
    fn an_hvm_domain_has_so_many_slots_and_lines() {
        let nic = Nic {
            bridge: None,
            vif: None,
            mac: [2; 6],
            kind: None,
            mtu: None,
            ..Nic::default()
        };
        let device = PciDevice {
            address: "00:14.0".parse().unwrap(),
            relaxed: false,
        };
        for (cards, devices, lines, fits) in [
            (27, 1, 3, true),
            (28, 1, 0, false),
            (0, 29, 0, false),
            (0, 0, 4, false),
        ] {
            let spec = Spec {
                mode: Mode::Hvm,
                nics: vec![nic.clone(); cards],
                ..Spec::default()
            };
            let assigned = Assigned {
                pci: vec![device; devices],
                serials: vec!["/dev/ttyS1".to_owned(); lines],
                ..Assigned::default()
            };
            let why = too_much(&spec, &assigned);
            assert_eq!(why.is_none(), fits, "{why:?}");
        }
    }
}
