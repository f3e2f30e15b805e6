//! The two sides of a migration.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::run::Run;
use super::transit::Sent;
use crate::base::progress::{Pace, Progress};
use crate::core::{Built, Elsewhere, Facts};
use crate::host::disks::fingerprint::Fingerprint;
use crate::host::remote::{self, Connection, Destination, Question};
use crate::spec::Spec;
use crate::toolstack::{DomainId, Error, ErrorKind, HandedOver, Limits, Need, Peer};

/// Time for the answer to a question.
const ANSWER: Duration = Duration::from_secs(60);
/// Time for the word of the other host, once the guest was given away.
const WORD: Duration = Duration::from_secs(60);
/// Time for GO, once everything is here.
const GO: Duration = Duration::from_secs(300);

impl Run<'_> {
    pub(super) fn send(
        &mut self,
        id: DomainId,
        to: &Destination,
        limits: &Limits,
    ) -> Result<(), Error> {
        self.sent = None;
        let begun = Instant::now();
        let rest = |most: Option<Duration>| Limits {
            deadline: most.map(|most| most.saturating_sub(begun.elapsed())),
            ..limits.clone()
        };
        let question = self.question()?;
        let other = |why: String| Error::new(ErrorKind::Other, why);
        let asking = to.allowed().unwrap_or(ANSWER).min(ANSWER);
        let (connection, reader, writer) = Connection::open(to).map_err(other)?;
        let peer = Peer { reader, writer };
        if let Err(why) = connection.may_come(to, &peer, &question, &rest(Some(asking))) {
            // The receiver sees the end, and ends.
            drop(peer);
            return Err(other(why));
        }
        // Taken out, because the progress is published meanwhile.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.env.toolstack.session()?,
        };
        let mut pace = Pace::default();
        let mut report = |progress: Progress| {
            if let Some(progress) = pace.due(progress) {
                self.tell(progress);
            }
        };
        let leaving = session.send(
            id,
            peer,
            !to.suspended_first,
            &mut report,
            &rest(to.allowed()),
        );
        self.session = Some(session);
        match leaving {
            Ok(leaving) => {
                self.sent = Some(Sent {
                    leaving,
                    connection,
                });
                Ok(())
            }
            Err(e) if e.kind == ErrorKind::Aborted => Err(e),
            Err(e) => Err(Error::new(e.kind, connection.explain(&e.message))),
        }
    }

    /// Returns what the other host has to have in common with this one.
    fn question(&mut self) -> Result<Question, Error> {
        let host = self.session()?.host()?;
        let spec = self.facts.as_ref().and_then(Facts::built_from);
        let disks = spec.iter().flat_map(|spec| &spec.disks);
        let there = disks.filter(|disk| !disk.path.is_empty());
        let storage = there.map(|disk| {
            let print = Fingerprint::of(&disk.path);
            print.map_err(|e| Error::new(ErrorKind::Other, format!("{}: {e}", disk.path)))
        });
        let given = spec.as_ref().and_then(|spec| spec.given.as_ref());
        let shown = given.is_some_and(|given| !given.b_info.cpuid.cpuid.is_empty());
        Ok(Question {
            xen: host.xen_version,
            cpu: if shown { Vec::new() } else { host.cpu_features },
            storage: storage.collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn hand_over(&mut self, limits: &Limits) -> HandedOver {
        let Some(Sent {
            leaving,
            connection,
        }) = self.sent.take()
        else {
            let why = "the connection is gone";
            return HandedOver::Undecided(Error::new(ErrorKind::Other, why));
        };
        let limits = Limits {
            deadline: Some(WORD),
            ..limits.clone()
        };
        let explain = |e: Error| Error::new(e.kind, connection.explain(&e.message));
        match leaving.hand_over(&limits) {
            HandedOver::Moved => HandedOver::Moved,
            HandedOver::Kept(e) => HandedOver::Kept(explain(e)),
            HandedOver::GivenBack(e) => HandedOver::GivenBack(explain(e)),
            HandedOver::Undecided(e) => HandedOver::Undecided(explain(e)),
        }
    }

    /// Asks the other host what became of the guest.
    pub(super) fn ask(to: &Destination, limits: &Limits) -> Result<Elsewhere, Error> {
        let host = &to.host;
        let other = |why: String| Error::new(ErrorKind::Other, why);
        let limits = Limits {
            deadline: Some(ANSWER),
            ..limits.clone()
        };
        match remote::ask(to, &limits).map_err(other)?.as_str() {
            "runs" => Ok(Elsewhere::Runs),
            "never" => Ok(Elsewhere::Never),
            "pending" => Err(other(format!("{host}: it has not been decided there yet"))),
            said => Err(other(format!(
                "{host}: expected runs, never or pending, found {said:?}"
            ))),
        }
    }

    /// Receives a domain that another host sends.
    pub(super) fn receive(
        &mut self,
        spec: &Arc<Spec>,
        token: Uuid,
        doubts: Vec<String>,
        limits: &Limits,
    ) -> Result<Built, Error> {
        self.landing = None;
        let lost = || Error::new(ErrorKind::Other, "the connection is gone");
        let (arriving, abort) = self.env.arrivals.take(token).ok_or_else(lost)?;
        limits.abort.on_abort(move || abort.abort());
        let settings = self.env.settings.read();
        let policy = settings.unwrap_or_else(PoisonError::into_inner).autoballoon;
        let session = self.session()?;
        // Kept until the domain has its memory.
        let _grant = session.grant_memory(Need::Build(spec), policy, limits)?;
        let mut pace = Pace::default();
        let mut report = |progress: Progress| {
            if let Some(progress) = pace.due(progress) {
                self.tell(progress);
            }
        };
        let landing = arriving.receive(&mut report, limits)?;
        let id = landing.id();
        self.landing = Some(landing);
        let found = self.session()?.info(id).ok().flatten();
        Ok(Built {
            id,
            memory_kib: found.map_or(0, |domain| domain.memory_kib),
            doubts,
        })
    }

    pub(super) fn await_go(&mut self, limits: &Limits) -> Result<(), Error> {
        let token = self.facts.as_ref().and_then(|facts| facts.arrived());
        if let Some(abort) = token.and_then(|(token, _)| self.env.arrivals.abort_of(token)) {
            let ours = limits.abort.clone();
            abort.on_abort(move || ours.abort());
        }
        let limits = Limits {
            deadline: Some(GO),
            ..limits.clone()
        };
        match &mut self.landing {
            Some(landing) => landing.wait_for_go(&limits),
            None => Err(Error::new(ErrorKind::Other, "the connection is gone")),
        }
    }

    /// Lets a domain run that was received here, by this run of the agent or an earlier one.
    pub(super) fn land(&mut self, id: DomainId, name: &str, limits: &Limits) -> Result<(), Error> {
        match self.landing.take() {
            Some(landing) => landing.start(),
            None => self.session()?.land(id, name, limits),
        }
    }

    /// Ends what only this run of the agent could have gone on with.
    pub(super) fn end_migration(&mut self) {
        (self.sent, self.landing) = (None, None);
    }
}
