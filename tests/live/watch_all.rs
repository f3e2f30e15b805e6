//! Watches all domains of the host. Other tests run domains as well, so each test only looks at its own.

use std::collections::HashSet;

use libxl::{DomainEvent, DomainId, Events, HostEvent, Limits, ShutdownReason};

use crate::support::{Guest, Kind, LONG, config, context, tiny_config, unique, watcher};

/// Returns the events of one domain, up to and including the first for which `is_last` returns true.
#[track_caller]
fn events_of(
    id: DomainId,
    events: &Events<HostEvent>,
    is_last: impl Fn(&HostEvent) -> bool,
) -> Vec<HostEvent> {
    let mut found = Vec::new();
    loop {
        let event = events
            .recv_timeout(LONG)
            .unwrap_or_else(|e| panic!("{id}: {e} after {found:?}"));
        let of_it = match &event {
            HostEvent::Appeared { id: of, .. }
            | HostEvent::Changed { id: of, .. }
            | HostEvent::Renamed { id: of, .. } => *of == id,
            _ => panic!("{event}"),
        };
        if of_it {
            let over = is_last(&event);
            found.push(event);
            if over {
                return found;
            }
        }
    }
}

/// Returns a test for events after which the domain has this name, from its first event or from a later one.
fn has_name(name: &str) -> impl Fn(&HostEvent) -> bool {
    move |event| match event {
        HostEvent::Appeared { name: known, .. } => known.as_deref() == Some(name),
        HostEvent::Renamed { to, .. } => to == name,
        _ => false,
    }
}

fn changes_to(wanted: DomainEvent) -> impl Fn(&HostEvent) -> bool {
    move |event| matches!(event, HostEvent::Changed { event, .. } if *event == wanted)
}

const SUSPENDED: DomainEvent = DomainEvent::Shutdown(ShutdownReason::SUSPEND);
const OFF: DomainEvent = DomainEvent::Shutdown(ShutdownReason::POWEROFF);

/// The resync of this watcher comes much later, so all events come from announcements.
#[test]
fn a_domain_is_seen_from_its_first_moment_to_its_last() {
    let ctx = context();
    let watcher = watcher();
    let events = watcher.watch_all().unwrap();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "everywhere", ""));
    let id = guest.id();
    let first = events_of(id, &events, has_name(&guest.name));
    assert!(
        matches!(first[0], HostEvent::Appeared { .. }),
        "the first event of every domain: {first:?}"
    );
    guest.wait_until_up();

    let renamed = unique("renamed");
    guest.domain.rename(&renamed).unwrap();
    events_of(id, &events, has_name(&renamed));
    guest.domain.rename(&guest.name).unwrap();
    events_of(id, &events, has_name(&guest.name));

    let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    events_of(id, &events, changes_to(SUSPENDED));
    suspended.resume().unwrap();
    events_of(id, &events, changes_to(DomainEvent::Resumed));
    guest.domain.shutdown().wait().unwrap();
    events_of(id, &events, changes_to(OFF));
    guest.domain.destroy().wait().unwrap();
    events_of(id, &events, changes_to(DomainEvent::Death));
}

/// Existing domains are named at once, and again to a reader that was too slow.
#[test]
fn all_that_are_there_are_named_at_once_and_after_a_loss() {
    let ctx = context();
    let watcher = watcher();
    let guests: Vec<Guest> = (0..3)
        .map(|_| Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "there", "")))
        .collect();
    let ours: HashSet<DomainId> = guests.iter().map(Guest::id).collect();
    let named = |batch: &[HostEvent]| -> HashSet<DomainId> {
        let ids = batch.iter().filter_map(|event| match event {
            HostEvent::Appeared { id, .. } => Some(*id),
            _ => None,
        });
        ids.filter(|id| ours.contains(id)).collect()
    };
    let events = watcher.watch_all_with(2).unwrap();
    assert_eq!(named(&events.batch().unwrap()), ours);
    let before = events.missed();
    for n in 0..8 {
        guests[0]
            .domain
            .rename(&format!("{}-{n}", guests[0].name))
            .unwrap();
    }
    guests[0].domain.rename(&guests[0].name).unwrap();
    crate::support::wait_for("a loss", || events.missed() > before);
    let batch = events.batch().unwrap();
    assert!(matches!(batch[0], HostEvent::Missed { .. }), "{batch:?}");
    assert_eq!(named(&batch), ours, "{batch:?}");
}
