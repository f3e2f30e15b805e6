//! The target's half of a migration.

use std::{
    fmt,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{INCOMING, words};
use crate::{
    Context, Domain, DomainConfig, Error, Limits, Progress, Result, SavedHeader, limits::Clock,
    log, stream::Wire,
};

const FUNCTION: &str = "migration";
/// What is reported when libxl gave no code of its own (`ERROR_FAIL`).
const FAILED: u8 = 3;

impl Context {
    /// Begins to receive a domain from whoever is at the other end of these descriptors: a program
    /// that calls [`Domain::migrate`], or `xl migrate`. Says that it is ready, and reads the
    /// configuration.
    ///
    /// `limits` hold until everything is here.
    ///
    /// # Errors
    ///
    /// Those of [`SavedHeader::read`].
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

/// It is known what will come. Dropping this refuses it: the guest goes on at the source.
#[derive(Debug)]
#[must_use = "the sender waits to send the domain"]
pub struct Receiver {
    ctx: Context,
    saved: SavedHeader,
    wire: Wire,
    clock: Clock,
}

impl Receiver {
    /// What the domain will be.
    #[must_use]
    pub fn config(&self) -> &DomainConfig {
        &self.saved.config
    }

    /// The same, to fit it to this host: the paths of disks, bridges, and so on.
    pub fn config_mut(&mut self) -> &mut DomainConfig {
        &mut self.saved.config
    }

    /// Makes a paused copy of the guest from what the source sends, called `NAME--incoming`, and
    /// tells the source when it is complete. `report` is called on this thread with every step
    /// forward.
    ///
    /// # Errors
    ///
    /// As [`Context::restore`]. Nothing is left here then, nor after a panic of `report`, and the
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
    /// What it will be called when it may run.
    name: String,
    wire: Wire,
}

/// A complete, paused copy, which must not run before the source has given it away.
///
/// Dropping this destroys the copy; the source then does not get an answer.
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

    /// Waits for GO, starts the guest under its own name, and reports to the source. `limits` are
    /// for the wait.
    ///
    /// # Errors
    ///
    /// When GO does not come, or the guest cannot be started. The copy is destroyed and the guest
    /// given back to the source; see [`ReceiveError`].
    pub fn start(mut self, limits: &Limits) -> Result<Arrived, ReceiveError> {
        let Some(Copy { domain, name, wire }) = self.0.take() else {
            unreachable!("taken only by what consumes the value")
        };
        let clock = Clock::start(limits);
        let go = || -> Result<()> {
            wire.expect(words::GO, "GO", &clock)?;
            if !name.is_empty() {
                domain.rename(&name)?;
            }
            domain.unpause().wait()
        };
        match go() {
            Ok(()) => Ok(Arrived {
                reported: report(&wire, 0),
                domain,
            }),
            Err(error) => Err(ReceiveError {
                given_back: give_back(&domain, &wire, &error),
                error,
            }),
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

fn report(wire: &Wire, code: u8) -> Result<()> {
    let none = Clock::start(&Limits::none());
    let message = [words::REPORT, &[code]].concat();
    wire.send(&message, "the report", &none)
        .map_err(|unwritten| unwritten.error)
}

/// Tells the source that the guest does not run here, makes sure of it, and lets it have it back.
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

/// The guest runs here.
#[derive(Debug)]
pub struct Arrived {
    /// The domain.
    pub domain: Domain,
    /// Whether the source could be told. If not, it is left with a suspended domain and does not
    /// know what to do with it: destroy it.
    pub reported: Result<()>,
}

/// A guest that was received and not started.
#[derive(Debug)]
pub struct ReceiveError {
    /// Why not.
    pub error: Error,
    /// Whether the copy is destroyed and the source has permission to resume its own. If not, the
    /// source does not know what to do.
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
