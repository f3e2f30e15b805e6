//! Migrations that fail, and migrations to this very host.

use super::*;
use crate::toolstack::Life;
use crate::toolstack::sim::model::{Answer, Model};

fn named(h: &Harness, name: &str) -> DomainId {
    let all = h.xen.list();
    all.iter()
        .find(|s| s.name.as_deref() == Some(name))
        .unwrap()
        .id
}

/// Ends a migration as a sender does whose receiver has reported no success.
fn receiver_dies(h: &mut Harness, receiver: DomainId) {
    h.meanwhile(|xen| xen.kill(receiver).unwrap());
}

#[test]
fn case_03_a_migration_that_fails() {
    // The receiver refuses: it never had a domain, and the guest was not suspended.
    every_way(3, "", then_case_1);
    // The receiver dies before the stream, or in the middle of it.
    every_way(3, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        soon(h);
        assert_eq!(h.state(), "RUNNING");
        receiver_dies(h, receiver);
        then_case_1(h);
    });
    // The connection closes when the guest has been suspended for the rest of the stream.
    every_way(3, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        suspend(h);
        soon(h);
        assert_eq!(h.state(), "SUSPENDED");
        receiver_dies(h, receiver);
        resume(h);
        then_case_1(h);
    });
    // The receiver dies when everything has been sent, just before GO.
    every_way(3, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        suspend(h);
        h.meanwhile(|xen| xen.hand_over(source, receiver).unwrap());
        rename(h, source, "app.1--migratedaway");
        soon(h);
        assert_eq!(h.state(), "SUSPENDED");
        receiver_dies(h, receiver);
        rename(h, source, "app.1");
        resume(h);
        then_case_1(h);
    });
    // The guest does not answer in time.
    every_way(3, "sim.deaf", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        let answer = h.meanwhile(|xen| xen.request_suspend(source, 0).unwrap());
        assert_eq!(answer, Answer::Never);
        h.half_minutes(2);
        receiver_dies(h, receiver);
        then_case_1(h);
    });
}

/// The steps of `xl migrate … localhost`.
const STEPS: [fn(&mut Model, DomainId, DomainId); 6] = [
    |xen, source, _| xen.shut_down(source, ShutdownReason::SUSPEND).unwrap(),
    |xen, source, receiver| xen.hand_over(source, receiver).unwrap(),
    |xen, source, _| xen.rename(source, "app.1--migratedaway").unwrap(),
    |xen, _, receiver| xen.rename(receiver, "app.1").unwrap(),
    |xen, _, receiver| xen.unpause(receiver).unwrap(),
    |xen, source, _| xen.kill(source).unwrap(),
];

#[test]
fn case_14_a_migration_to_this_very_host() {
    // At any speed, and whether the agent is restarted or looks after any of the steps: at most one domain runs, which
    // the harness checks after each step, and the agent builds none.
    for (pause, restart) in [
        (0, false),
        (1000, false),
        (32_000, false),
        (1000, true),
        (32_000, true),
    ] {
        every_way(14, "lab.action=poweroff lab.after=100000", |h| {
            let source = ours(h);
            let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
            for step in STEPS {
                h.advance(pause % 30_000);
                h.half_minutes(pause / 30_000);
                if restart {
                    h.restart();
                }
                if h.xen.info(receiver).is_some_and(|s| s.cpu_time_ns == 0) {
                    // As long as the receiving end has not run, the guest is at the source.
                    assert_eq!(ours(h), source);
                }
                h.meanwhile(|xen| step(xen, source, receiver));
                assert_eq!(creates(h) + destroys(h), 0, "{:?}", h.notes);
            }
            soon(h);
            assert_eq!(shown(h), ("RUNNING".into(), String::new()));
            let status = h.published.clone().unwrap();
            assert_eq!((status.domain_id, status.restarts), (receiver.domid, 0));
            assert_eq!((status.renamed_to.as_str(), status.vanished), ("", false));
            then_case_1(h);
        });
    }
}

#[test]
fn case_14_a_sender_that_does_not_live_to_destroy_its_side() {
    for restart in [false, true] {
        every_way(14, "", |h| {
            let source = ours(h);
            let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
            h.superseded.insert(source);
            for step in &STEPS[..5] {
                h.meanwhile(|xen| step(xen, source, receiver));
            }
            soon(h);
            if restart {
                h.restart();
                soon(h);
            }
            assert_eq!((h.state().as_str(), ours(h)), ("RUNNING", receiver));
            let kept = h.published.clone().unwrap().preserved;
            assert_eq!(kept.len(), 1);
            assert_eq!(
                (kept[0].domain_name.as_str(), kept[0].reason.as_str()),
                (
                    "app.1--migratedaway",
                    "suspended: left behind by a migration that succeeded"
                )
            );
            // The sending end hinders no restart, and is not touched.
            end(h, ShutdownReason::REBOOT);
            soon(h);
            assert_eq!((h.state().as_str(), creates(h)), ("RUNNING", 1));
            let seen = h.xen.info(source).unwrap();
            assert_eq!(seen.life, Life::Shutdown(ShutdownReason::SUSPEND));
            // If the sending end is resumed all the same, the status shows that there are two domains.
            h.outsiders = true;
            h.meanwhile(|xen| xen.resume(source).unwrap());
            soon(h);
            let (state, reason) = shown(h);
            assert_eq!(state, "RUNNING");
            assert!(reason.contains("has our uuid too"), "{reason}");
            h.meanwhile(|xen| xen.kill(source).unwrap());
            soon(h);
            assert_eq!(shown(h), ("RUNNING".into(), String::new()));
            // A wish to stop applies to every domain that could run.
            h.wish(None);
            h.half_minutes(10);
            assert!(h.finished);
        });
    }
}

#[test]
fn case_14_a_guest_that_has_moved_may_be_suspended_again_at_once() {
    for restart in [false, true] {
        every_way(14, "", |h| {
            let source = ours(h);
            let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
            h.superseded.insert(source);
            for step in &STEPS[..5] {
                h.meanwhile(|xen| step(xen, source, receiver));
            }
            h.advance(10);
            h.meanwhile(|xen| xen.shut_down(receiver, ShutdownReason::SUSPEND).unwrap());
            if restart {
                h.restart();
            }
            soon(h);
            assert_eq!(shown(h), ("SUSPENDED".into(), SUSPENDED.into()));
            assert_eq!(ours(h), receiver);
            assert_eq!(h.published.as_ref().unwrap().preserved.len(), 1);
            resume(h);
            h.meanwhile(|xen| xen.kill(source).unwrap());
            then_case_1(h);
        });
    }
}

#[test]
fn case_14_what_was_left_behind_may_have_any_name() {
    every_way(14, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        h.superseded.insert(source);
        for step in &STEPS[..4] {
            h.meanwhile(|xen| step(xen, source, receiver));
        }
        rename(h, source, "evidence");
        soon(h);
        assert_eq!((h.state().as_str(), ours(h)), ("SUSPENDED", source));
        h.meanwhile(|xen| xen.unpause(receiver).unwrap());
        soon(h);
        assert_eq!(shown(h), ("RUNNING".into(), String::new()));
        assert_eq!(ours(h), receiver);
        let kept = h.published.clone().unwrap().preserved;
        assert_eq!(kept[0].domain_name, "evidence");
        h.restart();
        end(h, ShutdownReason::REBOOT);
        soon(h);
        assert_eq!((h.state().as_str(), creates(h)), ("RUNNING", 1));
    });
}

#[test]
fn case_14_a_guest_that_has_moved_may_be_renamed_and_end_before_anyone_looks() {
    every_way(14, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        h.superseded.insert(source);
        for step in &STEPS[..5] {
            h.meanwhile(|xen| step(xen, source, receiver));
        }
        h.meanwhile(|xen| xen.advance(xen.now() + 10));
        rename(h, receiver, "theirs");
        h.meanwhile(|xen| xen.shut_down(receiver, ShutdownReason::POWEROFF).unwrap());
        soon(h);
        assert_eq!(h.state(), "HALTED", "{:?}", h.notes);
        assert_eq!(h.published.as_ref().unwrap().shutdown_reason, "poweroff");
        assert_eq!(h.published.as_ref().unwrap().preserved.len(), 1);
    });
}

#[test]
fn case_14_a_wish_to_stop_is_about_what_was_left_behind_too() {
    every_way(14, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        h.superseded.insert(source);
        for step in &STEPS[..5] {
            h.meanwhile(|xen| step(xen, source, receiver));
        }
        soon(h);
        h.wish(None);
        h.half_minutes(10);
        assert!(h.finished, "{:?}", h.notes);
        assert_eq!(h.xen.live(KEY), 0);
    });
}

#[test]
fn case_14_nothing_is_built_beside_an_incoming_domain() {
    every_way(14, "", |h| {
        let source = ours(h);
        h.meanwhile(|xen| xen.receive(source).unwrap());
        end(h, ShutdownReason::REBOOT);
        soon(h);
        h.half_minutes(20);
        let (state, reason) = shown(h);
        assert_eq!((state.as_str(), creates(h)), ("BOOTING", 0));
        assert_eq!(
            reason,
            "domain 3 (app.1--incoming) is the receiving end of a migration: nothing is built as long as it is there"
        );
        let incoming = named(h, "app.1--incoming");
        receiver_dies(h, incoming);
        soon(h);
        assert_eq!((h.state().as_str(), creates(h)), ("RUNNING", 1));
    });
}

#[test]
fn case_14_an_incoming_domain_that_is_named_is_nobodys_half_built_one() {
    every_way(14, "", |h| {
        let source = ours(h);
        let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
        end(h, ShutdownReason::REBOOT);
        soon(h);
        // The agent was about to build a domain when it ended, so a domain that it finds might be its own.
        assert_eq!(h.state(), "BOOTING");
        h.restart();
        soon(h);
        assert_eq!(h.state(), "BOOTING");
        rename(h, receiver, "app.1");
        soon(h);
        assert_eq!((h.state().as_str(), ours(h)), ("PAUSED", receiver));
        h.ops.clear();
        h.meanwhile(|xen| xen.unpause(receiver).unwrap());
        then_case_1(h);
    });
}

#[test]
fn case_14_a_migration_from_another_host_is_never_taken_for_half_built() {
    for restart in [false, true] {
        every_way(14, "", |h| {
            // The domain is migrated away, and later back.
            let first = ours(h);
            suspend(h);
            h.meanwhile(|xen| xen.kill(first).unwrap());
            soon(h);
            assert_eq!(h.state(), "HALTED");
            let domid = h.meanwhile(|xen| xen.outsider(KEY, "away", None));
            let away = DomainId { domid, uuid: KEY };
            let receiver = h.meanwhile(|xen| {
                let receiver = xen.receive(away).unwrap();
                xen.kill(away).unwrap();
                xen.advance(xen.now() + 100);
                receiver
            });
            soon(h);
            assert_eq!(h.state(), "HALTED");
            rename(h, receiver, "app.1");
            if restart {
                h.restart();
            }
            // The domain has its name, but is not started yet: the receiver does that next.
            soon(h);
            assert_eq!(shown(h).0, "PAUSED", "{:?}", h.notes);
            h.meanwhile(|xen| xen.unpause(receiver).unwrap());
            then_case_1(h);
        });
    }
}

#[test]
fn case_14_what_the_old_one_was_asked_the_new_one_is_asked_again() {
    let mut h = managed("sim.stop=100000", Settings::default());
    h.wish(Some(Harness::desired(false, Mode::Pv, "sim.stop=100000")));
    h.advance(1000);
    let source = ours(&h);
    let receiver = h.meanwhile(|xen| xen.receive(source).unwrap());
    for step in STEPS {
        h.meanwhile(|xen| step(xen, source, receiver));
    }
    h.advance(1000);
    assert_eq!(
        h.ops,
        [Op::Shutdown(source), Op::Shutdown(receiver)],
        "{:?}",
        h.notes
    );
    h.half_minutes(6);
    assert_eq!((h.state().as_str(), h.xen.live(KEY)), ("HALTED", 0));
}
