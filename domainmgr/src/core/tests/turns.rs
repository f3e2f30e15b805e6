//! Domains that start one after the other.

use super::harness::Harness;
use crate::core::{Op, Order, Until};
use crate::spec::Mode;

fn builds(h: &Harness) -> usize {
    let builds = h.ops.iter().filter(|op| matches!(op, Op::Create(_)));
    builds.count()
}

#[test]
fn one_whose_turn_has_not_come_waits_and_says_for_whom() {
    let mut h = Harness::new();
    h.first = Some("db.1");
    h.wish(Some(Harness::desired(true, Mode::Pvh, "")));
    h.advance(600_000);
    let status = h.published.clone().unwrap();
    assert_eq!((h.state().as_str(), builds(&h)), ("INSTALLED", 0));
    assert_eq!(status.state_reason, "waits for the start of db.1");
    assert!(status.pending_add && status.last_err.is_empty());
    // It is called for somebody else's sake.
    h.first = Some("cache.1");
    h.adapters_news();
    h.advance(1000);
    let status = h.published.clone().unwrap();
    assert_eq!(status.state_reason, "waits for the start of cache.1");
    h.first = None;
    h.adapters_news();
    h.advance(1000);
    let status = h.published.clone().unwrap();
    assert_eq!((h.state().as_str(), builds(&h)), ("RUNNING", 1));
    assert_eq!(
        (status.state_reason.as_str(), status.pending_add),
        ("", false)
    );
}

#[test]
fn a_call_that_comes_while_it_asks_is_not_lost() {
    let mut h = Harness::new();
    h.first = Some("db.1");
    h.wish(Some(Harness::desired(true, Mode::Pvh, "")));
    assert!(h.is_busy(), "it asks");
    h.first = None;
    h.adapters_news();
    h.advance(1000);
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn a_guest_that_restarts_waits_for_nobody() {
    let mut h = Harness::new();
    let words = "lab.action=reboot lab.after=5";
    h.wish(Some(Harness::desired(true, Mode::Pvh, words)));
    h.advance(4000);
    h.first = Some("db.1");
    h.advance(30_000);
    assert!(builds(&h) > 1, "{:?}", h.ops);
}

#[test]
fn one_that_waits_can_be_told_to_stay_down() {
    let mut h = Harness::new();
    h.first = Some("db.1");
    h.wish(Some(Harness::desired(true, Mode::Pvh, "")));
    h.advance(1000);
    h.order(Order::Stop {
        destroy: false,
        until: Until::Started,
    });
    h.advance(1000);
    assert!(!h.owes_an_answer());
    let status = h.published.clone().unwrap();
    assert!(
        !status.state_reason.contains("waits"),
        "{}",
        status.state_reason
    );
    // A start waits for its turn as well.
    h.order(Order::Start {
        anyway: false,
        fresh: false,
        until: Until::Started,
    });
    h.advance(1000);
    assert!(h.owes_an_answer() && builds(&h) == 0);
    h.first = None;
    h.adapters_news();
    h.advance(1000);
    assert_eq!(h.state(), "RUNNING");
    assert!(!h.owes_an_answer());
}
