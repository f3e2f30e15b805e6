//! The target's half of a migration.

use std::{
    fmt,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::words;
use crate::{
    Context, Domain, DomainConfig, Error, ErrorKind, Limits, Progress, Result, SavedHeader,
    limits::Clock, log, stream::Wire,
};

const FUNCTION: &str = "migration";
/// Suffix of a domain's name at the target while it may not run there yet.
const INCOMING: &str = "--incoming";
/// Code that is reported when libxl gave none of its own (`ERROR_FAIL`).
const FAILED: u8 = 3;

impl Context {
    /// Begins to receive a domain from the sender at the other end of these descriptors.
    ///
    /// The sender is a program that calls [`Domain::migrate`], or `xl migrate`. This call sends the
    /// banner and reads the configuration. `limits` apply until the whole domain has been received.
    ///
    /// # Errors
    ///
    /// The errors of [`SavedHeader::read`].
    pub fn receive_migration(
        &self,
        reader: impl Into<OwnedFd>,
        writer: impl Into<OwnedFd>,
        limits: &Limits,
    ) -> Result<Receiver> {
        let wire = Wire::new(FUNCTION, "the sender", reader.into(), writer.into());
        let clock = Clock::start(limits);
        wire.send(words::BANNER, "the banner", &clock)
            .map_err(|unwritten| unwritten.error)?;
        let saved = SavedHeader::read_within(wire.reader(), &clock)?;
        Ok(Receiver {
            ctx: self.clone(),
            saved,
            wire,
            clock,
        })
    }
}

/// A migration whose configuration has been received. Dropping it refuses the domain: the guest
/// goes on at the source.
#[derive(Debug)]
#[must_use = "the sender waits to send the domain"]
pub struct Receiver {
    ctx: Context,
    saved: SavedHeader,
    wire: Wire,
    clock: Clock,
}

impl Receiver {
    /// Configuration of the domain that will be received.
    #[must_use]
    pub fn config(&self) -> &DomainConfig {
        &self.saved.config
    }

    /// The same configuration, to adapt it to this host: the paths of disks, bridges, and so on.
    pub fn config_mut(&mut self) -> &mut DomainConfig {
        &mut self.saved.config
    }

    /// Receives the guest as a paused copy called `NAME--incoming`, and tells the source when the
    /// copy is complete.
    ///
    /// `report` is called on this thread with every step forward.
    ///
    /// # Errors
    ///
    /// As [`Context::restore`]. No copy is left here then, nor after a panic of `report`, and the
    /// guest goes on at the source.
    pub fn receive(self, report: impl FnMut(&Progress)) -> Result<Received> {
        let Self {
            ctx,
            saved,
            wire,
            clock,
        } = self;
        let mut config = saved.config;
        let name = config.c_info.name.clone();
        if !name.is_empty() {
            config.c_info.name.push_str(INCOMING);
        }
        let domain = ctx.restore_within(&config, wire.reader(), &clock, report)?;
        let received = Received(Some(Copy { domain, name, wire }));
        // If this fails, the drop destroys the copy.
        received
            .copy()
            .wire
            .send(words::READY, "word that everything is here", &clock)
            .map_err(|unwritten| unwritten.error)?;
        Ok(received)
    }
}

#[derive(Debug)]
struct Copy {
    domain: Domain,
    /// Name of the domain once it may run.
    name: String,
    wire: Wire,
}

/// A complete, paused copy, which must not run before the source has given the guest away.
///
/// Dropping this value destroys the copy; the source then gets no answer.
#[derive(Debug)]
#[must_use = "dropping this destroys what was received"]
pub struct Received(Option<Copy>);

impl Received {
    fn copy(&self) -> &Copy {
        match &self.0 {
            Some(copy) => copy,
            None => unreachable!("taken only by what consumes the value"),
        }
    }

    /// The copy. Do not unpause it.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.copy().domain
    }

    /// Waits for GO, starts the guest under its own name, and reports to the source. `limits` apply
    /// to the wait.
    ///
    /// # Errors
    ///
    /// When GO does not come, or the guest cannot be started. The copy is destroyed and the guest
    /// given back to the source; see [`ReceiveError`].
    pub fn start(self, limits: &Limits) -> Result<Arrived, ReceiveError> {
        self.wait_for_go(limits)?.start()
    }

    /// Waits for GO, and starts nothing yet. `limits` apply to the wait.
    ///
    /// For a program that has to remember, before the guest runs, that it was given the guest.
    ///
    /// # Errors
    ///
    /// When GO does not come. The copy is destroyed and the guest given back to the source; see
    /// [`ReceiveError`].
    pub fn wait_for_go(mut self, limits: &Limits) -> Result<Granted, ReceiveError> {
        let Some(copy) = self.0.take() else {
            unreachable!("taken only by what consumes the value")
        };
        let clock = Clock::start(limits);
        match copy.wire.expect(words::GO, "GO", &clock) {
            Ok(()) => Ok(Granted(Some(copy))),
            Err(error) => Err(copy.give_back(error)),
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let Some(Copy { domain, .. }) = self.0.take() else {
            return;
        };
        // A drop may come from a panic; another one would end the process.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let Err(error) = domain.destroy().wait() {
                log::error!("a copy that must not run is left behind: {error:#}");
            }
        }));
    }
}

/// A complete, paused copy that the source has given away: it may run here, and only here.
///
/// Dropping this value gives the guest back to the source.
#[derive(Debug)]
#[must_use = "dropping this gives the guest back"]
pub struct Granted(Option<Copy>);

impl Granted {
    /// The copy. Do not unpause it.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        match &self.0 {
            Some(copy) => &copy.domain,
            None => unreachable!("taken only by what consumes the value"),
        }
    }

    /// Starts the guest under its own name, and reports to the source.
    ///
    /// # Errors
    ///
    /// When the guest cannot be started. The copy is destroyed and the guest given back to the
    /// source; see [`ReceiveError`].
    pub fn start(mut self) -> Result<Arrived, ReceiveError> {
        let Some(copy) = self.0.take() else {
            unreachable!("taken only by what consumes the value")
        };
        match copy.run() {
            Ok(()) => Ok(Arrived {
                reported: report(&copy.wire, 0),
                domain: copy.domain,
            }),
            Err(error) => Err(copy.give_back(error)),
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        let Some(copy) = self.0.take() else {
            return;
        };
        let error = Error::new(ErrorKind::Aborted, FUNCTION)
            .with_domain(Some(copy.domain.domid()))
            .with_message("the receiver gave up after GO");
        // A drop may come from a panic; another one would end the process.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let Err(error) = copy.give_back(error).given_back {
                log::error!("a copy that must not run may be left behind: {error:#}");
            }
        }));
    }
}

impl Copy {
    fn run(&self) -> Result<()> {
        if !self.name.is_empty() {
            self.domain.rename(&self.name)?;
        }
        self.domain.unpause().wait()
    }

    fn give_back(&self, error: Error) -> ReceiveError {
        ReceiveError {
            given_back: give_back(&self.domain, &self.wire, &error),
            error,
        }
    }
}

fn report(wire: &Wire, code: u8) -> Result<()> {
    let none = Clock::start(&Limits::none());
    let message = [words::REPORT, &[code]].concat();
    wire.send(&message, "the report", &none)
        .map_err(|unwritten| unwritten.error)
}

/// Reports to the source that the guest does not run here, destroys the copy, and permits the
/// source to resume the guest.
fn give_back(domain: &Domain, wire: &Wire, why: &Error) -> Result<()> {
    let code = why
        .raw_code()
        .and_then(|code| u8::try_from(code.checked_neg()?).ok())
        .filter(|code| *code != 0)
        .unwrap_or(FAILED);
    let reported = report(wire, code);
    match domain.destroy().wait() {
        Err(error) if !error.is_domain_gone() => return Err(error),
        _ => {}
    }
    reported?;
    let none = Clock::start(&Limits::none());
    wire.send(words::GO, "permission to resume", &none)
        .map_err(|unwritten| unwritten.error)
}

/// A guest that has been received and runs here.
#[derive(Debug)]
pub struct Arrived {
    /// The domain.
    pub domain: Domain,
    /// Result of the report to the source. After an error the source keeps a suspended domain and
    /// does not know what to do with it: destroy that domain.
    pub reported: Result<()>,
}

/// The error for a guest that was received but not started.
#[derive(Debug)]
pub struct ReceiveError {
    /// Cause of the failure.
    pub error: Error,
    /// `Ok` if the copy is destroyed and the source has permission to resume its own domain. After
    /// an error the source does not know what to do.
    pub given_back: Result<()>,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)?;
        match &self.given_back {
            Ok(()) => f.write_str("; the guest was given back to the source"),
            Err(error) => write!(f, "; the guest could not be given back: {error}"),
        }
    }
}

impl std::error::Error for ReceiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}
