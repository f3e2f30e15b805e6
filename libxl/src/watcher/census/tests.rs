use uuid::Uuid;

use super::{Census, FORMER, HostEvent};
use crate::{DomId, DomainEvent, DomainId, DomainState, ShutdownReason};

fn id(domid: u32, uuid: u128) -> DomainId {
    DomainId {
        domid: DomId(domid),
        uuid: Uuid::from_u128(uuid),
    }
}

const RUNS: DomainState = DomainState::Running;
const OFF: ShutdownReason = ShutdownReason::POWEROFF;

/// Reports a domain, and returns the id that its UUID had before.
fn appears(census: &mut Census, id: DomainId) -> Option<DomId> {
    match census.appeared(id, None, RUNS) {
        HostEvent::Appeared { former, .. } => former,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_domain_is_new_once() {
    let mut census = Census::default();
    let list = [
        (id(0, 0), RUNS),
        (id(1, 1), RUNS),
        (id(2, 2), DomainState::Dying),
        (id(3, 3), DomainState::Shutdown(OFF)),
    ];
    let new = census.unknown(list.into_iter());
    assert_eq!(new, [list[1], list[3]], "neither dom0 nor one that dies");
    for (id, state) in new {
        census.appeared(id, None, state);
    }
    assert_eq!(census.unknown(list.into_iter()), []);
    // The id is another domain's by now.
    let other = (id(1, 7), RUNS);
    assert_eq!(census.unknown([other].into_iter()), [other]);
}

#[test]
fn a_dead_domain_says_nothing_more() {
    let mut census = Census::default();
    let domain = id(5, 5);
    assert_eq!(census.changed(domain, DomainEvent::Death), None);
    census.appeared(domain, Some("web".into()), RUNS);
    let death = HostEvent::Changed {
        id: domain,
        event: DomainEvent::Death,
    };
    assert_eq!(census.changed(domain, DomainEvent::Death), Some(death));
    assert_eq!(census.changed(domain, DomainEvent::Death), None);
    assert_eq!(census.named(domain, Some("other".into())), None);
    assert!(!census.knows(domain) && census.level().is_empty());
}

#[test]
fn a_name_is_news_when_it_is_another() {
    let mut census = Census::default();
    let domain = id(5, 5);
    census.appeared(domain, None, RUNS);
    let renamed = |from: Option<&str>, to: &str| HostEvent::Renamed {
        id: domain,
        from: from.map(str::to_owned),
        to: to.to_owned(),
    };
    let mut named = |name: Option<&str>| census.named(domain, name.map(str::to_owned));
    assert_eq!(named(None), None);
    assert_eq!(named(Some("a")), Some(renamed(None, "a")));
    assert_eq!(named(Some("a")), None);
    assert_eq!(named(None), None, "it is being taken apart");
    assert_eq!(named(Some("b")), Some(renamed(Some("a"), "b")));
}

#[test]
fn a_domain_that_comes_back_says_which_id_it_had() {
    let mut census = Census::default();
    assert_eq!(appears(&mut census, id(1, 9)), None);
    census.changed(id(1, 9), DomainEvent::Death);
    assert_eq!(appears(&mut census, id(2, 9)), Some(DomId(1)), "restarted");
    // It migrates to the same host: for a while there are two.
    assert_eq!(appears(&mut census, id(3, 9)), Some(DomId(2)));
    for n in 0..u32::try_from(FORMER).unwrap() {
        appears(&mut census, id(10 + n, 1000 + u128::from(n)));
        census.changed(id(10 + n, 1000 + u128::from(n)), DomainEvent::Death);
    }
    assert_eq!(census.former.len(), FORMER, "as many are remembered");
}

#[test]
fn the_level_is_what_events_have_made_of_it() {
    let mut census = Census::default();
    let (one, two) = (id(1, 1), id(2, 2));
    census.appeared(one, Some("one".into()), DomainState::Paused);
    census.appeared(two, None, RUNS);
    census.named(two, Some("two".into()));
    census.changed(two, DomainEvent::Shutdown(OFF));
    let there = |id, name: &str, state| HostEvent::Appeared {
        id,
        name: Some(name.into()),
        state,
        former: None,
    };
    let off = DomainState::Shutdown(OFF);
    assert_eq!(
        census.level_after(3),
        [
            HostEvent::Missed { total: 3 },
            there(one, "one", DomainState::Paused),
            there(two, "two", off),
        ]
    );
    census.changed(two, DomainEvent::Resumed);
    assert_eq!(census.level()[1], there(two, "two", RUNS));
    assert_eq!(census.with_domid(DomId(2)), [two]);
}

#[test]
fn events_are_printed_for_people() {
    let domain = id(7, 1);
    let uuid = domain.uuid;
    let mut census = Census::default();
    let lines = [
        census.appeared(domain, None, RUNS),
        census.named(domain, Some("web".into())).unwrap(),
        census.changed(domain, DomainEvent::Shutdown(OFF)).unwrap(),
        census.changed(domain, DomainEvent::Death).unwrap(),
        census.appeared(id(8, 1), Some("web".into()), DomainState::Paused),
        HostEvent::Missed { total: 12 },
    ];
    assert_eq!(
        lines.map(|event| event.to_string()),
        [
            format!("7 ({uuid}) (no name) is there: running"),
            format!("7 ({uuid}) (no name) is now web"),
            format!("7 ({uuid}) shut down (poweroff)"),
            format!("7 ({uuid}) died"),
            format!("8 ({uuid}) web is there: paused, formerly 7"),
            "12 events were missed".to_owned(),
        ]
    );
}
