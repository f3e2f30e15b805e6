//! Events of a domain, on their way to the journal.

use time::format_description::well_known::Rfc3339;

use crate::core;
use crate::journal::Event;

/// Returns an event in the form of the journal.
pub(super) fn row(event: &core::Event) -> Event {
    Event {
        at: event.at.format(&Rfc3339).unwrap_or_default(),
        name: event.name.clone(),
        domid: event.domid,
        what: event.what.clone(),
        detail: event.detail.clone(),
    }
}
