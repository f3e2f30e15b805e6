//! Every `On…` action for every way to end.

use super::harness::{Harness, KEY};
use crate::core::Op;
use crate::spec::{Action, Mode};
use crate::toolstack::{Life, ShutdownReason};

/// Outcome for a domain whose guest has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Gone, and stays so.
    Ended,
    /// Another domain runs in its place.
    Anew,
    /// Another domain runs, and the dead one is there under another name.
    Sibling,
    /// The dead domain is there, under its name.
    Kept,
    /// The domain runs again under its domid.
    InPlace,
}

fn expected(action: Action, reason: ShutdownReason, mode: Mode) -> Fate {
    if reason.0 > ShutdownReason::SOFT_RESET.0 {
        return Fate::Ended;
    }
    match action {
        Action::Destroy | Action::CoredumpDestroy => Fate::Ended,
        Action::Restart | Action::CoredumpRestart => Fate::Anew,
        Action::RenameRestart => Fate::Sibling,
        Action::Preserve => Fate::Kept,
        Action::SoftReset if mode == Mode::Hvm && reason == ShutdownReason::SOFT_RESET => {
            Fate::InPlace
        }
        Action::SoftReset => Fate::Anew,
    }
}

fn fate(h: &Harness) -> Fate {
    let status = h.published.as_ref().unwrap();
    let there: Vec<_> = h
        .xen
        .list()
        .into_iter()
        .filter(|s| s.id.uuid == KEY)
        .collect();
    match (status.state_name.as_str(), status.domain_id, there.len()) {
        ("HALTED", 0, 0) => Fate::Ended,
        ("PRESERVED", 2, 1) => Fate::Kept,
        ("RUNNING", 3, 1) => Fate::Anew,
        ("RUNNING", 3, 2) => Fate::Sibling,
        ("RUNNING", 2, 1) if there[0].life == Life::Running => Fate::InPlace,
        other => panic!("{other:?} {status:#?} {:?}", h.notes),
    }
}

fn desired(mode: Mode, action: Action) -> crate::core::Desired {
    Harness::desired_with(true, mode, "", |c| {
        for slot in [
            &mut c.on_poweroff,
            &mut c.on_reboot,
            &mut c.on_crash,
            &mut c.on_watchdog,
            &mut c.on_soft_reset,
        ] {
            *slot = action.word().into();
        }
    })
}

#[test]
fn every_action_for_every_reason_in_every_mode() {
    for mode in [Mode::Pv, Mode::Pvh, Mode::Hvm] {
        for action in Action::ALL {
            for reason in [0, 1, 3, 4, 5, 6, 200].map(ShutdownReason) {
                for restart in [false, true] {
                    let mut h = Harness::new();
                    h.wish(Some(desired(mode, action)));
                    h.advance(60_000);
                    h.outside(|xen, id| xen.shut_down(id, reason).unwrap());
                    if restart {
                        // The agent ends right after the shutdown, and again after the shutdown has been dealt with.
                        h.restart();
                    }
                    h.half_minutes(2);
                    if restart {
                        h.restart();
                        h.half_minutes(2);
                    }
                    let fate = fate(&h);
                    assert_eq!(
                        fate,
                        expected(action, reason, mode),
                        "{mode:?} {action:?} {reason}"
                    );
                    let status = h.published.as_ref().unwrap();
                    assert_eq!(status.shutdown_reason, reason.to_string());
                    assert_eq!(status.restarts, u32::from(status.state_name == "RUNNING"));
                    let word = match fate {
                        Fate::Ended if reason.0 > 5 => "destroy",
                        Fate::Anew if action == Action::SoftReset && mode == Mode::Hvm => {
                            "restart instead of soft-reset: the guest has not asked for it"
                        }
                        Fate::Anew if action == Action::SoftReset => {
                            "restart instead of soft-reset: only an HVM domain can be soft-reset"
                        }
                        _ => action.word(),
                    };
                    assert_eq!(status.shutdown_action, word);
                    let reset = |op: &Op| matches!(op, Op::SoftReset(..));
                    assert_eq!(h.ops.iter().any(reset), fate == Fate::InPlace);
                    let said = |n: &String| n.starts_with("no soft reset, restarting instead: ");
                    let instead = fate == Fate::Anew && action == Action::SoftReset;
                    assert_eq!(h.notes.iter().any(said), instead, "{:?}", h.notes);
                    let kept = matches!(fate, Fate::Kept | Fate::Sibling);
                    assert_eq!(status.preserved.len(), usize::from(kept));
                    if !restart {
                        println!(
                            "{:3} {:10} {:17} {fate:?}: {}",
                            mode.word(),
                            reason.to_string(),
                            action.word(),
                            status.shutdown_action
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_soft_reset_that_fails_is_a_restart_and_says_why() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(
        true,
        Mode::Hvm,
        "sim.fail-soft-reset",
    )));
    h.advance(60_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap());
    h.half_minutes(1);
    let status = h.published.as_ref().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.domain_id),
        ("RUNNING", 3)
    );
    assert_eq!(
        status.shutdown_action,
        "restart instead of soft-reset: soft reset failed (simulated)"
    );
    assert_eq!((status.restarts, status.last_err.as_str()), (1, ""));
}

#[test]
fn a_domain_that_goes_away_during_its_soft_reset_is_built_anew() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Hvm, "")));
    h.advance(60_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap());
    h.advance(50);
    assert!(h.is_busy());
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.half_minutes(1);
    let status = h.published.as_ref().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.domain_id),
        ("RUNNING", 3)
    );
}

/// The domain waits for its start, because it was reset too soon after its last start.
#[test]
fn a_domain_that_an_outsider_destroys_after_its_soft_reset_has_vanished() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Hvm, "")));
    h.advance(1000);
    for _ in 0..2 {
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap());
        h.advance(200);
    }
    let status = h.published.clone().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.domain_id),
        ("BOOTING", 2)
    );
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.half_minutes(1);
    let status = h.published.clone().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.vanished),
        ("HALTED", true)
    );
    assert_eq!(status.shutdown_reason, "destroyed from outside");
}

#[test]
fn a_soft_reset_domain_is_managed_on() {
    // Also by a source of events that reports only one shutdown: it is set anew.
    let mut h = Harness::new();
    h.delivery.bare = true;
    h.wish(Some(Harness::desired(true, Mode::Hvm, "")));
    for _ in 0..3 {
        h.advance(60_000);
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap());
        h.advance(1000);
        assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
    }
    assert_eq!(h.published.as_ref().unwrap().restarts, 3);
}

#[test]
fn an_agent_that_ends_in_the_middle_of_a_soft_reset_starts_the_guest_anew() {
    // Every 20 ms into the reset; also while the reset domain waits, because it is reset too often.
    for at in 0..30 {
        let mut h = Harness::new();
        h.wish(Some(Harness::desired(true, Mode::Hvm, "")));
        h.advance(1000);
        for _ in 0..3 {
            // Fails while the last reset is still being dealt with.
            h.outside(|xen, id| drop(xen.shut_down(id, ShutdownReason::SOFT_RESET)));
            h.advance(at * 20);
        }
        h.restart();
        h.half_minutes(2);
        assert_eq!(h.state(), "RUNNING", "after {at}: {:?}", h.notes);
        assert_eq!(h.xen.live(KEY), 1);
    }
}

#[test]
fn what_could_not_be_done_is_said() {
    let after_a_crash = |action: &str| {
        let mut h = Harness::new();
        h.fails = |op| matches!(op, Op::CoreDump(_) | Op::Preserve(..));
        h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
            c.on_crash = action.into();
        })));
        h.advance(60_000);
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
        h.half_minutes(1);
        let status = h.published.unwrap();
        (status.state_name, status.shutdown_action)
    };
    for (action, state, said) in [
        (
            "coredump-restart",
            "RUNNING",
            "coredump-restart, without a core dump: no (simulated)",
        ),
        (
            "coredump-destroy",
            "HALTED",
            "coredump-destroy, without a core dump: no (simulated)",
        ),
        (
            "rename-restart",
            "PRESERVED",
            "preserve instead of rename-restart: no (simulated)",
        ),
    ] {
        assert_eq!(after_a_crash(action), (state.into(), said.into()));
    }
}
