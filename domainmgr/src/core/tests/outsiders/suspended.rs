//! Domains that are suspended and resumed, in every order and at every speed.

use super::*;
use crate::core::tests::harness::OTHER;
use crate::toolstack::sim::model::{Answer, Model};

#[test]
fn case_01_suspend_resume_poweroff() {
    for slowly in [false, true] {
        every_way(1, "", |h| {
            suspend(h);
            if slowly {
                soon(h);
                assert_eq!(shown(h), ("SUSPENDED".into(), SUSPENDED.into()));
                let since = h.published.as_ref().unwrap().suspended_since.unwrap();
                h.half_minutes(120);
                h.hint();
                assert_eq!(h.published.as_ref().unwrap().suspended_since, Some(since));
            }
            resume(h);
            if slowly {
                soon(h);
                assert_eq!(h.published.as_ref().unwrap().suspended_since, None);
            }
            then_case_1(h);
        });
    }
}

#[test]
fn case_01_with_a_suspend_that_nobody_announces() {
    every_way(1, "sim.evtchn", |h| {
        suspend(h);
        soon(h);
        assert_eq!(h.state(), "SUSPENDED");
        resume(h);
        then_case_1(h);
    });
}

#[test]
fn case_02_checkpoint_then_reboot_from_inside() {
    for slowly in [false, true] {
        every_way(2, "", |h| {
            suspend(h);
            if slowly {
                soon(h);
            }
            resume(h);
            if slowly {
                soon(h);
            }
            end(h, ShutdownReason::REBOOT);
            soon(h);
            h.half_minutes(4);
            assert_eq!(h.state(), "RUNNING");
            assert_eq!((creates(h), destroys(h), h.xen.live(KEY)), (1, 1, 1));
            assert_eq!(h.published.as_ref().unwrap().restarts, 1);
        });
    }
}

#[test]
fn case_04_twice_suspended_then_a_crash() {
    for (action, state, built) in [("", "HALTED", 0), ("restart", "RUNNING", 1)] {
        for (how, delivery) in WAYS {
            let mut h = Harness::new();
            let desired = Harness::desired_with(true, Mode::Pv, "", |c| c.on_crash = action.into());
            h.wish(Some(desired));
            h.advance(1000);
            h.ops.clear();
            h.delivery = delivery;
            for _ in 0..2 {
                suspend(&mut h);
                soon(&mut h);
                assert_eq!(h.state(), "SUSPENDED");
                resume(&mut h);
                soon(&mut h);
                assert_eq!(h.state(), "RUNNING");
            }
            end(&mut h, ShutdownReason::CRASH);
            soon(&mut h);
            assert_eq!((h.state().as_str(), creates(&h)), (state, built));
            assert_eq!(h.published.as_ref().unwrap().shutdown_reason, "crash");
            report(4, how, &h);
        }
    }
}

#[test]
fn case_05_poweroff_in_the_instant_of_resume() {
    type Step = fn(&mut Model, DomainId);
    let xen: Step = |xen, id| xen.resume_in_xen(id).unwrap();
    let xenstore: Step = |xen, id| xen.resume_in_xenstore(id).unwrap();
    let off: Step = |xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap();
    for steps in [[xen, off, xenstore], [xen, xenstore, off]] {
        for seen in [false, true] {
            every_way(5, "", |h| {
                suspend(h);
                if seen {
                    soon(h);
                }
                let id = ours(h);
                for step in steps {
                    h.meanwhile(|xen| step(xen, id));
                }
                soon(h);
                assert_eq!(h.state(), "HALTED", "{:?}", h.notes);
                assert_eq!(h.published.as_ref().unwrap().shutdown_reason, "poweroff");
                assert_eq!((creates(h), destroys(h)), (0, 1));
            });
        }
    }
}

#[test]
fn case_06_another_dies_while_one_is_suspended() {
    every_way(6, "", |h| {
        suspend(h);
        soon(h);
        for _ in 0..3 {
            let other = h.meanwhile(|xen| xen.outsider(OTHER, "dies", None));
            let other = DomainId {
                domid: other,
                uuid: OTHER,
            };
            h.meanwhile(|xen| xen.shut_down(other, ShutdownReason::CRASH).unwrap());
            h.advance(1000);
            h.meanwhile(|xen| xen.kill(other).unwrap());
            soon(h);
            assert_eq!(h.state(), "SUSPENDED");
        }
        assert!(h.ops.is_empty(), "{:?}", h.ops);
        resume(h);
        then_case_1(h);
    });
}

#[test]
fn case_07_a_guest_that_suspends_late() {
    for patient in [false, true] {
        every_way(7, "", |h| {
            let id = ours(h);
            let answer = h.meanwhile(|xen| xen.request_suspend(id, 70_000).unwrap());
            assert_eq!(answer, Answer::In(0));
            h.half_minutes(2);
            assert_eq!(h.state(), "RUNNING");
            // Nobody waits for the suspend any more.
            h.half_minutes(2);
            if patient {
                // Nobody looks at the domain for another hour.
                h.half_minutes(120);
            }
            assert_eq!(shown(h), ("SUSPENDED".into(), SUSPENDED.into()));
            resume(h);
            then_case_1(h);
        });
    }
}

#[test]
fn case_08_a_guest_that_never_answers() {
    every_way(8, "sim.deaf", |h| {
        let id = ours(h);
        let answer = h.meanwhile(|xen| xen.request_suspend(id, 0).unwrap());
        assert_eq!(answer, Answer::Never);
        h.half_minutes(6);
        then_case_1(h);
    });
}

#[test]
fn case_13_a_save_that_comes_to_nothing() {
    for suspended in [false, true] {
        every_way(13, "", |h| {
            let id = ours(h);
            // The save is aborted, or no room is left, before or after the guest was suspended for the rest of its
            // memory.
            h.meanwhile(|xen| xen.request_suspend(id, 5000).unwrap());
            h.advance(if suspended { 6000 } else { 4000 });
            if suspended {
                resume(h);
            } else {
                h.advance(2000);
                resume(h);
            }
            then_case_1(h);
        });
    }
}
