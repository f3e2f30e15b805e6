//! Delivery of events, modelled on the source code and the observed behaviour of Xen, xenstored and libxl.
//!
//! Xen tells xenstored that *some* domain stopped. xenstored looks at all domains, and fires `@releaseDomain` for each
//! shutdown that it had not seen yet and for each death. A shutdown counts as seen until xenstored is told of a resume. A
//! source of events in libxl then looks at *its domid*: it reports one shutdown and one death in its life, and cannot tell
//! whether the domid now belongs to another domain. Nothing announces a resume, a pause or a new name, and a guest that
//! suspends through an event channel is not announced either.

use super::model::Model;
use super::sources::Source;

impl Model {
    /// Arms a source of events for a domid. The first source sets the watch, which fires at once.
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

    /// Returns true if libxl has something to look at.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.events.fired
    }

    /// Loses the event that libxl would have looked at. A later event makes up for the loss.
    pub fn lose_events(&mut self) {
        self.events.fired = false;
    }

    /// Lets libxl look, and returns the sources that have something to report now. A state that has passed is not reported.
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

    /// Stops a guest with this reason.
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::super::{DomainId, ShutdownReason};
    use super::*;

    const OURS: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const NONE: [u64; 0] = [];

    /// A host with two domains, and a source for the first one that has nothing to report yet.
    fn host() -> (Model, DomainId, DomainId, u64) {
        let mut xen = Model::new(64);
        let mut domain = |name, uuid| DomainId {
            domid: xen.outsider(uuid, name, None),
            uuid,
        };
        let (id, other) = (domain("a", OURS), domain("b", OTHER));
        let source = xen.arm(id.domid);
        assert!(xen.has_fired(), "the first source sets the watch");
        assert_eq!(xen.take_reported(), NONE);
        (xen, id, other, source)
    }

    #[test]
    fn a_source_reports_one_shutdown_and_then_one_death() {
        let (mut xen, id, _, source) = host();
        xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
        assert_eq!(xen.take_reported(), [source]);
        xen.resume(id).unwrap();
        assert!(!xen.has_fired(), "nobody announces a resume");
        xen.shut_down(id, ShutdownReason::POWEROFF).unwrap();
        assert!(xen.has_fired());
        assert_eq!(xen.take_reported(), NONE, "its one shutdown is used up");
        // Another one, armed too late for the event, has to wait for the next.
        let second = xen.arm(id.domid);
        assert_eq!(xen.take_reported(), NONE);
        xen.kill(id).unwrap();
        assert_eq!(xen.take_reported(), [source, second]);
        xen.advance(1000);
        xen.exception(true);
        assert_eq!(xen.take_reported(), NONE);
    }

    #[test]
    fn a_source_that_is_armed_while_its_domain_is_suspended_reports_that_once_more() {
        let (mut xen, id, other, source) = host();
        xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
        assert_eq!(xen.take_reported(), [source]);
        let second = xen.arm(id.domid);
        xen.disarm(source);
        xen.kill(other).unwrap();
        assert_eq!(xen.take_reported(), [second]);
    }

    #[test]
    fn what_was_and_is_no_more_is_not_reported() {
        let (mut xen, id, _, source) = host();
        xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
        xen.resume(id).unwrap();
        assert_eq!(xen.take_reported(), NONE);
        xen.shut_down(id, ShutdownReason::CRASH).unwrap();
        assert_eq!(xen.take_reported(), [source]);
    }

    #[test]
    fn between_the_halves_of_a_resume_nothing_is_announced_until_something_else_is() {
        let (mut xen, id, other, source) = host();
        xen.shut_down(id, ShutdownReason::SUSPEND).unwrap();
        assert_eq!(xen.take_reported(), [source]);
        let second = xen.arm(id.domid);
        xen.resume_in_xen(id).unwrap();
        xen.shut_down(id, ShutdownReason::POWEROFF).unwrap();
        xen.resume_in_xenstore(id).unwrap();
        assert!(!xen.has_fired());
        xen.kill(other).unwrap();
        assert_eq!(xen.take_reported(), [second]);
    }

    #[test]
    fn a_source_follows_its_number_to_another_domain() {
        let (mut xen, id, _, source) = host();
        xen.kill(id).unwrap();
        xen.advance(1000);
        xen.outsider(OTHER, "taker", Some(id.domid));
        assert_eq!(xen.take_reported(), NONE, "the death is lost");
        let taker = DomainId { uuid: OTHER, ..id };
        xen.kill(taker).unwrap();
        assert_eq!(xen.take_reported(), [source]);
    }

    #[test]
    fn pauses_and_names_are_not_announced() {
        let (mut xen, id, ..) = host();
        xen.pause(id).unwrap();
        xen.rename(id, "c").unwrap();
        xen.unpause(id).unwrap();
        assert!(!xen.has_fired());
    }
}
