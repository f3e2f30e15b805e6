//! Migration between two simulated hosts: the phases of xl's protocol, with lines of text.

use std::fs::File;
use std::io::{ErrorKind as Io, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::domain::SimDomain;
use super::engine::Shared;
use super::guest::Millis;
use super::model::Model;
use crate::base::crash_points;
use crate::base::progress::Progress;
use crate::spec::{Mode, Spec};
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::migration::{
    AWAY, Arriving, HandedOver, INCOMING, Landing, Leaving, Peer, Report, SILENCE,
};
use crate::toolstack::operation::Limits;

const BANNER: &str = "simulated receiver";
const READY: &str = "ready";
const GO: &str = "go";
const RUNS: &str = "runs";
const BACK: &str = "back";

/// Time that receiving the memory of a domain takes.
const READS: Millis = 200;
/// Interval at which a wait for the other end looks whether it is to end.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
/// Length of the longest message.
const LONGEST: usize = 1 << 20;

/// The two descriptors, and the limits of everything that is done with them.
struct Wire {
    reader: File,
    writer: File,
    shared: Arc<Shared>,
}

impl Wire {
    fn new(shared: &Arc<Shared>, peer: Peer) -> Self {
        Self {
            reader: OwnedFd::into(peer.reader),
            writer: OwnedFd::into(peer.writer),
            shared: Arc::clone(shared),
        }
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let written = self.writer.write_all(format!("{line}\n").as_bytes());
        written.map_err(|e| lost(&e.to_string()))
    }

    /// Reads one line. The other end may be silent for this long.
    fn hear_within(&mut self, silence: Duration, limits: &Limits) -> Result<String> {
        let begin = self.shared.now();
        let mut heard = begin;
        let allowed = limits.deadline.map_or(u128::MAX, |d| d.as_millis());
        let mut line = Vec::new();
        loop {
            if limits.abort.is_aborted() {
                return Err(Error::new(ErrorKind::Aborted, "aborted"));
            }
            let since = |then| u128::from(self.shared.now().saturating_sub(then));
            if since(begin) >= allowed || since(heard) >= silence.as_millis() {
                let why = "the other end has not answered in time";
                return Err(Error::new(ErrorKind::TimedOut, why));
            }
            let reader = self.reader.as_fd();
            let mut waits = [PollFd::new(&reader, PollFlags::IN)];
            if poll(&mut waits, Some(&LOOK)).unwrap_or(0) == 0 {
                continue;
            }
            let mut byte = [0];
            match self.reader.read(&mut byte) {
                Ok(0) => return Err(lost("it has ended")),
                Ok(_) if byte == *b"\n" => break,
                Ok(_) if line.len() == LONGEST => return Err(lost("it sends nonsense")),
                Ok(_) => {
                    line.push(byte[0]);
                    heard = self.shared.now();
                }
                Err(e) if e.kind() == Io::Interrupted => {}
                Err(e) => return Err(lost(&e.to_string())),
            }
        }
        String::from_utf8(line).map_err(|_| lost("it sends nonsense"))
    }

    fn hear(&mut self, limits: &Limits) -> Result<String> {
        self.hear_within(SILENCE, limits)
    }

    fn expect(&mut self, word: &str, limits: &Limits) -> Result<()> {
        let heard = self.hear(limits)?;
        if heard == word {
            return Ok(());
        }
        Err(lost(&format!("expected {word:?}, and it sent {heard:?}")))
    }
}

fn lost(why: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the other end: {why}"))
}

/// Sends a domain: `suspend` is called once its configuration is sent, and lets the guest go on if it fails.
pub(super) fn send(
    shared: &Arc<Shared>,
    id: DomainId,
    peer: Peer,
    limits: &Limits,
    suspend: impl FnOnce() -> Result<()>,
) -> Result<Box<dyn Leaving>> {
    let mut wire = Wire::new(shared, peer);
    wire.expect(BANNER, limits)?;
    let domain = shared.act(|m| Ok(m.get(id)?.clone()))?;
    let text = serde_json::to_string(&domain).map_err(|e| lost(&e.to_string()))?;
    wire.say(&text)?;
    suspend()?;
    let leaving = SimLeaving {
        id,
        wire: Some(wire),
        shared: Arc::clone(shared),
    };
    // From here on a drop lets the guest go on.
    leaving.sent(limits)
}

struct SimLeaving {
    id: DomainId,
    /// `None` once it was given away.
    wire: Option<Wire>,
    shared: Arc<Shared>,
}

impl SimLeaving {
    fn sent(mut self, limits: &Limits) -> Result<Box<dyn Leaving>> {
        if let Some(wire) = &mut self.wire {
            // The last part: the running time of the guest, and what it is going to do.
            let domain = self.shared.act(|m| Ok(m.get(self.id)?.clone()))?;
            let text = serde_json::to_string(&domain).map_err(|e| lost(&e.to_string()))?;
            wire.say(&text)?;
            wire.expect(READY, limits)?;
        }
        Ok(Box::new(self))
    }

    /// Marks the domain as given away, by its name.
    fn go_away(&self) -> Result<()> {
        let id = self.id;
        self.shared.act(|m| {
            let domain = m.get(id)?;
            if !domain.is_suspended() {
                let why = "somebody has resumed the domain";
                return Err(Error::new(ErrorKind::Other, why));
            }
            let name = domain.name.clone().unwrap_or_default();
            m.rename(id, &format!("{name}{AWAY}"))
        })
    }

    fn come_back(&self) {
        let id = self.id;
        let done = self.shared.act(|m| {
            let name = m.get(id)?.name.clone().unwrap_or_default();
            if let Some(name) = name.strip_suffix(AWAY) {
                m.rename(id, name)?;
            }
            m.resume(id)
        });
        if let Err(e) = done {
            log::warn!("domain {id} does not go on: {e}");
        }
    }
}

impl Leaving for SimLeaving {
    fn hand_over(mut self: Box<Self>, limits: &Limits) -> HandedOver {
        let Some(mut wire) = self.wire.take() else {
            return HandedOver::Undecided(lost("it was given away before"));
        };
        if let Err(e) = self.go_away() {
            self.wire = Some(wire);
            return HandedOver::Kept(e);
        }
        if let Err(e) = wire.say(GO) {
            self.wire = Some(wire);
            return HandedOver::Kept(e);
        }
        crash_points::point("after GO");
        match wire.hear(limits) {
            Ok(word) if word == RUNS => {
                let destroyed = self.shared.act(|m| m.end_destroy(self.id));
                if let Err(e) = destroyed {
                    log::warn!("domain {} could not be destroyed: {e}", self.id);
                }
                HandedOver::Moved
            }
            Ok(word) if word == BACK => {
                self.come_back();
                let why = "the target could not start the guest";
                HandedOver::GivenBack(Error::new(ErrorKind::Other, why))
            }
            Ok(_) => HandedOver::Undecided(lost("it sends nonsense")),
            Err(e) => HandedOver::Undecided(e),
        }
    }
}

impl Drop for SimLeaving {
    fn drop(&mut self) {
        // The other end learns first that no GO will come.
        if let Some(wire) = self.wire.take() {
            drop(wire);
            self.come_back();
        }
    }
}

/// Begins to receive a domain.
pub(super) fn arriving(
    shared: &Arc<Shared>,
    peer: Peer,
    limits: &Limits,
) -> Result<Box<dyn Arriving>> {
    let mut wire = Wire::new(shared, peer);
    wire.say(BANNER)?;
    let text = wire.hear(limits)?;
    let domain = serde_json::from_str(&text).map_err(|e| lost(&e.to_string()))?;
    Ok(Box::new(SimArriving { wire, domain }))
}

struct SimArriving {
    wire: Wire,
    domain: SimDomain,
}

impl Arriving for SimArriving {
    fn spec(&self) -> Result<Spec> {
        Ok(Spec {
            uuid: self.domain.uuid,
            name: self.domain.name.clone().unwrap_or_default(),
            memory_mib: self.domain.memory_mib,
            mode: if self.domain.hvm { Mode::Hvm } else { Mode::Pv },
            extra: self.domain.cmdline.clone(),
            vcpus: 1,
            max_vcpus: 1,
            ..Spec::default()
        })
    }

    fn receive(self: Box<Self>, report: Report<'_>, limits: &Limits) -> Result<Box<dyn Landing>> {
        let Self { mut wire, domain } = *self;
        let shared = Arc::clone(&wire.shared);
        let name = domain.name.clone().unwrap_or_default();
        let id = shared.act(|m| m.arrive(&domain, &format!("{name}{INCOMING}")))?;
        let mut landing = SimLanding {
            id,
            name,
            wire: None,
            granted: false,
            landed: false,
            shared,
        };
        crash_points::point("in the middle of receive");
        // The other end may be waiting for its guest.
        let last = wire.hear_within(SILENCE * libxl::Limits::PATIENCE, limits)?;
        let last: SimDomain = serde_json::from_str(&last).map_err(|e| lost(&e.to_string()))?;
        let total = last.memory_mib << 20;
        report(Progress {
            disk: None,
            done: total / 2,
            total,
            rate: None,
        });
        landing.shared.wait(READS, limits)?;
        landing.shared.act(|m| m.move_in(id, &last))?;
        wire.say(READY)?;
        landing.wire = Some(wire);
        Ok(Box::new(landing))
    }
}

struct SimLanding {
    id: DomainId,
    name: String,
    /// `None` once it has come to an end, and before it is complete.
    wire: Option<Wire>,
    granted: bool,
    landed: bool,
    shared: Arc<Shared>,
}

impl SimLanding {
    /// Destroys the copy, and gives the guest back.
    fn give_back(&mut self) {
        let id = self.id;
        let destroyed = self.shared.act(|m| m.kill(id));
        if let (Some(mut wire), Ok(())) = (self.wire.take(), destroyed) {
            let _ = wire.say(BACK);
        }
    }
}

impl Landing for SimLanding {
    fn id(&self) -> DomainId {
        self.id
    }

    fn wait_for_go(&mut self, limits: &Limits) -> Result<()> {
        let Some(wire) = &mut self.wire else {
            return Err(lost("it is gone"));
        };
        let heard = match wire.hear_within(limits.deadline.unwrap_or(SILENCE), limits) {
            Ok(word) if word == GO => Ok(()),
            Ok(word) => Err(lost(&format!("expected {GO:?}, and it sent {word:?}"))),
            Err(e) => Err(e),
        };
        self.granted = heard.is_ok();
        if heard.is_err() {
            self.give_back();
        }
        heard
    }

    fn start(mut self: Box<Self>) -> Result<()> {
        let (id, name) = (self.id, self.name.clone());
        if !self.granted {
            return Err(lost("there was no GO"));
        }
        self.shared.act(|m| m.land(id, &name))?;
        self.landed = true;
        crash_points::point("before the word");
        if let Some(mut wire) = self.wire.take() {
            // A source that hears nothing asks.
            let _ = wire.say(RUNS);
        }
        Ok(())
    }
}

impl Drop for SimLanding {
    fn drop(&mut self) {
        if !self.landed {
            self.give_back();
        }
    }
}

impl Model {
    /// Builds the receiving end of a migration from another host, paused.
    ///
    /// # Errors
    /// The name is taken, or there is not enough memory.
    pub(super) fn arrive(&mut self, source: &SimDomain, name: &str) -> Result<DomainId> {
        self.check_holds(&source.holds)?;
        let doubles = self.live(source.uuid) > 0;
        let id = self.receiving_end(source.clone(), name.to_owned())?;
        self.doubles += u32::from(doubles);
        Ok(id)
    }

    /// The guest goes on in a received domain with its boot, and its planned shutdowns.
    ///
    /// # Errors
    /// The domain is gone, or the guest is not suspended at its source.
    fn move_in(&mut self, id: DomainId, source: &SimDomain) -> Result<()> {
        if !source.is_suspended() {
            return Err(lost("its guest is not suspended"));
        }
        let new = self.get(id)?;
        let ran = source.ran_ms;
        new.up_at = source.up_at.saturating_sub(ran);
        let plans = source.plans.iter();
        new.plans = plans
            .map(|(at, reason)| (at.saturating_sub(ran), *reason))
            .collect();
        Ok(())
    }

    /// Gives a domain that was given away its name again, and resumes it if it is suspended.
    ///
    /// # Errors
    /// The domain is gone, or the name is taken.
    pub fn take_back(&mut self, id: DomainId, name: &str) -> Result<()> {
        if self.get(id)?.name.as_deref() != Some(name) {
            self.rename(id, name)?;
        }
        if self.get(id)?.is_suspended() {
            self.resume(id)?;
        }
        Ok(())
    }

    /// Gives a received domain its name, and lets it run, if it does not yet.
    ///
    /// # Errors
    /// The domain is gone, or the name is taken.
    pub fn land(&mut self, id: DomainId, name: &str) -> Result<()> {
        if self.get(id)?.name.as_deref() != Some(name) {
            self.rename(id, name)?;
        }
        if self.get(id)?.paused {
            self.unpause(id)?;
        }
        Ok(())
    }
}
