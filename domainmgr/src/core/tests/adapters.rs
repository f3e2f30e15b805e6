//! Adapters are reserved before a domain is built, kept as long as there is one, and given up after.

use std::sync::Arc;

use super::harness::Harness;
use crate::core::{Desired, Op};
use crate::frontends::eve::IoAdapter;
use crate::spec::{Action, Mode};
use crate::toolstack::ShutdownReason;

fn desired(activate: bool, words: &str) -> Desired {
    Harness::desired_with(activate, Mode::Pv, words, |c| {
        c.io_adapter_list = vec![IoAdapter {
            r#type: 1,
            name: "eth1".into(),
        }];
    })
}

fn words(h: &Harness) -> Vec<&'static str> {
    h.ops.iter().map(Op::word).collect()
}

#[test]
fn reserved_first_and_given_up_last() {
    let mut h = Harness::new();
    h.wish(Some(desired(true, "")));
    h.advance(60_000);
    assert_eq!(words(&h), ["reserve", "create", "unpause"]);
    // A reboot gives no adapters up.
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(words(&h)[3..], ["destroy", "create", "unpause"]);
    h.wish(Some(desired(false, "")));
    h.advance(60_000);
    assert_eq!(h.state(), "HALTED");
    assert_eq!(words(&h).last(), Some(&"release"));
    assert!(!h.reserved);
    // Another wish, another reservation.
    h.wish(Some(desired(true, "")));
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    h.wish(None);
    h.advance(60_000);
    assert!(h.finished && !h.reserved);
}

#[test]
fn a_guest_that_ends_gives_them_up() {
    let mut h = Harness::new();
    h.wish(Some(desired(true, "lab.action=poweroff lab.after=2")));
    h.advance(60_000);
    assert_eq!(h.state(), "HALTED");
    assert!(!h.reserved);
}

#[test]
fn what_is_refused_is_waited_for() {
    let mut h = Harness::new();
    h.refusal = Some("IoAdapterList[0]: \"eth1\" is used by b.2");
    h.wish(Some(desired(true, "")));
    h.advance(1000);
    let status = h.published.clone().unwrap();
    assert!(status.adapters_failed && !status.boot_failed && !status.pending_add);
    assert_eq!(status.last_err, "IoAdapterList[0]: \"eth1\" is used by b.2");
    assert!(status.next_retry.is_some());
    assert_eq!(words(&h), ["reserve"], "and nothing is built");
    // Without news, the reservation is tried now and then; with news, at once.
    h.advance(120_000);
    let tried = words(&h).len();
    assert!((3..8).contains(&tried), "{tried}");
    h.refusal = None;
    h.adapters_news();
    h.advance(10_000);
    let status = h.published.clone().unwrap();
    assert_eq!(h.state(), "RUNNING");
    assert!(!status.adapters_failed);
    assert_eq!((status.last_err.as_str(), status.next_retry), ("", None));
}

#[test]
fn a_wish_to_stop_ends_the_waiting_and_its_flags() {
    let mut h = Harness::new();
    h.refusal = Some("no");
    h.wish(Some(desired(true, "")));
    h.advance(1000);
    h.wish(Some(desired(false, "")));
    h.advance(200_000);
    let status = h.published.clone().unwrap();
    assert!(!status.adapters_failed);
    assert_eq!((status.last_err.as_str(), status.next_retry), ("", None));
    assert_eq!(words(&h), ["reserve"], "no retry outlives the wish");
}

#[test]
fn a_boot_that_failed_holds_nothing_while_it_waits() {
    let mut h = Harness::new();
    h.fails = |op| matches!(op, Op::Create(_));
    h.wish(Some(desired(true, "")));
    h.advance(60_000);
    let status = h.published.clone().unwrap();
    assert!(status.boot_failed && status.next_retry.is_some());
    assert!(!h.reserved, "others may have it");
    // The retry reserves anew, and builds nothing without the adapter.
    h.fails = |_| false;
    h.refusal = Some("no");
    h.advance(700_000);
    assert!(h.published.as_ref().unwrap().adapters_failed);
    assert_eq!(h.state(), "INSTALLED");
    h.refusal = None;
    h.adapters_news();
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert!(!h.published.as_ref().unwrap().boot_failed);
}

#[test]
fn a_new_agent_holds_what_its_domain_has() {
    let mut h = Harness::new();
    h.wish(Some(desired(true, "")));
    h.advance(60_000);
    let before = h.ops.len();
    h.restart();
    h.advance(60_000);
    assert_eq!(words(&h)[before..], ["reserve"]);
    // The next domain is built with the adapter again.
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(
        words(&h)[before..],
        ["reserve", "destroy", "create", "unpause"]
    );
}

/// The adapter may have become a port, or the config now wants others, which another domain has.
#[test]
fn what_a_new_agent_is_refused_is_given_up_with_its_domain() {
    let mut h = Harness::new();
    h.wish(Some(desired(true, "")));
    h.advance(60_000);
    h.refusal = Some("eth1 is a port of the host");
    h.restart();
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert!(h.reserved, "as long as it runs");
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
    h.advance(60_000);
    assert_eq!(h.state(), "HALTED");
    assert!(!h.reserved);
}

#[test]
fn a_reboot_that_a_new_agent_finishes_gives_nothing_up() {
    let mut h = Harness::new();
    h.wish(Some(desired(true, "sim.create=5")));
    h.advance(60_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.advance(1000);
    assert_eq!((h.state().as_str(), h.domain()), ("BOOTING", None));
    let before = h.ops.len();
    h.restart();
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(
        words(&h)[before..],
        ["destroy", "reserve", "create", "unpause"]
    );
    // Adapters that the domain cannot have any more are not held either.
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.advance(1000);
    h.refusal = Some("no");
    h.restart();
    h.advance(60_000);
    assert!(h.published.as_ref().unwrap().adapters_failed);
    assert!(!h.reserved);
}

#[test]
fn what_an_earlier_agent_reserved_is_given_up_with_the_key() {
    let mut h = Harness::new();
    h.wish(Some(desired(true, "")));
    h.advance(60_000);
    h.outside(|xen, id| xen.kill(id).unwrap());
    let ops = h.ops.len();
    h.wish(None);
    h.restart();
    h.advance(60_000);
    assert!(h.finished);
    assert!(words(&h)[ops - 1..].contains(&"release"), "{:?}", words(&h));
}

#[test]
fn other_adapters_are_reserved_instead() {
    let mut h = Harness::new();
    h.fails = |op| matches!(op, Op::Create(_));
    h.wish(Some(desired(true, "")));
    h.advance(1000);
    assert!(h.reserved, "between the first tries");
    h.fails = |_| false;
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.io_adapter_list = ["a", "b"]
            .map(|name| IoAdapter {
                r#type: 1,
                name: name.into(),
            })
            .to_vec();
    })));
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(
        words(&h),
        [
            "reserve", "create", "destroy", "release", "reserve", "create", "unpause"
        ]
    );
}

#[test]
fn one_that_keeps_them_has_no_successor() {
    let mut h = Harness::new();
    let mut desired = desired(true, "");
    // An earlier agent has accepted this config.
    let spec = desired.spec.as_mut().unwrap();
    Arc::make_mut(spec).actions.on_crash = Action::RenameRestart;
    h.wish(Some(desired));
    h.advance(60_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
    h.half_minutes(1);
    assert_eq!(words(&h), ["reserve", "create", "unpause"]);
    assert!(h.reserved);
    let status = h.published.as_ref().unwrap();
    assert_eq!(
        status.shutdown_action,
        "preserve instead of rename-restart: it keeps the PCI devices that the next one needs"
    );
}
