//! Migration of a domain to another host, and from one.
//!
//! Before GO the guest belongs to the source, and afterwards to the target; see [`libxl::migrate`](::libxl::migrate). Each
//! side is split at the moment at which the agent has to remember something: the source before it says GO, and the target
//! after it has heard GO.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::domain::DomainId;
use super::error::{Error, Result};
use super::operation::Limits;
use crate::base::progress::Progress;
use crate::spec::Spec;

/// A connection to the other end of a migration.
#[derive(Debug)]
pub struct Peer {
    /// Descriptor to read from.
    pub reader: OwnedFd,
    /// Descriptor to write to.
    pub writer: OwnedFd,
}

/// Time for which the other end may be silent; while the guest may still run at its source, several times as long. See
/// [`libxl::Limits::silence`](::libxl::Limits::silence).
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// Callback for the progress of a migration.
pub type Report<'a> = &'a mut dyn FnMut(Progress);

/// A guest that the target has received completely. It is suspended here, and has not been given away.
///
/// Dropping it lets the guest go on here.
pub trait Leaving: Send {
    /// Gives the guest away, and waits for the target's word. `limits` apply to that wait.
    fn hand_over(self: Box<Self>, limits: &Limits) -> HandedOver;
}

/// Result of [`Leaving::hand_over`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// The guest was certainly not given away, and goes on here, unless the error says otherwise.
    Kept(Error),
    /// The guest runs at the target. The domain is still here, suspended.
    Moved,
    /// The target could not start the guest, which goes on here, unless the error says otherwise.
    GivenBack(Error),
    /// The target has not answered: the guest may run there. The domain is suspended here.
    Undecided(Error),
}

impl HandedOver {
    /// Returns the error, if the guest has not moved for certain.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Moved => None,
            Self::Kept(e) | Self::GivenBack(e) | Self::Undecided(e) => Some(e),
        }
    }
}

/// A domain that another host is about to send.
///
/// Dropping it refuses the domain: the guest goes on at the source.
pub trait Arriving: Send {
    /// Returns what the domain is to be built from at its next boot here.
    ///
    /// # Errors
    /// Its configuration cannot be used here.
    fn spec(&self) -> Result<Spec>;

    /// Receives the guest as a paused domain called `NAME--incoming`.
    ///
    /// # Errors
    /// Of any kind. The guest goes on at the source, and a half-built domain may be left here: look for it.
    fn receive(self: Box<Self>, report: Report<'_>, limits: &Limits) -> Result<Box<dyn Landing>>;
}

/// A complete, paused copy of a guest. It must not run before it is [granted](Landing::wait_for_go).
///
/// Dropping it gives the guest back to the source, and destroys the copy.
pub trait Landing: Send {
    /// Returns the domain.
    fn id(&self) -> DomainId;

    /// Waits for GO, once. From then on the guest may run here, and only here.
    ///
    /// # Errors
    /// GO does not come: the copy is destroyed, and the guest goes on at the source.
    fn wait_for_go(&mut self, limits: &Limits) -> Result<()>;

    /// Gives the domain its name, lets it run, and tells the source. Only after [`Landing::wait_for_go`].
    ///
    /// # Errors
    /// The domain cannot be started: the copy is destroyed, and the guest given back to the source.
    fn start(self: Box<Self>) -> Result<()>;
}

/// Suffix of the name of a domain that is being received.
pub const INCOMING: &str = "--incoming";

/// Suffix of the name of a domain that was given away.
pub const AWAY: &str = "--migratedaway";
