//! Operations that fail for want of the agent's own resources, or because Xen cannot be looked at. They are tried
//! again, and nothing else follows from the failure.

use std::time::Duration;

use super::harness::Harness;
use crate::core::{Answer, Op, Order, Until};
use crate::spec::Mode;
use crate::spec::settings::Settings;
use crate::toolstack::{Life, ShutdownReason};

fn runs(mode: Mode, words: &str, on_end: &str) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, mode, words, |c| {
        c.on_crash = on_end.into();
        c.on_soft_reset = on_end.into();
    })));
    h.advance(60_000);
    assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
    h.ops.clear();
    h.notes.clear();
    h
}

fn last_err(h: &Harness) -> &str {
    h.published.as_ref().unwrap().last_err.as_str()
}

fn changes(op: &Op) -> bool {
    !matches!(op, Op::Look(_))
}

#[test]
fn a_guest_that_cannot_be_asked_to_stop_is_not_destroyed_for_it() {
    for (mode, words, asks) in [
        (Mode::Pv, "", "Shutdown"),
        (Mode::Pvh, "sim.stop=50", "Shutdown"),
        (Mode::Hvm, "sim.nopv", "PowerButton"),
    ] {
        for starves in [changes as fn(&Op) -> bool, |_| true] {
            let mut h = runs(mode, words, "");
            h.starves = starves;
            h.wish(Some(Harness::desired(false, mode, words)));
            // Longer than the graceful and the forced time of a guest.
            h.half_minutes(40);
            assert_eq!(h.ops, [], "nothing can be done");
            assert_eq!(h.theirs().unwrap().life, Life::Running);
            assert!(
                last_err(&h).contains("too many open files"),
                "{}",
                last_err(&h)
            );
            h.starves = |_| false;
            h.half_minutes(6);
            assert_eq!(h.state(), "HALTED", "{:?}", h.notes);
            assert!(format!("{:?}", h.ops).contains(asks), "{:?}", h.ops);
            assert!(
                !h.notes.iter().any(|n| n.contains("destroying it")),
                "{:?}",
                h.notes
            );
            assert_eq!(last_err(&h), "");
        }
    }
}

#[test]
fn a_paused_guest_is_let_run_later() {
    let mut h = runs(Mode::Pv, "", "");
    h.outside(|xen, id| xen.pause(id).unwrap());
    h.half_minutes(1);
    h.starves = changes;
    h.wish(Some(Harness::desired(false, Mode::Pv, "")));
    h.half_minutes(40);
    assert_eq!(h.theirs().unwrap().life, Life::Paused);
    h.starves = |_| false;
    h.half_minutes(6);
    assert_eq!(h.state(), "HALTED");
    assert!(
        h.ops.iter().any(|op| matches!(op, Op::Shutdown(_))),
        "{:?}",
        h.ops
    );
}

#[test]
fn an_order_is_worked_off_later() {
    let save = Order::Save {
        until: Until::Started,
        file: None,
    };
    for order in [save, Order::DumpCore { file: None }, Order::Pause] {
        let mut h = runs(Mode::Pv, "", "");
        h.starves = changes;
        let id = h.order(order.clone());
        h.half_minutes(10);
        assert_eq!(h.answers, [(id, Answer::Accepted)]);
        h.starves = |_| false;
        h.half_minutes(6);
        let done = (id, Answer::Done);
        assert!(h.answers.contains(&done), "{order:?}: {:?}", h.answers);
    }
}

#[test]
fn a_start_does_not_count_as_tried() {
    for starves in [
        changes as fn(&Op) -> bool,
        |op| matches!(op, Op::Create(_)),
        |op| matches!(op, Op::Unpause(_)),
    ] {
        let mut h = Harness::new();
        h.starves = starves;
        h.wish(Some(Harness::desired(true, Mode::Pv, "")));
        h.half_minutes(10);
        let status = h.published.clone().unwrap();
        assert!(!status.boot_failed, "{status:#?}");
        assert!(status.tried_count <= 1, "{}", status.tried_count);
        h.starves = |_| false;
        h.half_minutes(3);
        assert_eq!(h.state(), "RUNNING");
        assert_eq!(last_err(&h), "");
        assert!(
            !h.ops.iter().any(|op| matches!(op, Op::Destroy(_))),
            "{:?}",
            h.ops
        );
    }
}

#[test]
fn what_is_done_about_an_end_is_done_later() {
    for (mode, reason, action, last) in [
        (
            Mode::Pv,
            ShutdownReason::CRASH,
            "rename-restart",
            "rename-restart",
        ),
        (
            Mode::Pv,
            ShutdownReason::CRASH,
            "coredump-restart",
            "coredump-restart",
        ),
        (
            Mode::Hvm,
            ShutdownReason::SOFT_RESET,
            "soft-reset",
            "soft-reset",
        ),
        (Mode::Pv, ShutdownReason::CRASH, "restart", "restart"),
    ] {
        let mut h = runs(mode, "", action);
        h.starves = changes;
        h.outside(|xen, id| xen.shut_down(id, reason).unwrap());
        h.half_minutes(10);
        assert_eq!(h.ops, [], "nothing can be done");
        h.starves = |_| false;
        h.half_minutes(4);
        assert_eq!(h.state(), "RUNNING", "{action}: {:?}", h.notes);
        assert_eq!(h.published.as_ref().unwrap().shutdown_action, last);
    }
}

#[test]
fn an_error_is_shown_again_when_xen_can_be_looked_at_again() {
    let mut h = Harness::new();
    h.fails = |op| matches!(op, Op::Create(_));
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.half_minutes(2);
    let why = last_err(&h).to_owned();
    assert!(why.starts_with("boot failed"), "{why}");
    h.fails = |op| matches!(op, Op::Create(_) | Op::Look(_));
    h.hint();
    h.half_minutes(2);
    assert!(
        last_err(&h).contains("cannot read the state"),
        "{}",
        last_err(&h)
    );
    h.fails = |op| matches!(op, Op::Create(_));
    h.half_minutes(3);
    assert_eq!(last_err(&h), why);
}

/// libxl waits a minute for a guest to acknowledge. The guest may have more time than that.
#[test]
fn a_guest_that_is_slow_to_acknowledge_has_its_graceful_time() {
    let mut h = Harness::with(Settings {
        graceful: Duration::from_secs(600),
        ..Settings::default()
    });
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.deaf")));
    h.advance(60_000);
    h.notes.clear();
    h.wish(Some(Harness::desired(false, Mode::Pv, "sim.deaf")));
    h.advance(590_000);
    let harder = |h: &Harness| h.notes.iter().any(|n| n.contains("does not shut down"));
    assert!(!harder(&h), "{:?}", h.notes);
    h.advance(60_000);
    assert!(harder(&h), "{:?}", h.notes);
}

#[test]
fn only_so_many_dead_domains_are_kept() {
    let mut h = runs(Mode::Pv, "", "rename-restart");
    let crash = |h: &mut Harness| {
        h.outside(|xen, _| {
            let all = xen.list();
            let running = all
                .iter()
                .find(|s| s.life == Life::Running && s.id.uuid == super::harness::KEY);
            xen.shut_down(running.unwrap().id, ShutdownReason::CRASH)
                .unwrap();
        });
        h.half_minutes(6);
    };
    for _ in 0..3 {
        crash(&mut h);
        assert_eq!(h.state(), "RUNNING");
        let status = h.published.clone().unwrap();
        assert_eq!(status.shutdown_action, "rename-restart");
    }
    crash(&mut h);
    assert_eq!(h.state(), "PRESERVED");
    let status = h.published.clone().unwrap();
    assert_eq!(status.preserved.len(), 4);
    assert_eq!(
        status.shutdown_action,
        "preserve instead of rename-restart: 3 are kept already"
    );
}
