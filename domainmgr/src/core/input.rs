//! Input of a step: something that a worker has learned.

use std::sync::Arc;

use super::state::moving::Elsewhere;
use super::state::order::Given;
use super::state::wish::Wish;
use crate::base::progress::Progress;
use crate::spec::settings::Settings;
use crate::spec::{Assigned, Spec};
use crate::toolstack::{DomainId, Error, HandedOver, Seen};

/// Something that a worker has learned: the input of [`step`](super::step).
#[derive(Clone, Debug)]
pub enum Input {
    /// The DomainConfig file was read.
    Wish(Wish),
    /// The settings changed.
    Settings(Settings),
    /// An operator has given an order. [`Effect::Answer`](super::Effect::Answer) answers it.
    Order(Given),
    /// Something may have happened to the domain.
    Hint,
    /// The domains that Xen has under our uuid differ from the worker's [`Belief`](super::Belief).
    Resync,
    /// Something that was refused because others had it may be available now.
    Freed,
    /// The time of the last [`Effect::Wake`](super::Effect::Wake) has come.
    Timer,
    /// Progress of the outstanding operation, which copies an image or writes the memory of the domain.
    Progress(Progress),
    /// The outstanding operation ended.
    Done(Outcome),
}

/// A domain that was created or restored.
#[derive(Clone, Debug)]
pub struct Built {
    /// The domain.
    pub id: DomainId,
    /// Memory of the domain in KiB; 0 if unknown.
    pub memory_kib: u64,
    /// Warnings about what the domain was given, with the host as it was then.
    pub doubts: Vec<String>,
}

/// Result of an operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// [`Op::Look`](super::Op::Look).
    Looked(Result<Vec<Seen>, Error>),
    /// [`Op::Disks`](super::Op::Disks): the spec with every path in it.
    Disks(Result<Arc<Spec>, Error>),
    /// [`Op::Turn`](super::Op::Turn): the names of the domains that start first, if there are any; empty if they are not known
    /// yet.
    Turn(Option<String>),
    /// [`Op::Reserve`](super::Op::Reserve).
    Reserved(Result<Assigned, Error>),
    /// [`Op::Create`](super::Op::Create), [`Op::Restore`](super::Op::Restore), [`Op::Receive`](super::Op::Receive).
    Created(Result<Built, Error>),
    /// [`Op::Screen`](super::Op::Screen): the number of the display.
    Screen(Result<Option<u32>, Error>),
    /// [`Op::Devices`](super::Op::Devices): descriptions of the devices that the guest has not connected to.
    Devices(Result<Vec<String>, Error>),
    /// [`Op::HandOver`](super::Op::HandOver).
    HandedOver(HandedOver),
    /// [`Op::Ask`](super::Op::Ask).
    Asked(Result<Elsewhere, Error>),
    /// Any other operation.
    Ended(Result<(), Error>),
}

impl Outcome {
    /// Returns the error, if the operation failed.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Turn(_) => None,
            Self::Looked(result) => result.as_ref().err(),
            Self::Disks(result) => result.as_ref().err(),
            Self::Reserved(result) => result.as_ref().err(),
            Self::Created(result) => result.as_ref().err(),
            Self::Devices(result) => result.as_ref().err(),
            Self::HandedOver(result) => result.error(),
            Self::Asked(result) => result.as_ref().err(),
            Self::Screen(result) => result.as_ref().err(),
            Self::Ended(result) => result.as_ref().err(),
        }
    }
}
