//! The source's half of a migration.

use std::{
    fmt,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{AWAY, words};
use crate::{
    Domain, DomainState, Error, ErrorKind, Limits, Progress, Result, SavedHeader, Saving,
    ShutdownReason, SuspendError, operation::Clock, stream::Wire,
};

const FUNCTION: &str = "migration";

impl Domain {
    /// Begins to migrate the domain to whoever is at the other end of these descriptors, and has
    /// called [`Context::receive_migration`](crate::Context::receive_migration) or is
    /// `xl migrate-receive`: waits for its banner, and sends the configuration.
    ///
    /// `limits` hold until GO.
    ///
    /// # Errors
    ///
    /// When there is no receiver, or none that says the right words; those of the limits. The domain
    /// has not been touched then.
    pub fn migrate(
        &self,
        reader: impl Into<OwnedFd>,
        writer: impl Into<OwnedFd>,
        limits: &Limits,
    ) -> Result<Sender, SuspendError> {
        let wire = Wire::new(FUNCTION, "the receiver", reader.into(), writer.into());
        let clock = Clock::start(limits);
        let begin = || -> Result<SavedHeader> {
            // First, so that a domain that cannot be sent does not trouble the receiver.
            let header = self.saved_header(&clock)?;
            wire.expect(words::BANNER, "its banner", &clock)?;
            header.write_within(wire.writer(), &clock)?;
            Ok(header)
        };
        match begin() {
            Ok(header) => Ok(Sender(Link {
                leaving: Leaving {
                    domain: self.clone(),
                    name: header.config.c_info.name,
                },
                wire,
                clock,
            })),
            Err(error) => Err(SuspendError::untouched(
                error.with_domain(Some(self.domid())),
            )),
        }
    }
}

/// What all phases of the source have.
#[derive(Debug)]
struct Link {
    leaving: Leaving,
    wire: Wire,
    clock: Clock,
}

/// The domain, and what it is called when it is not away.
#[derive(Debug)]
struct Leaving {
    domain: Domain,
    name: String,
}

impl Leaving {
    /// Fails if somebody has resumed it: it must not run at the target as well.
    fn still_suspended(&self) -> Result<()> {
        match self.domain.info()?.state() {
            DomainState::Shutdown(ShutdownReason::SUSPEND) => Ok(()),
            state => Err(self.error(
                ErrorKind::Failed,
                format!("what was sent is out of date: the domain is {state}"),
            )),
        }
    }

    fn go_away(&self) -> Result<()> {
        if self.name.is_empty() {
            return Ok(());
        }
        self.domain.rename(&format!("{}{AWAY}", self.name))
    }

    fn come_back(&self) {
        if self.name.is_empty() || self.domain.name().is_some_and(|name| name == self.name) {
            return;
        }
        if let Err(error) = self.domain.rename(&self.name) {
            // It runs, and that matters more than what it is called.
            log::error!("domain {}: {error:#}", self.domain.id());
        }
    }

    fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        Error::new(kind, FUNCTION)
            .with_domain(Some(self.domain.domid()))
            .with_message(text)
    }
}

/// The receiver is there and knows what will come. The guest runs. Dropping this calls it off.
#[derive(Debug)]
#[must_use = "the receiver waits for the domain"]
pub struct Sender(Link);

impl Sender {
    /// Sends the guest while it runs ([`Saving::live`] says when it cannot), suspends it, sends the
    /// rest, and waits until the receiver has all of it. `report` is called on this thread with every step forward.
    ///
    /// # Errors
    ///
    /// Whatever it is, the guest goes on running here; see [`SuspendError`].
    pub fn send(self, report: impl FnMut(&Progress)) -> Result<Sent, SuspendError> {
        let Link {
            leaving,
            wire,
            clock,
        } = &self.0;
        let saving = Saving::new().live().progress(report);
        let suspended = leaving
            .domain
            .suspend_within(wire.writer(), saving, clock)?;
        drop(suspended);
        // From here on a drop resumes it.
        let sent = Sent(Some(self.0));
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

/// The receiver has the guest and waits for permission to start it. Here it is suspended.
///
/// Dropping this resumes it, as every failure before GO does.
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
        // Before the guest runs here: a receiver that waits for GO hears that none will come.
        drop(wire);
        let error = error.with_domain(Some(leaving.domain.domid()));
        leaving.domain.recover(error)
    }

    /// Calls the migration off: the guest goes on running here.
    ///
    /// # Errors
    ///
    /// When it cannot be resumed.
    pub fn cancel(self) -> Result<()> {
        let Link { leaving, wire, .. } = self.take();
        drop(wire);
        leaving.domain.resume(true)
    }

    /// Gives the domain away: renames it, and sends GO. From then on the guest may run at the
    /// target, and only [`Committed::outcome`] says whether it does.
    ///
    /// # Errors
    ///
    /// Only when GO has certainly not been sent: the guest goes on running here.
    pub fn commit(self) -> Result<Committed, SuspendError> {
        let link = self.link();
        if let Err(error) = link.clock.check(FUNCTION) {
            return Err(self.fail(error));
        }
        if let Err(error) = link.leaving.still_suspended() {
            return Err(self.fail(error));
        }
        if let Err(error) = link.leaving.go_away() {
            link.leaving.come_back();
            return Err(self.fail(error));
        }
        match link.wire.send(words::GO, "GO", &link.clock) {
            Ok(()) => Ok(Committed {
                link: self.take(),
                half_sent: None,
            }),
            Err(unwritten) if unwritten.written == 0 => {
                link.leaving.come_back();
                Err(self.fail(unwritten.error))
            }
            // A part of it is out. The receiver wants all of it, but who knows what it will do.
            Err(unwritten) => Ok(Committed {
                link: self.take(),
                half_sent: Some(unwritten.error),
            }),
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
        let _ = catch_unwind(AssertUnwindSafe(|| leaving.domain.recover(error)));
    }
}

/// GO is out: the guest may run at the target. Here it is suspended, and stays so until the target
/// has spoken.
#[derive(Debug)]
#[must_use = "the guest is suspended here, and may run at the target"]
pub struct Committed {
    link: Link,
    /// GO was sent only in part.
    half_sent: Option<Error>,
}

impl Committed {
    /// Waits for what the target reports, and does what follows: destroys the domain here if it runs
    /// there, resumes it if it does not, and leaves it suspended if there is no telling. `limits`
    /// are for this wait.
    pub fn outcome(self, limits: &Limits) -> Outcome {
        let Link { leaving, wire, .. } = self.link;
        let clock = Clock::start(limits);
        let answer = match self.half_sent {
            Some(error) => Err(error),
            None => answer(&wire, &clock),
        };
        match answer {
            Ok(Answer::Started) => Outcome::Moved {
                destroyed: leaving.domain.destroy().wait(),
            },
            Ok(Answer::GivenBack(code)) => {
                leaving.come_back();
                let text = format!("the target could not start the guest (code {code})");
                let error = leaving.error(ErrorKind::Failed, text);
                Outcome::Rejected(leaving.domain.recover(error))
            }
            Err(error) => Outcome::Undecided(Undecided { leaving, error }),
        }
    }
}

/// What the target has said.
enum Answer {
    Started,
    GivenBack(u8),
}

fn answer(wire: &Wire, clock: &Clock) -> Result<Answer> {
    let mut code = [0];
    wire.expect(words::REPORT, "its report", clock)?;
    wire.read(&mut code, "its report", clock)?;
    if code == [0] {
        return Ok(Answer::Started);
    }
    // Until the target says so, its copy may still be there.
    wire.expect(words::GO, "permission to resume", clock)?;
    Ok(Answer::GivenBack(code[0]))
}

/// How a migration ended, after GO.
#[derive(Debug)]
#[must_use = "an undecided migration needs somebody to decide"]
pub enum Outcome {
    /// The guest runs at the target.
    Moved {
        /// Whether what was left of it here could be destroyed. It must not be resumed.
        destroyed: Result<()>,
    },
    /// The target could not start it and has given it back: it runs here again, unless
    /// [`SuspendError::source`] says otherwise.
    Rejected(SuspendError),
    /// The target has not answered. The guest is suspended here.
    Undecided(Undecided),
}

/// A guest that is suspended here, and runs at the target or not. Only somebody who has looked there
/// can say. Dropping this leaves it as it is: suspended, and called `NAME--migratedaway`.
#[derive(Debug)]
#[must_use = "somebody has to look at the target"]
pub struct Undecided {
    leaving: Leaving,
    error: Error,
}

impl Undecided {
    /// Why there is no answer.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.leaving.domain
    }

    /// It does not run at the target, and never will: gives it its name back, and resumes it.
    ///
    /// # Errors
    ///
    /// As [`Domain::resume`].
    pub fn resume_here(self) -> Result<()> {
        self.leaving.come_back();
        self.leaving.domain.resume(true)
    }

    /// It runs at the target: destroys what is left of it here.
    ///
    /// # Errors
    ///
    /// As [`Domain::destroy`].
    pub fn destroy_here(self) -> Result<()> {
        self.leaving.domain.destroy().wait()
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domain {} is suspended here and may run at the target: {}",
            self.leaving.domain.id(),
            self.error
        )
    }
}
