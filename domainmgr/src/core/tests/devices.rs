//! Devices that a guest does not connect to are named, and looked at until it does.

use super::harness::Harness;
use crate::core::Op;
use crate::spec::Mode;

fn runs(words: &str) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, Mode::Pv, words, |c| {
        c.vif_list = vec![crate::frontends::eve::VifConfig {
            vif: "mine".into(),
            ..crate::frontends::eve::VifConfig::default()
        }];
    })));
    h.advance(10_000);
    assert_eq!(h.state(), "RUNNING");
    h
}

fn looks(h: &Harness) -> usize {
    let devices = |op: &&Op| matches!(op, Op::Devices(_));
    h.ops.iter().filter(devices).count()
}

fn reason(h: &Harness) -> String {
    h.published.as_ref().unwrap().state_reason.clone()
}

#[test]
fn a_device_that_is_not_taken_is_named_until_it_is() {
    let mut h = runs("sim.blind=300");
    assert_eq!(reason(&h), "");
    h.half_minutes(5);
    let words = "the guest has not connected to the device mine: it may still be on its way, or have no driver for it";
    assert_eq!(reason(&h), words);
    assert_eq!(h.state(), "RUNNING");
    h.half_minutes(10);
    assert_eq!(reason(&h), "");
    let then = looks(&h);
    assert!((2..4).contains(&then), "{then}");
    h.half_minutes(100);
    assert_eq!(looks(&h), then, "all is well");
}

#[test]
fn one_that_never_is_is_looked_at_seldom() {
    let mut h = runs("sim.blind");
    // An hour.
    h.half_minutes(120);
    assert!((5..12).contains(&looks(&h)), "{}", looks(&h));
    assert!(reason(&h).contains("mine"));
}

#[test]
fn what_is_taken_at_once_is_looked_at_once() {
    let mut h = runs("");
    h.half_minutes(120);
    assert_eq!(looks(&h), 1);
    assert_eq!(reason(&h), "");
    // A domain without devices is not looked at.
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.half_minutes(120);
    assert_eq!(looks(&h), 0);
}
