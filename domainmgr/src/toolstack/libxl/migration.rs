//! The two sides of a migration, through libxl.

use std::sync::Arc;

use libxl::migrate::{Granted, Outcome, Received, Receiver, Sent};
use libxl::{DomainState, ShutdownReason};

use super::concurrency::Concurrency;
use super::contexts::{Lent, Loan, run};
use super::hotplug::Hotplug;
use super::translate::{error, translate};
use crate::base::progress::Progress;
use crate::base::queue::Queue;
use crate::spec::{Spec, from_libxl};
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};
use crate::toolstack::migration::{Arriving, HandedOver, Landing, Leaving, Peer, Report, SILENCE};
use crate::toolstack::operation::Limits;

/// Size of a page of memory, in bytes, as libxl counts them.
const PAGE: u64 = 4096;

/// Passes the progress on, as far as it has a length.
pub(super) fn tell(report: &mut dyn FnMut(Progress), progress: &libxl::Progress) {
    // A stage that is only announced has none.
    if progress.total > 0 {
        report(Progress {
            disk: None,
            done: progress.done * PAGE,
            total: progress.total * PAGE,
            rate: None,
        });
    }
}

/// An error of libxl, with the words about what became of the guest.
pub(super) fn with_words(e: libxl::SuspendError) -> Error {
    let message = e.to_string();
    Error {
        message,
        ..error(libxl::Error::from(e))
    }
}

/// Sends a domain.
pub(super) fn send(
    domain: Lent,
    hotplug: &Hotplug,
    peer: Peer,
    live: bool,
    report: Report<'_>,
    limits: &Limits,
) -> Result<Box<dyn Leaving>> {
    let adapt = |config: &mut _| hotplug.forget(config);
    let limits = translate(limits).silence(SILENCE);
    let sender = domain.migrate_as(peer.reader, peer.writer, &limits, adapt);
    let sender = sender.map_err(with_words)?;
    let sender = if live {
        sender
    } else {
        sender.suspended_first()
    };
    let sent = sender
        .send(|progress| tell(report, progress))
        .map_err(with_words)?;
    Ok(Box::new(LibxlLeaving {
        sent,
        _domain: domain,
    }))
}

struct LibxlLeaving {
    // Dropped before the context is given back.
    sent: Sent,
    _domain: Lent,
}

impl Leaving for LibxlLeaving {
    fn hand_over(self: Box<Self>, limits: &Limits) -> HandedOver {
        let Self { sent, _domain } = *self;
        let committed = match sent.commit() {
            Ok(committed) => committed,
            Err(e) => return HandedOver::Kept(with_words(e)),
        };
        match committed.outcome(&translate(limits)) {
            // If the domain could not be destroyed, the agent does that, as with any other.
            Outcome::Moved { .. } => HandedOver::Moved,
            Outcome::Rejected(e) => HandedOver::GivenBack(with_words(e)),
            Outcome::Undecided(undecided) => {
                HandedOver::Undecided(Error::new(ErrorKind::Other, undecided.error().to_string()))
            }
        }
    }
}

/// Begins to receive a domain.
pub(super) fn arriving(
    loan: Loan,
    hotplug: &Arc<Hotplug>,
    queues: &Concurrency,
    peer: Peer,
    limits: &Limits,
) -> Result<Box<dyn Arriving>> {
    let limits = translate(limits).silence(SILENCE);
    let receiver = loan.receive_migration(peer.reader, peer.writer, &limits);
    let mut receiver = receiver.map_err(error)?;
    // Another host's programs may not be here.
    hotplug.forget(receiver.config_mut());
    hotplug.domain(receiver.config_mut());
    Ok(Box::new(LibxlArriving {
        receiver,
        hotplug: Arc::clone(hotplug),
        builds: Arc::clone(&queues.builds),
        loan,
    }))
}

struct LibxlArriving {
    receiver: Receiver,
    hotplug: Arc<Hotplug>,
    builds: Arc<Queue>,
    loan: Loan,
}

impl Arriving for LibxlArriving {
    fn spec(&self) -> Result<Spec> {
        let mut config = self.receiver.config().clone();
        self.hotplug.forget(&mut config);
        let invalid = |why: String| Error::new(ErrorKind::InvalidConfig, why);
        let uuid = config.c_info.uuid;
        let uuid = uuid.ok_or_else(|| invalid("it does not say which domain it is".to_owned()))?;
        from_libxl::domain(uuid, config, false).map_err(invalid)
    }

    fn receive(self: Box<Self>, report: Report<'_>, limits: &Limits) -> Result<Box<dyn Landing>> {
        let Self {
            receiver,
            builds,
            loan,
            ..
        } = *self;
        let _place = builds.take(&limits.abort, limits.urgent)?;
        let received = receiver.receive(|progress| tell(report, progress));
        let received = received.map_err(error)?;
        let id = received.domain().id();
        Ok(Box::new(LibxlLanding {
            id: DomainId {
                domid: id.domid.0,
                uuid: id.uuid,
            },
            stage: Some(Stage::Received(received)),
            _loan: loan,
        }))
    }
}

enum Stage {
    Received(Received),
    Granted(Granted),
}

struct LibxlLanding {
    id: DomainId,
    /// `None` once it has come to nothing. Dropped before the context is given back.
    stage: Option<Stage>,
    _loan: Loan,
}

impl Landing for LibxlLanding {
    fn id(&self) -> DomainId {
        self.id
    }

    fn wait_for_go(&mut self, limits: &Limits) -> Result<()> {
        let Some(Stage::Received(received)) = self.stage.take() else {
            return Err(Error::new(ErrorKind::Other, "GO was waited for already"));
        };
        let granted = received.wait_for_go(&translate(limits));
        self.stage = Some(Stage::Granted(granted.map_err(given_back)?));
        Ok(())
    }

    fn start(mut self: Box<Self>) -> Result<()> {
        let Some(Stage::Granted(granted)) = self.stage.take() else {
            return Err(Error::new(ErrorKind::Other, "there was no GO"));
        };
        let arrived = granted.start().map_err(given_back)?;
        if let Err(e) = arrived.reported {
            log::warn!("the source was not told that the guest runs here: {e:#}");
        }
        Ok(())
    }
}

fn given_back(e: libxl::migrate::ReceiveError) -> Error {
    let message = e.to_string();
    Error {
        message,
        ..error(e.error)
    }
}

/// Gives a domain that was given away its name again, and resumes it if it is suspended.
pub(super) fn take_back(domain: &libxl::Domain, name: &str) -> Result<()> {
    give_name(domain, name)?;
    match domain.info().map_err(error)?.state() {
        DomainState::Shutdown(ShutdownReason::SUSPEND) => domain.resume(true).map_err(error),
        _ => Ok(()),
    }
}

/// Gives a received domain its name, and lets it run.
pub(super) fn land(domain: &libxl::Domain, name: &str, limits: &Limits) -> Result<()> {
    give_name(domain, name)?;
    // An earlier run of the agent may have started it.
    match domain.info().map_err(error)?.state() {
        DomainState::Paused => run(domain.unpause(), limits),
        _ => Ok(()),
    }
}

/// Gives the domain this name, if it has another one.
fn give_name(domain: &libxl::Domain, name: &str) -> Result<()> {
    if domain.name().is_some_and(|now| now == name) {
        return Ok(());
    }
    domain.rename(name).map_err(error)
}
