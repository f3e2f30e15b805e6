//! Who hears of what, as reading and watching Xen, xenstored and libxl has shown.
//!
//! Xen tells xenstored that *some* domain stopped. xenstored looks at all, and fires `@releaseDomain` for each shutdown
//! it had not seen yet and for each death; what has shut down counts as seen until it is told of a resume. A source of
//! events in libxl then looks at *its number*: it reports one shutdown and one death in its life, and cannot tell
//! whether the number has become another's. Nothing announces a resume, a pause or a new name, and a guest that
//! suspends through an event channel is not announced either.

use std::collections::BTreeMap;

use super::domain::SimDomain;
use super::model::Model;

/// All sources of events of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    /// `@releaseDomain` has fired, and libxl has not looked yet.
    fired: bool,
    next: u64,
    sources: BTreeMap<u64, Source>,
}

#[derive(Clone, Debug)]
struct Source {
    domid: u32,
    shutdown_reported: bool,
    death_reported: bool,
}

impl Model {
    /// Arms a source of events for a number. The first one sets the watch, which fires at once.
    pub fn arm(&mut self, domid: u32) -> u64 {
        let events = &mut self.events;
        events.fired |= events.sources.is_empty();
        events.next += 1;
        events.sources.insert(
            events.next,
            Source {
                domid,
                shutdown_reported: false,
                death_reported: false,
            },
        );
        events.next
    }

    /// Ends a source of events.
    pub fn disarm(&mut self, source: u64) {
        self.events.sources.remove(&source);
    }

    /// Whether libxl would find something to look at.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.events.fired
    }

    /// What libxl would have looked at is lost. A later event makes up for it.
    pub fn lose_events(&mut self) {
        self.events.fired = false;
    }

    /// Lets libxl look: which sources have something to report now. What was and is no more, is not reported.
    pub fn take_reported(&mut self) -> Vec<u64> {
        if !std::mem::take(&mut self.events.fired) {
            return Vec::new();
        }
        let mut reported = Vec::new();
        for (number, source) in &mut self.events.sources {
            if source.death_reported {
                continue;
            }
            let domain = self.domains.get(&source.domid);
            match domain.filter(|d| d.dying_until.is_none()) {
                None => source.death_reported = true,
                Some(d) if d.shutdown.is_some() && !source.shutdown_reported => {
                    source.shutdown_reported = true;
                }
                Some(_) => continue,
            }
            reported.push(*number);
        }
        reported
    }

    /// Xen tells xenstored that some domain has stopped.
    pub(super) fn exception(&mut self, death: bool) {
        self.events.fired |= death;
        for d in self.domains.values_mut().filter(|d| d.shutdown.is_some()) {
            self.events.fired |= !std::mem::replace(&mut d.announced, true);
        }
    }

    /// A guest stops by itself.
    pub(super) fn stop(&mut self, domid: u32, reason: u8) {
        let now = self.now;
        let Some(d) = self.domains.get_mut(&domid) else {
            return;
        };
        d.stop_running(now);
        d.shutdown = Some(reason);
        if !(d.is_suspended() && d.guest.event_channel) {
            self.exception(false);
        }
    }
}

impl SimDomain {
    pub(super) fn is_suspended(&self) -> bool {
        self.shutdown == Some(super::super::ShutdownReason::SUSPEND.0)
    }
}
