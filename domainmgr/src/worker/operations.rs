//! The operations that the core has decided on. A worker runs one at a time, and each can be aborted meanwhile.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Run;
use crate::core::{self, Built, Input, Op, Outcome, Scope, abort};
use crate::crash;
use crate::disks::{self, Bounds, Copies, Failure, Places};
use crate::host::{self, Refusal};
use crate::inputs::Reading;
use crate::limits;
use crate::mailbox::Mail;
use crate::owners;
use crate::spec::{Assigned, Mode, Spec};
use crate::store;
use crate::toolstack::{AbortToken, Error, ErrorKind, Limits, Session};

/// Time for which the network interface of a domain that has just been destroyed may still exist.
const LEFTOVERS: Duration = Duration::from_secs(3);

impl Run<'_> {
    pub(super) fn execute(&mut self, op: &Op, deadline: Option<Duration>) -> Outcome {
        let limits = Limits {
            abort: AbortToken::new(),
            deadline: deadline.map(|d| d.max(Duration::from_secs(1))),
            urgent: self.orders.are_open(),
        };
        *self.shared.running() = Some((op.clone(), limits.abort.clone()));
        // Mail that came before other threads could see this operation.
        let mail = self.inbox.peek();
        if (mail.has(Mail::STOP) && abort::on_stop(op))
            || (mail.has(Mail::HINT) && abort::on_hint(op))
            || (mail.has(Mail::CONFIG) && self.is_unwished(op))
            || (mail.has(Mail::ORDER) && self.shared.orders_end(op))
        {
            limits.abort.abort();
        }
        let begin = self.env.clock.now().mono;
        let looks = matches!(op, Op::Look(_));
        if !looks {
            crash::point(&format!("before {}", op.word()));
        }
        let outcome = self.perform(op, &limits);
        if !looks {
            crash::point(&format!("after {}", op.word()));
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
        let key = self.key;
        match op {
            Op::Disks(spec, copies, whole) => {
                let owned = self.own(spec);
                return Outcome::Disks(
                    owned.and_then(|()| self.disks(spec, *copies, whole, limits)),
                );
            }
            Op::Discard(names) => {
                let done = disks::discard(&self.env.dirs.copies, names);
                return Outcome::Ended(done.map_err(|e| Error::new(ErrorKind::Other, e)));
            }
            Op::Reserve(spec) => return Outcome::Reserved(self.reserve(spec, limits)),
            Op::Release => {
                self.env.adapters.release(key);
                return Outcome::Ended(Ok(()));
            }
            Op::Create(spec) | Op::Restore(spec) => {
                let ready = self
                    .own(spec)
                    .and_then(|()| self.prepare(spec))
                    .and_then(|()| self.fits_host(spec, limits));
                let built = ready.and_then(|doubts| self.build(op, spec, doubts, limits));
                return Outcome::Created(built);
            }
            Op::Change(id, change, before, after) => {
                return Outcome::Ended(self.change(*id, change, before, after, limits));
            }
            Op::DiscardSaved => {
                let path = self.env.dirs.saved_of(key);
                let gone = store::remove(&path);
                return Outcome::Ended(gone.map_err(|e| {
                    Error::new(ErrorKind::Other, format!("{}: {e}", path.display()))
                }));
            }
            _ => {}
        }
        let env = self.env;
        let session = match self.session() {
            Ok(session) => session,
            Err(e) => {
                return match op {
                    Op::Look(_) => Outcome::Looked(Err(e)),
                    Op::Devices(_) => Outcome::Devices(Err(e)),
                    Op::Screen(_) => Outcome::Screen(Err(e)),
                    _ => Outcome::Ended(Err(e)),
                };
            }
        };
        match op {
            Op::Look(Scope::One(id)) => {
                Outcome::Looked(session.info(*id).map(|s| s.into_iter().collect()))
            }
            Op::Look(Scope::All) => Outcome::Looked(session.find(&|uuid| uuid == key)),
            Op::Screen(id) => Outcome::Screen(session.vnc_display(*id)),
            Op::Devices(id) => Outcome::Devices(session.unconnected(*id)),
            // Handled above.
            Op::Reserve(_) | Op::Release | Op::Create(_) | Op::Restore(_) => Outcome::Ended(Ok(())),
            Op::Save(id) => {
                let path = env.dirs.saved_of(key);
                let saved = session.info(*id).and_then(|found| {
                    room_for(&path, found.map_or(0, |domain| domain.memory_kib))?;
                    session.save(*id, &path, limits)
                });
                Outcome::Ended(saved)
            }
            Op::Resume(id) => Outcome::Ended(session.resume(*id, limits)),
            Op::Disks(..) | Op::Discard(_) | Op::DiscardSaved | Op::Change(..) => {
                Outcome::Ended(Err(Error::new(ErrorKind::Other, "not for Xen to do")))
            }
            Op::Unpause(id) => Outcome::Ended(session.unpause(*id, limits)),
            Op::Pause(id) => Outcome::Ended(session.pause(*id, limits)),
            Op::Shutdown(id) => Outcome::Ended(session.shutdown(*id, limits)),
            Op::PowerButton(id) => Outcome::Ended(session.power_button(*id, limits)),
            Op::Destroy(id) => Outcome::Ended(session.destroy(*id, limits)),
            Op::CoreDump(id) => {
                let path = env.dirs.dump.join(key.to_string());
                Outcome::Ended(session.core_dump(*id, &path, limits))
            }
            Op::Preserve(id, suffix) => Outcome::Ended(session.preserve(*id, suffix, limits)),
            Op::Strip(id) => Outcome::Ended(session.strip(*id, limits)),
            Op::SoftReset(id, spec) => Outcome::Ended(session.soft_reset(*id, spec, limits)),
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
        let session = self.session()?;
        // Kept until the domain has its memory.
        let _grant = session.grant_memory(spec, policy, limits)?;
        let id = match op {
            Op::Restore(_) => session.restore(spec, &env.dirs.saved_of(key), limits)?,
            _ => session.create(spec, limits)?,
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
            match host::check(spec, &facts) {
                Ok(()) => {
                    let doubts = host::doubts(spec, &facts);
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
            progress: &mut |progress| {
                let Some(facts) = self.facts.take() else {
                    return;
                };
                let (facts, _) = core::step(env.clock.now(), facts, Input::Progress(progress));
                self.publish(&facts);
                self.facts = Some(facts);
            },
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

/// Makes sure that there is room to save the memory of a domain, before its guest is asked to suspend.
fn room_for(path: &Path, memory_kib: u64) -> Result<(), Error> {
    let fail = |why: String| Error::new(ErrorKind::Other, format!("{}: {why}", path.display()));
    let dir = path.parent().unwrap_or(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| fail(e.to_string()))?;
    let found = rustix::fs::statvfs(dir).map_err(|e| fail(e.to_string()))?;
    let free_kib = found.f_bavail.saturating_mul(found.f_frsize) / 1024;
    // Beside the memory, the file holds libxl's state of the devices and QEMU's own state.
    let needed_kib = memory_kib + memory_kib / 50 + (16 << 10);
    if free_kib < needed_kib {
        return Err(fail(format!(
            "{} MiB are free, and up to {} MiB are needed",
            free_kib / 1024,
            needed_kib / 1024
        )));
    }
    Ok(())
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
