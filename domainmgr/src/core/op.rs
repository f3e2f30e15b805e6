//! What a worker does to Xen when the core says so.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::change::Change;
use crate::disks::Copies;
use crate::spec::Spec;
use crate::toolstack::DomainId;

/// Which domains to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one we know. Cheap.
    One(DomainId),
    /// All with our uuid.
    All,
}

/// An operation on Xen, or on the files of disks, done by the worker. At most one is outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read what is.
    Look(Scope),
    /// Find, check, copy and enlarge what the disks are made of. These copies were whole before: they are not made anew.
    Disks(Arc<Spec>, Copies, BTreeSet<String>),
    /// Find out which VNC display a domain has.
    Screen(DomainId),
    /// See which devices of a running domain its guest has not connected to.
    Devices(DomainId),
    /// Remove these copies of images.
    Discard(Vec<String>),
    /// Reserve the adapters of the host that it is to have, and have them taken from the host.
    Reserve(Arc<Spec>),
    /// Give up what is reserved.
    Release,
    /// Check the files, write the xl.cfg text, create the domain paused.
    Create(Arc<Spec>),
    /// As [`Op::Create`], from the file in which its memory is.
    Restore(Arc<Spec>),
    /// Write its memory to a file, after which it stays suspended. If that fails it goes on.
    Save(DomainId),
    /// Remove that file.
    DiscardSaved,
    /// Let a suspended domain go on where it was.
    Resume(DomainId),
    /// Let it run.
    Unpause(DomainId),
    /// Take its processors from it.
    Pause(DomainId),
    /// Have a running domain be as this says, which has the first of these specs, and then the second.
    Change(DomainId, Arc<Change>, Arc<Spec>, Arc<Spec>),
    /// Ask the guest to power off.
    Shutdown(DomainId),
    /// Press its power button.
    PowerButton(DomainId),
    /// Destroy it.
    Destroy(DomainId),
    /// Write its memory to a file.
    CoreDump(DomainId),
    /// Keep it with this added to its name. To the hypervisor its uuid stays the same.
    Preserve(DomainId, String),
    /// Take the disks and network interfaces from a domain that has shut down: its successor needs them.
    Strip(DomainId),
    /// Restart it in place.
    SoftReset(DomainId, Arc<Spec>),
}

impl Op {
    /// A word for logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Look(_) => "look",
            Self::Disks(..) => "disks",
            Self::Screen(_) => "screen",
            Self::Devices(_) => "devices",
            Self::Discard(_) => "discard",
            Self::Reserve(_) => "reserve",
            Self::Release => "release",
            Self::Create(_) => "create",
            Self::Restore(_) => "restore",
            Self::Save(_) => "save",
            Self::DiscardSaved => "discard saved",
            Self::Resume(_) => "resume",
            Self::Unpause(_) => "unpause",
            Self::Pause(_) => "pause",
            Self::Change(..) => "change",
            Self::Shutdown(_) => "shutdown",
            Self::PowerButton(_) => "power button",
            Self::Destroy(_) => "destroy",
            Self::CoreDump(_) => "core dump",
            Self::Preserve(..) => "preserve",
            Self::Strip(_) => "strip",
            Self::SoftReset(..) => "soft reset",
        }
    }

    /// The domain it acts on.
    #[must_use]
    pub fn target(&self) -> Option<DomainId> {
        match *self {
            Self::Look(Scope::One(id))
            | Self::Unpause(id)
            | Self::Save(id)
            | Self::Resume(id)
            | Self::Pause(id)
            | Self::Shutdown(id)
            | Self::PowerButton(id)
            | Self::Destroy(id)
            | Self::CoreDump(id)
            | Self::Preserve(id, _)
            | Self::Strip(id)
            | Self::Devices(id)
            | Self::Screen(id)
            | Self::Change(id, ..)
            | Self::SoftReset(id, _) => Some(id),
            Self::Look(Scope::All)
            | Self::Reserve(_)
            | Self::Release
            | Self::Disks(..)
            | Self::Discard(_)
            | Self::DiscardSaved
            | Self::Restore(_)
            | Self::Create(_) => None,
        }
    }
}
