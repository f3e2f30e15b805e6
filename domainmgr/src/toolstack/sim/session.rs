//! A session with the simulated Xen.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use uuid::Uuid;

use super::engine::Shared;
use super::guest::{ACK, Answer, Millis};
use super::migration;
use crate::base::crash_points;
use crate::base::progress::Progress;
use crate::base::store;
use crate::spec::claims::{Claims, Taken};
use crate::spec::feasibility;
use crate::spec::settings::Autoballoon;
use crate::spec::{PciAddress, ShutdownReason, Spec};
use crate::toolstack::domain::{DomainId, HostInfo, HostPci, Life, Seen, Usage};
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::migration::{Leaving, Peer, Report};
use crate::toolstack::operation::Limits;
use crate::toolstack::session::{MemoryGrant, Need, Session};

/// Time that a guest takes to suspend after it has acknowledged the request.
const SUSPENDS: Millis = 50;
/// Time that writing the memory of a domain takes.
const WRITES: Millis = 300;
/// Number of times that a save reports how far it is.
const PARTS: u64 = 3;

pub(super) struct SimSession(pub(super) Arc<Shared>);

impl Session for SimSession {
    fn info(&mut self, id: DomainId) -> Result<Option<Seen>> {
        Ok(self
            .find(&|uuid| uuid == id.uuid)?
            .into_iter()
            .find(|s| s.id == id))
    }

    fn find(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Seen>> {
        let mut state = self.0.lock();
        while state.model.list_hangs {
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let now = self.0.now();
        state.model.advance(now);
        let mut found = state.model.list();
        found.retain(|s| wanted(s.id.uuid));
        Ok(found)
    }

    fn taken(&mut self, wanted: &dyn Fn(Uuid) -> bool) -> Result<Vec<Taken>> {
        // Outsiders have neither disks nor interfaces in the model.
        let mut found = self.find(wanted)?;
        found.retain(|seen| seen.life != Life::Dying);
        let taken = found.into_iter().map(|seen| Taken {
            owner: format!("domain {} ({})", seen.id, seen.name.unwrap_or_default()),
            claims: Claims::default(),
        });
        Ok(taken.collect())
    }

    fn facts_for(&mut self, spec: &Spec) -> Result<feasibility::Facts> {
        self.0.act(|m| Ok(m.facts_for(spec)))
    }

    fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>> {
        self.0.act(|m| m.vnc_display(id))
    }

    fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>> {
        self.0.act(|m| m.unconnected(id))
    }

    fn grant_memory(
        &mut self,
        need: Need<'_>,
        policy: Autoballoon,
        limits: &Limits,
    ) -> Result<Option<Box<dyn MemoryGrant>>> {
        let takes = self.0.act(|m| m.grant_memory(need, policy))?;
        self.0.wait(takes, limits)?;
        Ok(None)
    }

    fn create(&mut self, spec: &Spec, limits: &Limits) -> Result<DomainId> {
        assert!(!spec.cmdline().contains("sim.panic"), "simulated bug");
        let (id, takes) = self.0.act(|m| m.begin_create(spec))?;
        crash_points::point("in the middle of create");
        // An aborted create leaves behind the domain built so far, as libxl does.
        self.0.wait(takes, limits)?;
        self.0.act(|m| m.end_create(id))?;
        Ok(id)
    }

    fn save(
        &mut self,
        id: DomainId,
        path: &Path,
        report: &mut dyn FnMut(Progress),
        limits: &Limits,
    ) -> Result<()> {
        if self.info(id)?.is_none_or(|seen| seen.life != Life::Running) {
            return Err(Error::new(ErrorKind::Other, "the domain does not run"));
        }
        self.or_go_on(id, |session| {
            session.suspend(id, "in the middle of save", report, limits)?;
            let written = store::write(path, memory_of(id.uuid).as_bytes());
            written.map_err(|e| Error::new(ErrorKind::Other, format!("{}: {e}", path.display())))
        })
    }

    fn restore(&mut self, spec: &Spec, path: &Path, limits: &Limits) -> Result<DomainId> {
        let fail = |why: String| Error::new(ErrorKind::Other, format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        if text != memory_of(spec.uuid) {
            return Err(fail("not what was saved of this domain".to_owned()));
        }
        let (id, takes) = self.0.act(|m| m.begin_create(spec))?;
        crash_points::point("in the middle of restore");
        self.0.wait(takes, limits)?;
        self.0.act(|m| m.end_create(id))?;
        Ok(id)
    }

    fn send(
        &mut self,
        id: DomainId,
        peer: Peer,
        // The simulated memory goes at once.
        _live: bool,
        report: Report<'_>,
        limits: &Limits,
    ) -> Result<Box<dyn Leaving>> {
        if self.info(id)?.is_none_or(|seen| seen.life != Life::Running) {
            return Err(Error::new(ErrorKind::Other, "the domain does not run"));
        }
        let shared = Arc::clone(&self.0);
        migration::send(&shared, id, peer, limits, || {
            self.or_go_on(id, |session| {
                session.suspend(id, "in the middle of send", report, limits)
            })
        })
    }

    fn take_back(&mut self, id: DomainId, name: &str, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.take_back(id, name))
    }

    fn land(&mut self, id: DomainId, name: &str, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.land(id, name))
    }

    fn resume(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.resume(id))
    }

    fn withdraw_suspend(&mut self, id: DomainId) -> Result<bool> {
        self.0.act(|m| m.withdraw_suspend(id))
    }

    fn no_offload(&mut self, id: DomainId, _interfaces: usize) -> Result<()> {
        // There are no packets in the model.
        self.0.act(|m| m.vnc_display(id).map(drop))
    }

    fn unpause(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.unpause(id))
    }

    fn pause(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.pause(id))
    }

    fn shutdown(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        match self.0.act(|m| m.request_shutdown(id))? {
            Answer::In(span) => self.0.wait(span, limits),
            Answer::Never => {
                self.0.wait(ACK, limits)?;
                Err(Error::new(
                    ErrorKind::TimedOut,
                    "the guest did not acknowledge the request",
                ))
            }
        }
    }

    fn power_button(&mut self, id: DomainId, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.power_button(id))
    }

    fn destroy(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        let takes = self.0.act(|m| m.begin_destroy(id))?;
        crash_points::point("in the middle of destroy");
        self.0.wait(takes, limits)?;
        self.0.act(|m| m.end_destroy(id))
    }

    fn core_dump(&mut self, id: DomainId, path: &Path, _limits: &Limits) -> Result<()> {
        // libxl writes a dump to its end, whatever it is asked meanwhile.
        self.0.wait(100, &Limits::default())?;
        if self.info(id)?.is_none() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("domain {id} does not exist"),
            ));
        }
        std::fs::write(path, b"simulated core dump\n")
            .map_err(|e| Error::new(ErrorKind::Other, format!("{}: {e}", path.display())))
    }

    fn preserve(&mut self, id: DomainId, suffix: &str, _limits: &Limits) -> Result<()> {
        self.0.act(|m| m.preserve(id, suffix))
    }

    fn strip(&mut self, id: DomainId, limits: &Limits) -> Result<()> {
        self.0.wait(100, limits)?;
        self.0.act(|m| m.strip(id))
    }

    fn soft_reset(&mut self, id: DomainId, _spec: &Spec, limits: &Limits) -> Result<()> {
        self.0.wait(100, limits)?;
        self.0.act(|m| m.soft_reset(id))
    }

    fn pci_devices(&mut self) -> Result<Vec<HostPci>> {
        self.0.act(|m| {
            m.pci_forget();
            Ok(m.pci_devices())
        })
    }

    fn pci_take(&mut self, device: PciAddress) -> Result<()> {
        self.0.wait(100, &Limits::default())?;
        self.0.act(|m| m.pci_take(device))
    }

    fn pci_give_back(&mut self, device: PciAddress, interface: Option<&str>) -> Result<()> {
        self.0.wait(100, &Limits::default())?;
        self.0.act(|m| {
            m.pci_forget();
            m.pci_give_back(device, interface)
        })
    }

    fn console(&mut self, _id: DomainId) -> Result<PathBuf> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "a simulated domain has no console",
        ))
    }

    fn host(&mut self) -> Result<HostInfo> {
        Ok(HostInfo {
            xen_version: "simulated".to_owned(),
            ..self.0.act(|m| Ok(m.host()))?
        })
    }

    fn usage(&mut self) -> Result<Vec<Usage>> {
        self.0.act(|m| Ok(m.usage()))
    }
}

/// Returns the content of a saved domain's file.
pub(super) fn memory_of(uuid: Uuid) -> String {
    format!("simulated memory of {uuid}\n")
}

impl SimSession {
    /// Does something with a guest for which it is suspended. The guest goes on if that fails.
    fn or_go_on(&mut self, id: DomainId, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let done = act(self);
        if let Err(failed) = &done {
            self.0.act(|m| {
                m.bring_back(id, failed);
                Ok(())
            })?;
        }
        done
    }

    /// Suspends the guest, and passes the time in which its memory is written.
    fn suspend(
        &mut self,
        id: DomainId,
        point: &str,
        report: &mut dyn FnMut(Progress),
        limits: &Limits,
    ) -> Result<()> {
        let asked = self.0.act(|m| {
            m.look_no_more(id);
            m.request_suspend(id, SUSPENDS)
        });
        match asked? {
            // The guest suspends a little while after it has acknowledged the request.
            Answer::In(span) => self.0.wait(span + SUSPENDS, limits)?,
            Answer::Never => {
                self.0.wait(ACK, limits)?;
                return Err(Error::new(ErrorKind::TimedOut, "the guest did not suspend"));
            }
        }
        let is_suspended = |seen: &Seen| seen.life == Life::Shutdown(ShutdownReason::SUSPEND);
        let Some(suspended) = self.info(id)?.filter(is_suspended) else {
            return Err(Error::new(ErrorKind::TimedOut, "the guest did not suspend"));
        };
        crash_points::point(point);
        let total = suspended.memory_kib << 10;
        for part in 0..PARTS {
            report(Progress {
                disk: None,
                done: total / PARTS * part,
                total,
                rate: None,
            });
            self.0.wait(WRITES / PARTS, limits)?;
        }
        Ok(())
    }
}
