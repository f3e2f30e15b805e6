//! Operations that a worker performs on Xen for the core.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::host::disks::Copies;
use crate::host::remote::Destination;
use crate::spec::Spec;
use crate::spec::change::Change;
use crate::toolstack::DomainId;

/// Domains to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The domain we know. Cheap.
    One(DomainId),
    /// All domains with our uuid.
    All,
}

/// An operation on Xen, or on the files of disks, done by the worker. At most one is outstanding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read the state of these domains.
    Look(Scope),
    /// Find, check, copy and enlarge the images of the disks. The named copies were whole before, and are not made
    /// anew.
    Disks(Arc<Spec>, Copies, BTreeSet<String>),
    /// Find out the VNC display of a domain.
    Screen(DomainId),
    /// List the devices of a running domain that its guest has not connected to.
    Devices(DomainId),
    /// Remove these copies of images.
    Discard(Vec<String>),
    /// Find out which domains are to start before this one.
    Turn,
    /// Reserve the host adapters that the domain is to have, and take them from the host.
    Reserve(Arc<Spec>),
    /// Give up the reserved adapters.
    Release,
    /// Check the files, write the xl.cfg text, create the domain paused.
    Create(Arc<Spec>),
    /// Like [`Op::Create`], but from the file that holds the domain's memory: the agent's own, or this one.
    Restore(Arc<Spec>, Option<String>),
    /// Write the domain's memory to a file, the agent's own or this one. The domain stays suspended afterwards; if the save
    /// fails, it goes on.
    Save(DomainId, Option<String>),
    /// Write the domain's memory to a core dump, where those of crashed guests go or to this file, while it goes on.
    Dump(DomainId, Option<String>),
    /// Send the domain to another host. It is suspended afterwards, and was not given away; if this fails, it goes on.
    Send(DomainId, Arc<Destination>),
    /// Give the domain away that was sent, and wait for the word of the other host.
    HandOver(DomainId),
    /// Ask the other host what became of the domain that was given away.
    Ask(DomainId, Arc<Destination>),
    /// Give a domain that was given away its name again, and let it go on.
    TakeBack(DomainId, String),
    /// Receive the domain from another host, paused.
    Receive(Arc<Spec>, Uuid),
    /// Wait for the other host to give the domain away that was received.
    AwaitGo(DomainId),
    /// Give a domain that was received its name, and let it run.
    Land(DomainId, String),
    /// Remove the file of a saved domain.
    DiscardSaved,
    /// Let a suspended domain go on where it was.
    Resume(DomainId),
    /// Take back the request to suspend that an earlier run of the agent has left to the guest.
    Withdraw(DomainId),
    /// Let a paused domain run.
    Unpause(DomainId),
    /// Pause the domain: take the processors from it.
    Pause(DomainId),
    /// Make this change to a running domain. The specs are those before and after the change.
    Change(DomainId, Arc<Change>, Arc<Spec>, Arc<Spec>),
    /// Ask the guest to power off.
    Shutdown(DomainId),
    /// Press the domain's power button.
    PowerButton(DomainId),
    /// Destroy the domain.
    Destroy(DomainId),
    /// Write the domain's memory to a core dump.
    CoreDump(DomainId),
    /// Keep the domain, with this suffix to its name. To the hypervisor its uuid stays the same.
    Preserve(DomainId, String),
    /// Take the disks and network interfaces from a domain that has shut down: its successor needs them.
    Strip(DomainId),
    /// Restart the domain in place.
    SoftReset(DomainId, Arc<Spec>),
}

impl Op {
    /// Returns whether the operation only looks, and changes nothing.
    pub(super) fn is_look(&self) -> bool {
        matches!(
            self,
            Self::Look(_) | Self::Devices(_) | Self::Screen(_) | Self::Turn
        )
    }

    /// Name of the operation, for logs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Look(_) => "look",
            Self::Disks(..) => "disks",
            Self::Screen(_) => "screen",
            Self::Devices(_) => "devices",
            Self::Discard(_) => "discard",
            Self::Turn => "turn",
            Self::Reserve(_) => "reserve",
            Self::Release => "release",
            Self::Create(_) => "create",
            Self::Restore(..) => "restore",
            Self::Save(..) => "save",
            Self::Dump(..) => "dump",
            Self::Send(..) => "send",
            Self::HandOver(_) => "hand over",
            Self::Ask(..) => "ask",
            Self::TakeBack(..) => "take back",
            Self::Receive(..) => "receive",
            Self::AwaitGo(_) => "await GO",
            Self::Land(..) => "land",
            Self::DiscardSaved => "discard saved",
            Self::Resume(_) => "resume",
            Self::Withdraw(_) => "withdraw",
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

    /// Returns the domain that the operation acts on.
    #[must_use]
    pub fn target(&self) -> Option<DomainId> {
        match *self {
            Self::Look(Scope::One(id))
            | Self::Unpause(id)
            | Self::Save(id, _)
            | Self::Dump(id, _)
            | Self::Send(id, _)
            | Self::HandOver(id)
            | Self::Ask(id, _)
            | Self::TakeBack(id, _)
            | Self::AwaitGo(id)
            | Self::Land(id, _)
            | Self::Resume(id)
            | Self::Withdraw(id)
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
            | Self::Turn
            | Self::Reserve(_)
            | Self::Release
            | Self::Disks(..)
            | Self::Discard(_)
            | Self::DiscardSaved
            | Self::Restore(..)
            | Self::Receive(..)
            | Self::Create(_) => None,
        }
    }
}
