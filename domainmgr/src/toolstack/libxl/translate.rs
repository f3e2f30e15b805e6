//! Translation between the agent's types and those of libxl.

use libxl::{AbortHandle, Context, DomId, DomainInfo, DomainState};

use super::qemu::Models;
use crate::spec::ShutdownReason;
use crate::toolstack::domain::{DomainId, Life, Seen};
use crate::toolstack::error::{Error, ErrorKind, no_descriptors};
use crate::toolstack::operation::Limits;

/// Returns the id in libxl's type.
pub(super) fn theirs(id: DomainId) -> libxl::DomainId {
    libxl::DomainId {
        domid: DomId(id.domid),
        uuid: id.uuid,
    }
}

/// Returns the facts about a domain, with its name.
pub(super) fn seen(reader: &Context, models: &Models, info: &DomainInfo) -> Seen {
    let id = DomainId {
        domid: info.domid.0,
        uuid: info.uuid,
    };
    Seen {
        id,
        orphaned: models.is_orphaned(id),
        name: reader.domid_to_name(info.domid).filter(|n| !n.is_empty()),
        life: match info.state() {
            DomainState::Running => Life::Running,
            DomainState::Paused => Life::Paused,
            DomainState::Shutdown(reason) => Life::Shutdown(ShutdownReason(reason.0)),
            DomainState::Dying => Life::Dying,
        },
        cpu_time_ns: info.cpu_time_ns,
        memory_kib: info.current_memkb,
    }
}

/// Returns the limits of an operation in the form that libxl's operations take.
pub(super) fn translate(limits: &Limits) -> libxl::Limits {
    let abort = AbortHandle::new();
    let mut theirs = libxl::Limits::none().abort_with(&abort);
    limits.abort.on_abort(move || abort.abort());
    if let Some(deadline) = limits.deadline {
        theirs = theirs.deadline(deadline);
    }
    theirs
}

/// Translates an error of libxl, with the reason from libxl's log.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn error(e: libxl::Error) -> Error {
    use libxl::ErrorKind as Theirs;
    let kind = match e.kind() {
        Theirs::DomainNotFound | Theirs::DomainDestroyed => ErrorKind::NotFound,
        Theirs::NoParavirt => ErrorKind::NoParavirt,
        Theirs::TimedOut | Theirs::GuestTimedOut => ErrorKind::TimedOut,
        Theirs::Aborted => ErrorKind::Aborted,
        Theirs::NoMemory => ErrorKind::NoMemory,
        Theirs::Unsupported => ErrorKind::Unsupported,
        // libxl does not report which resource it lacked.
        _ if no_descriptors() => ErrorKind::Exhausted,
        _ => ErrorKind::Other,
    };
    // The cause is in the messages that libxl logged. They are joined into one line.
    let text = format!("{e:#}");
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    Error::new(kind, lines.join("; "))
}
