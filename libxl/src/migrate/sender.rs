//! The source's half of a migration.

use std::{
    fmt,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::words;
use crate::{
    Domain, DomainConfig, Error, ErrorKind, Limits, Progress, Result, SavedHeader, Saving,
    SuspendError, Suspended, domain::Claim, limits::Clock, log, stream::Wire,
};

const FUNCTION: &str = "migration";
/// Suffix of a domain's name at the source once it may run at the target.
const AWAY: &str = "--migratedaway";
/// Reason given to others in this process that want to resume a domain after GO.
const GIVEN_AWAY: &str =
    "this process has given the domain away, and waits for the target's report";

impl Domain {
    /// Begins to migrate the domain to the receiver at the other end of these descriptors.
    ///
    /// The receiver is a program that has called
    /// [`Context::receive_migration`](crate::Context::receive_migration), or `xl migrate-receive`.
    /// This call waits for the receiver's banner, and sends the configuration. `limits` apply until
    /// GO.
    ///
    /// # Errors
    ///
    /// When there is no receiver, or it sends the wrong messages; those of the limits. The domain
    /// has not been touched then.
    pub fn migrate(
        &self,
        reader: impl Into<OwnedFd>,
        writer: impl Into<OwnedFd>,
        limits: &Limits,
    ) -> Result<Sender, SuspendError> {
        self.migrate_as(reader, writer, limits, |_| {})
    }

    /// As [`Domain::migrate`], with a configuration that `adapt` has adapted to the receiver's host:
    /// the paths of scripts, bridges, and so on.
    ///
    /// # Errors
    ///
    /// As [`Domain::migrate`].
    pub fn migrate_as(
        &self,
        reader: impl Into<OwnedFd>,
        writer: impl Into<OwnedFd>,
        limits: &Limits,
        adapt: impl FnOnce(&mut DomainConfig),
    ) -> Result<Sender, SuspendError> {
        let wire = Wire::new(FUNCTION, "the receiver", reader.into(), writer.into());
        let clock = Clock::start(limits);
        let begin = || -> Result<SavedHeader> {
            // First, so that a domain that cannot be sent does not trouble the receiver.
            let mut header = self.saved_header(&clock)?;
            adapt(&mut header.config);
            wire.expect(words::BANNER, "its banner", &clock)?;
            header.write_within(wire.writer(), &clock)?;
            Ok(header)
        };
        match begin() {
            Ok(header) => Ok(Sender {
                domain: self.clone(),
                name: header.config.c_info.name,
                wire,
                clock,
                live: true,
            }),
            Err(error) => Err(SuspendError::untouched(
                error.with_domain(Some(self.domid())),
            )),
        }
    }
}

/// A migration whose configuration has been sent. The guest runs. Dropping this value cancels the
/// migration.
#[derive(Debug)]
#[must_use = "the receiver waits for the domain"]
pub struct Sender {
    domain: Domain,
    name: String,
    wire: Wire,
    clock: Clock,
    live: bool,
}

impl Sender {
    /// Suspends the guest before anything of it is sent.
    ///
    /// The guest stands still for longer, but all is sent only once. For a guest that changes its
    /// memory faster than it can be sent.
    pub fn suspended_first(mut self) -> Self {
        self.live = false;
        self
    }

    /// Sends the guest while it runs, suspends it, sends the rest, and waits until the receiver has
    /// everything.
    ///
    /// With [`Sender::suspended_first`] the guest does not run meanwhile. [`Saving::live`] describes when a guest cannot be sent while it runs. `report` is called on
    /// this thread with every step forward.
    ///
    /// # Errors
    ///
    /// After any error the guest goes on running here; see [`SuspendError`].
    pub fn send(self, report: impl FnMut(&Progress)) -> Result<Sent, SuspendError> {
        let Self {
            domain,
            name,
            wire,
            clock,
            live,
        } = self;
        let saving = Saving::new().progress(report);
        let saving = if live { saving.live() } else { saving };
        let suspended = domain.suspend_within(wire.writer(), saving, &clock)?;
        // From here on a drop resumes the guest.
        let sent = Sent(Some(Link {
            leaving: Leaving { suspended, name },
            wire,
            clock,
        }));
        let link = sent.link();
        match link
            .wire
            .expect(words::READY, "word that it has everything", &link.clock)
        {
            Ok(()) => Ok(sent),
            Err(error) => Err(sent.fail(error)),
        }
    }
}

/// State of all phases after [`Sender`].
#[derive(Debug)]
struct Link {
    leaving: Leaving,
    wire: Wire,
    clock: Clock,
}

impl Link {
    /// Renames the domain and sends GO, or does neither. Returns the error of a GO that was sent
    /// only in part.
    fn give_away(&self) -> Result<Option<Error>> {
        self.clock.check(FUNCTION)?;
        self.leaving.go_away()?;
        match self.wire.send(words::GO, "GO", &self.clock) {
            Ok(()) => Ok(None),
            Err(unwritten) if unwritten.written == 0 => {
                self.leaving.come_back();
                Err(unwritten.error)
            }
            // The receiver expects the whole message, but nobody knows what it does with a part.
            Err(unwritten) => Ok(Some(unwritten.error)),
        }
    }
}

/// The domain, and its name while it is not given away.
#[derive(Debug)]
struct Leaving {
    suspended: Suspended,
    name: String,
}

impl Leaving {
    fn domain(&self) -> &Domain {
        self.suspended.domain()
    }

    /// Marks the domain as given away by a new name. Fails if somebody has resumed the domain: it
    /// must not run at the target as well.
    fn go_away(&self) -> Result<()> {
        self.suspended.check(FUNCTION)?;
        if self.name.is_empty() {
            return Ok(());
        }
        let renamed = self.domain().rename(&format!("{}{AWAY}", self.name));
        // Another program may have resumed the domain meanwhile.
        let away = renamed.and_then(|()| self.suspended.check(FUNCTION));
        away.inspect_err(|_| self.come_back())
    }

    fn come_back(&self) {
        let domain = self.domain();
        if self.name.is_empty() || domain.name().is_some_and(|name| name == self.name) {
            return;
        }
        if let Err(error) = domain.rename(&self.name) {
            // Running matters more than the name, so the error is only logged.
            log::error!("domain {}: {error:#}", domain.id());
        }
    }

    fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        Error::new(kind, FUNCTION)
            .with_domain(Some(self.domain().domid()))
            .with_message(text)
    }
}

/// A migration before GO: the receiver has the guest and waits for permission to start it. The
/// domain is suspended here.
///
/// Dropping this value resumes the domain, as every failure before GO does. If somebody else
/// resumes the domain meanwhile, this value can neither give it away nor resume it again, and a
/// later suspend is left alone.
#[derive(Debug)]
#[must_use = "dropping this calls the migration off"]
pub struct Sent(Option<Link>);

impl Sent {
    fn link(&self) -> &Link {
        match &self.0 {
            Some(link) => link,
            None => unreachable!("taken only by what consumes the value"),
        }
    }

    fn take(mut self) -> Link {
        match self.0.take() {
            Some(link) => link,
            None => unreachable!("taken only by what consumes the value"),
        }
    }

    fn fail(self, error: Error) -> SuspendError {
        let Link { leaving, wire, .. } = self.take();
        // Dropped before the guest runs here, so that a receiver that waits for GO learns that none
        // will come.
        drop(wire);
        let error = error.with_domain(Some(leaving.domain().domid()));
        leaving.suspended.recover(error)
    }

    /// Cancels the migration: the guest goes on running here.
    ///
    /// # Errors
    ///
    /// As [`Suspended::resume`].
    pub fn cancel(self) -> Result<()> {
        let Link { leaving, wire, .. } = self.take();
        drop(wire);
        leaving.suspended.resume()
    }

    /// Gives the domain away: renames it, and sends GO. From then on the guest may run at the
    /// target, and only [`Committed::outcome`] reports whether it does.
    ///
    /// # Errors
    ///
    /// Only when GO has certainly not been sent. The guest goes on running here, or was resumed by
    /// somebody else already. The latter is [`ErrorKind::Invalid`], because the target's copy is
    /// out of date.
    pub fn commit(self) -> Result<Committed, SuspendError> {
        // Until there is an outcome, nobody else in this process may resume the domain.
        let Link { leaving, clock, .. } = self.link();
        let claim = match Claim::take(leaving.domain().id(), FUNCTION, clock) {
            Ok(claim) => claim,
            Err(error) => return Err(self.fail(error)),
        };
        claim.lasts(GIVEN_AWAY);
        match self.link().give_away() {
            Ok(half_sent) => Ok(Committed {
                link: self.take(),
                claim,
                half_sent,
            }),
            Err(error) => {
                drop(claim);
                Err(self.fail(error))
            }
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let Some(Link { leaving, wire, .. }) = self.0.take() else {
            return;
        };
        drop(wire);
        let error = leaving.error(ErrorKind::Aborted, "the migration was dropped before GO");
        // A drop may come from a panic; another one would end the process.
        let _ = catch_unwind(AssertUnwindSafe(|| leaving.suspended.recover(error)));
    }
}

/// A migration after GO: the guest may run at the target.
///
/// The domain is suspended here until the target has answered. As long as this value lives,
/// [`Domain::resume`] refuses to resume the domain.
#[derive(Debug)]
#[must_use = "the guest is suspended here, and may run at the target"]
pub struct Committed {
    link: Link,
    claim: Claim,
    /// Error of a GO that was sent only in part.
    half_sent: Option<Error>,
}

impl Committed {
    /// Waits for the target's report, and acts on it.
    ///
    /// Destroys the domain here if the guest runs at the target, resumes it if the guest does not,
    /// and leaves it suspended if that is unknown. `limits` apply to this wait.
    pub fn outcome(self, limits: &Limits) -> Outcome {
        let Link { leaving, wire, .. } = self.link;
        let claim = self.claim;
        let clock = Clock::start(limits);
        let answer = match self.half_sent {
            Some(error) => Err(error),
            None => answer(&wire, &clock),
        };
        match answer {
            Ok(Answer::Started) => Outcome::Moved {
                destroyed: leaving.domain().destroy().wait(),
            },
            Ok(Answer::GivenBack(code)) => {
                // Not a domain that another migration has renamed meanwhile.
                if leaving.suspended.check(FUNCTION).is_ok() {
                    leaving.come_back();
                }
                let text = format!("the target could not start the guest (code {code})");
                let error = leaving.error(ErrorKind::Failed, text);
                Outcome::Rejected(leaving.suspended.recover_claimed(&claim, error))
            }
            Err(error) => Outcome::Undecided(Undecided { leaving, error }),
        }
    }
}

/// Answer of the target after GO.
pub(super) enum Answer {
    Started,
    GivenBack(u8),
}

pub(super) fn answer(wire: &Wire, clock: &Clock) -> Result<Answer> {
    let mut code = [0];
    wire.expect(words::REPORT, "its report", clock)?;
    wire.read(&mut code, "its report", clock)?;
    if code == [0] {
        return Ok(Answer::Started);
    }
    // Until the target gives permission, its copy may still be there.
    wire.expect(words::GO, "permission to resume", clock)?;
    Ok(Answer::GivenBack(code[0]))
}

/// Result of a migration after GO.
#[derive(Debug)]
#[must_use = "an undecided migration needs somebody to decide"]
pub enum Outcome {
    /// The guest runs at the target.
    Moved {
        /// Result of destroying the domain here. The domain must not be resumed, even after an
        /// error.
        destroyed: Result<()>,
    },
    /// The target could not start the guest and has given it back: the guest runs here again,
    /// unless [`SuspendError::source`] shows otherwise.
    Rejected(SuspendError),
    /// The target has not answered. The guest is suspended here.
    Undecided(Undecided),
}

/// A guest that is suspended here, and may run at the target.
///
/// Only somebody who looks at the target can decide. Dropping this value leaves the domain
/// suspended, and called `NAME--migratedaway`.
#[derive(Debug)]
#[must_use = "somebody has to look at the target"]
pub struct Undecided {
    leaving: Leaving,
    error: Error,
}

impl Undecided {
    /// The error that prevented an answer.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        self.leaving.domain()
    }

    /// Gives the domain its name back and resumes it. Only for a guest that does not run at the
    /// target, and never will.
    ///
    /// # Errors
    ///
    /// As [`Suspended::resume`]: somebody else may have decided already.
    pub fn resume_here(self) -> Result<()> {
        let Leaving { suspended, .. } = &self.leaving;
        suspended.go_on(|| self.leaving.come_back())
    }

    /// Destroys the domain here, even if it runs by now. Only for a guest that runs at the target.
    ///
    /// # Errors
    ///
    /// As [`Domain::destroy`].
    pub fn destroy_here(self) -> Result<()> {
        self.leaving.domain().destroy().wait()
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domain {} is suspended here and may run at the target: {}",
            self.leaving.domain().id(),
            self.error
        )
    }
}
