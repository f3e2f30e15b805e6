//! The ways from one phase to another, as the picture shows them.

mod picture;

use std::path::Path;
use std::{env, fs};

use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};

use super::harness::{Harness, KEY};
use super::random::{act, carry_out, memory};
use crate::core::state::ways;
use crate::core::{Op, Order, Until};
use crate::spec::Mode;
use crate::toolstack::ShutdownReason;

const SAVE: Order = Order::Save {
    until: Until::Started,
    file: None,
};
const DESTROY: Order = Order::Stop {
    destroy: true,
    until: Until::Started,
};

fn with_soft_reset(version: &str) -> crate::core::Desired {
    Harness::desired_with(true, Mode::Hvm, "", |c| {
        c.on_soft_reset = "soft-reset".into();
        c.uuid_and_version.version = version.into();
    })
}

/// Returns a worker in the middle of an operation.
fn amid(mut h: Harness, what: fn(&Op) -> bool) -> Harness {
    let found = (0..5_000).any(|_| {
        h.advance(1);
        h.is_busy() && h.ops.last().is_some_and(what)
    });
    assert!(found, "{:?}", h.ops);
    h
}

fn running(mut h: Harness) -> Harness {
    h.half_minutes(2);
    assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
    h
}

/// The agent is killed when the guest has been reset in place, and does not know that.
fn soft_reset_is_cut_short() {
    let mut h = Harness::new();
    h.wish(Some(with_soft_reset("1")));
    let mut h = running(h);
    h.dies = true;
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap());
    running(h);
}

/// An operator stops a domain that cannot be started.
fn stopped_while_it_cannot_be_started() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.fail-unpause=1")));
    let mut h = amid(h, |op| matches!(op, Op::Unpause(_)));
    h.order(DESTROY);
    h.half_minutes(1);
    assert_eq!((h.state().as_str(), h.domain()), ("HALTED", None));
}

/// A newer wish takes a stop back before anything was done for it.
fn a_stop_is_taken_back(mut h: Harness) {
    let id = h.domain();
    // Nothing is done to a domain before it has been looked at.
    h.fails = |op| matches!(op, Op::Look(_));
    h.order(DESTROY);
    h.wish(Some(with_soft_reset("2")));
    h.fails = |_| false;
    let h = running(h);
    assert_eq!(h.domain(), id);
}

/// A domain is stopped in the instant in which its save is whole.
fn stopped_when_it_is_saved() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    let mut h = running(h);
    h.too_late = true;
    h.order(SAVE);
    let mut h = amid(h, |op| matches!(op, Op::Save(..)));
    h.order(DESTROY);
    h.half_minutes(1);
    assert_eq!((h.state().as_str(), h.domain()), ("HALTED", None));
}

/// Somebody resumes a domain that is saved and not yet gone.
fn resumed_after_it_was_saved() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    let mut h = running(h);
    h.starves = |op| matches!(op, Op::Destroy(_));
    h.order(SAVE);
    h.advance(1_000);
    h.outside(|xen, id| xen.resume(id).unwrap());
    h.starves = |_| false;
    running(h);
}

/// Returns a worker whose domain was reset in place once too often, so that it waits before it is started again.
fn waiting_after_a_reset() -> Harness {
    let mut h = Harness::new();
    h.wish(Some(with_soft_reset("1")));
    let mut h = running(h);
    for _ in 0..3 {
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap());
        h.advance(500);
    }
    assert_eq!(h.state(), "BOOTING", "{:?}", h.notes);
    h
}

/// Somebody replaces a domain that has ended before it could be destroyed.
fn replaced_after_its_end() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    let mut h = running(h);
    h.starves = |op| matches!(op, Op::Destroy(_));
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
    h.advance(1_000);
    h.outside(|xen, id| {
        xen.kill(id).unwrap();
        xen.outsider(KEY, "app.1", None);
    });
    h.starves = |_| false;
    running(h);
}

/// Every way that the picture shows can be gone, and a debug build goes no other.
#[test]
fn every_way_is_gone() {
    let config = ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let schedules = (prop::collection::vec(act(), 1..40), memory());
    runner
        .run(&schedules, |(acts, memory)| carry_out(&acts, memory))
        .unwrap();
    // Chance seldom comes by these.
    soft_reset_is_cut_short();
    stopped_while_it_cannot_be_started();
    stopped_when_it_is_saved();
    resumed_after_it_was_saved();
    replaced_after_its_end();
    super::moving::every_end();
    let mut h = waiting_after_a_reset();
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.half_minutes(1);
    assert_eq!(h.state(), "HALTED");
    a_stop_is_taken_back(waiting_after_a_reset());
    a_stop_is_taken_back(running(waiting_after_a_reset()));
    let gone = ways::tests::GONE.lock().unwrap().clone();
    let left = ways::WAYS
        .iter()
        .filter(|(from, to, _)| !gone.contains(&(*from, *to)));
    assert_eq!(left.collect::<Vec<_>>(), [] as [&(_, _, _); 0]);
}

/// `UPDATE_PICTURES=1` draws it anew.
#[test]
fn the_picture_shows_every_way() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/domain-phases.svg");
    let picture = picture::draw();
    if env::var_os("UPDATE_PICTURES").is_some() {
        fs::write(&path, &picture).unwrap();
    }
    let drawn = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        drawn == picture,
        "{} is out of date: run this test with UPDATE_PICTURES=1",
        path.display()
    );
}
