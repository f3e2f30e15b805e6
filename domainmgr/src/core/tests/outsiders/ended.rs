//! Domains that are destroyed, saved, migrated away or restored, and guests that end for an unknown reason.

use super::*;
use crate::core::Op;
use crate::core::tests::harness::OTHER;
use crate::spec::settings::PoweroffPolicy;

/// Something an outsider does.
type Act = fn(&mut Harness);

const WHILE_SUSPENDED: &str = "destroyed from outside while suspended: saved or migrated away";

#[test]
fn case_09_an_outsider_ends_a_managed_domain() {
    // Whatever end was seen here, the guest may live on elsewhere: not even the policy to retry starts another.
    let away = |h: &mut Harness| {
        suspend(h);
        soon(h);
        let id = ours(h);
        h.meanwhile(|xen| xen.kill(id).unwrap());
    };
    let unseen = |h: &mut Harness| {
        let id = ours(h);
        suspend(h);
        h.meanwhile(|xen| xen.kill(id).unwrap());
    };
    let named = |h: &mut Harness| {
        suspend(h);
        let id = ours(h);
        rename(h, id, "app.1--migratedaway");
        soon(h);
        h.meanwhile(|xen| xen.kill(id).unwrap());
    };
    let destroyed = |h: &mut Harness| {
        let id = ours(h);
        h.meanwhile(|xen| xen.kill(id).unwrap());
    };
    let ends: [(Act, &str); 4] = [
        (destroyed, "destroyed from outside"),
        (away, WHILE_SUSPENDED),
        (unseen, "destroyed from outside"),
        (named, "migrated away"),
    ];
    for poweroff_policy in [PoweroffPolicy::Halt, PoweroffPolicy::Retry] {
        for (act, why) in ends {
            for (how, delivery) in WAYS {
                let settings = Settings {
                    poweroff_policy,
                    ..Settings::default()
                };
                let mut h = managed("", settings);
                h.delivery = delivery;
                act(&mut h);
                soon(&mut h);
                h.half_minutes(60);
                h.restart();
                h.half_minutes(60);
                let status = h.published.clone().unwrap();
                assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 0));
                assert_eq!((status.vanished, status.next_retry), (true, None));
                assert_eq!(status.shutdown_reason, why);
                report(9, how, &h);
                // A newer wish is a wish for another domain.
                h.wish(Some(Harness::desired(true, Mode::Pv, "newer")));
                h.advance(1000);
                assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 1));
                assert!(!h.published.as_ref().unwrap().vanished);
            }
        }
    }
}

#[test]
fn case_09_a_checkpoint_or_a_new_name_changes_nothing() {
    every_way(9, "", |h| {
        suspend(h);
        resume(h);
        let id = ours(h);
        rename(h, id, "theirs");
        soon(h);
        let status = h.published.clone().unwrap();
        assert_eq!((h.state().as_str(), ours(h)), ("RUNNING", id));
        assert_eq!(
            (status.domain_name.as_str(), status.renamed_to.as_str()),
            ("app.1", "theirs")
        );
        h.restart();
        soon(h);
        assert_eq!(h.published.as_ref().unwrap().renamed_to, "theirs");
        assert!(h.ops.is_empty(), "{:?}", h.ops);
        end(h, ShutdownReason::REBOOT);
        soon(h);
        assert_eq!((h.state().as_str(), creates(h)), ("RUNNING", 1));
        assert_eq!(h.published.as_ref().unwrap().renamed_to, "");
    });
}

#[test]
fn case_10_its_number_became_anothers_before_anyone_looked() {
    every_way(10, "", |h| {
        let id = ours(h);
        h.meanwhile(|xen| {
            xen.kill(id).unwrap();
            xen.advance(xen.now() + 1000);
            xen.outsider(OTHER, "taker", Some(id.domid))
        });
        soon(h);
        assert_eq!(h.state(), "HALTED");
        h.wish(None);
        h.half_minutes(10);
        assert!(h.finished);
        assert!(h.ops.is_empty(), "{:?}", h.ops);
        assert_eq!(h.xen.foreign_attempts(), 0);
        assert_eq!(h.xen.live(OTHER), 2);
    });
}

#[test]
fn case_11_reasons_nobody_has_heard_of() {
    for reason in [6, 7, 200, 255] {
        every_way(11, "", |h| {
            end(h, ShutdownReason(reason));
            soon(h);
            let status = h.published.as_ref().unwrap();
            assert_eq!(status.state_name, "HALTED");
            assert_eq!(status.shutdown_reason, format!("reason {reason}"));
            assert_eq!(status.shutdown_action, "destroy");
            assert_eq!((creates(h), destroys(h)), (0, 1));
        });
    }
}

#[test]
fn case_12_no_answer_after_go() {
    for resumed in [true, false] {
        every_way(12, "", |h| {
            let id = ours(h);
            suspend(h);
            rename(h, id, "app.1--migratedaway");
            soon(h);
            let (state, reason) = shown(h);
            assert_eq!(state, "SUSPENDED");
            assert_eq!(
                reason,
                "suspended for a migration whose outcome is not known (it is called app.1--migratedaway): if the guest \
                 runs nowhere else, resume domain 2; if it does, destroy domain 2"
            );
            // The state stays, however long it takes, and over a restart of the agent.
            h.half_minutes(240);
            h.restart();
            h.half_minutes(240);
            assert_eq!(shown(h), (state, reason));
            assert!(h.ops.is_empty(), "{:?}", h.ops);
            if resumed {
                resume(h);
                soon(h);
                assert_eq!(
                    h.published.as_ref().unwrap().renamed_to,
                    "app.1--migratedaway"
                );
                then_case_1(h);
            } else {
                h.meanwhile(|xen| xen.kill(id).unwrap());
                soon(h);
                h.half_minutes(60);
                let status = h.published.as_ref().unwrap();
                assert_eq!(status.state_name, "HALTED");
                assert_eq!(status.shutdown_reason, "migrated away");
                assert_eq!(status.last_err, "the domain ended: migrated away");
                let acts = h.ops.iter().filter(|op| **op != Op::Release);
                assert_eq!(acts.count(), 0, "{:?}", h.ops);
            }
        });
    }
}

#[test]
fn case_15_saved_destroyed_restored() {
    for policy in [PoweroffPolicy::Halt, PoweroffPolicy::Retry] {
        for (how, delivery) in WAYS {
            let settings = Settings {
                poweroff_policy: policy,
                ..Settings::default()
            };
            let mut h = managed("", settings);
            h.delivery = delivery;
            suspend(&mut h);
            soon(&mut h);
            let id = ours(&h);
            h.meanwhile(|xen| xen.kill(id).unwrap());
            soon(&mut h);
            h.half_minutes(60);
            assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 0));
            assert_eq!(
                h.published.as_ref().unwrap().shutdown_reason,
                WHILE_SUSPENDED
            );
            let restored = h.meanwhile(|xen| xen.outsider(KEY, "app.1", None));
            soon(&mut h);
            assert_eq!(h.state(), "RUNNING");
            assert_eq!(ours(&h).domid, restored);
            assert!(!h.published.as_ref().unwrap().vanished);
            then_case_1_or_retry(&mut h, policy);
            report(15, how, &h);
        }
    }
}

/// As case 1, but the policy to retry holds for a guest that powers off, whoever restored it.
fn then_case_1_or_retry(h: &mut Harness, policy: PoweroffPolicy) {
    if policy == PoweroffPolicy::Halt {
        return then_case_1(h);
    }
    end(h, ShutdownReason::POWEROFF);
    soon(h);
    assert_eq!(h.state(), "HALTED");
    h.half_minutes(21);
    assert_eq!((h.state().as_str(), creates(h)), ("RUNNING", 1));
}

#[test]
fn case_09_carried_off_while_it_was_to_be_built_anew() {
    every_way(9, "sim.stubborn", |h| {
        // The guest is asked to stop, and then the domain is to run again: it would be built anew once it is down. But
        // it does not go down.
        h.wish(Some(Harness::desired(false, Mode::Pv, "sim.stubborn")));
        h.advance(1000);
        h.wish(Some(Harness::desired(true, Mode::Pv, "sim.stubborn")));
        h.advance(1000);
        suspend(h);
        soon(h);
        assert_eq!(h.state(), "HALTING");
        // A suspended domain that should run belongs to another toolstack, however late it is.
        h.half_minutes(20);
        let id = ours(h);
        h.meanwhile(|xen| xen.kill(id).unwrap());
        soon(h);
        h.half_minutes(10);
        assert_eq!((h.state().as_str(), creates(h)), ("HALTED", 0));
        assert_eq!(
            h.published.as_ref().unwrap().shutdown_reason,
            WHILE_SUSPENDED
        );
    });
}

#[test]
fn case_09_gone_while_the_agent_was_away() {
    for (newer, state, built) in [(false, "HALTED", 0), (true, "RUNNING", 1)] {
        every_way(9, "", |h| {
            let id = ours(h);
            h.meanwhile(|xen| {
                xen.kill(id).unwrap();
                xen.advance(xen.now() + 1000);
            });
            let words = if newer { "newer" } else { "" };
            h.restart_with(Harness::desired(true, Mode::Pv, words));
            soon(h);
            assert_eq!((h.state().as_str(), creates(h)), (state, built));
            assert_eq!(h.published.as_ref().unwrap().vanished, !newer);
        });
    }
}
