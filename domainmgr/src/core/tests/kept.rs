//! Dead domains that are kept: shown until somebody destroys them, and never taken for the domain that runs.

use super::harness::{Harness, KEY};
use crate::core::{Op, Order, Until};
use crate::frontends::eve::PreservedDomain;
use crate::spec::Mode;
use crate::toolstack::{DomainId, ShutdownReason};

fn crashed(on_crash: &str) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.on_crash = on_crash.into();
    })));
    h.advance(60_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
    h.half_minutes(1);
    h
}

fn preserved(h: &Harness) -> Vec<PreservedDomain> {
    h.published.as_ref().unwrap().preserved.clone()
}

#[test]
fn renamed_ones_are_listed_until_they_are_destroyed() {
    let mut h = crashed("rename-restart");
    h.outside(|xen, _| {
        let running = xen.list().into_iter().find(|s| s.id.domid == 3).unwrap();
        xen.shut_down(running.id, ShutdownReason::CRASH).unwrap();
    });
    h.half_minutes(1);
    assert_eq!(h.state(), "RUNNING");
    let listed = preserved(&h);
    assert_eq!(
        listed
            .iter()
            .map(|p| (p.domain_id, p.reason.as_str()))
            .collect::<Vec<_>>(),
        [(2, "crash"), (3, "crash")]
    );
    assert!(listed[0].domain_name.starts_with("app.1-20"), "{listed:?}");
    h.restart();
    h.half_minutes(1);
    assert_eq!(preserved(&h), listed);
    // After a deactivation, the kept domains are still there, and still shown.
    h.wish(Some(Harness::desired_with(false, Mode::Pv, "", |c| {
        c.on_crash = "rename-restart".into();
    })));
    h.half_minutes(1);
    assert_eq!(h.state(), "HALTED");
    assert_eq!(preserved(&h), listed);
    let first = DomainId {
        domid: 2,
        uuid: KEY,
    };
    h.meanwhile(|xen| xen.kill(first).unwrap());
    h.half_minutes(1);
    assert_eq!(preserved(&h), listed[1..]);
}

#[test]
fn a_kept_one_gives_up_what_its_successor_needs() {
    for dies in [false, true] {
        let mut h = Harness::new();
        h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
            c.on_crash = "rename-restart".into();
            c.vif_list = vec![crate::frontends::eve::VifConfig {
                vif: "mine".into(),
                ..crate::frontends::eve::VifConfig::default()
            }];
        })));
        h.advance(60_000);
        let first = h.domain();
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
        if dies {
            // The agent ends in the middle of the action.
            h.advance(50);
            h.restart();
        }
        h.half_minutes(1);
        assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
        assert_ne!(h.domain(), first);
        let status = h.published.clone().unwrap();
        assert_eq!(status.preserved.len(), 1);
        assert_eq!(
            status.shutdown_action,
            "rename-restart: the one that is kept has given its disks and interfaces to the next"
        );
    }
}

#[test]
fn a_new_name_does_not_bring_a_kept_one_back() {
    for restart in [false, true] {
        let mut h = crashed("rename-restart");
        let kept = DomainId {
            domid: 2,
            uuid: KEY,
        };
        h.meanwhile(|xen| xen.rename(kept, "evidence").unwrap());
        if restart {
            h.restart();
        }
        h.half_minutes(1);
        assert_eq!(preserved(&h)[0].domain_name, "evidence");
        // The running domain goes away: the kept one is not taken for it.
        let running = h.domain().unwrap();
        assert_eq!(running.domid, 3);
        h.meanwhile(|xen| xen.kill(running).unwrap());
        h.half_minutes(1);
        assert_eq!(h.state(), "HALTED");
        if restart {
            h.restart();
            h.half_minutes(1);
        }
        assert_eq!((h.state().as_str(), h.domain()), ("HALTED", None));
        assert_eq!(preserved(&h)[0].domain_name, "evidence");
        h.wish(None);
        h.half_minutes(1);
        assert!(h.finished);
        assert!(h.xen.info(kept).is_some());
    }
}

#[test]
fn one_kept_under_its_name_is_listed_until_it_is_destroyed_or_deactivated() {
    for restart in [false, true] {
        for by_an_outsider in [false, true] {
            let mut h = crashed("preserve");
            if restart {
                h.restart();
                h.half_minutes(1);
            }
            let status = h.published.clone().unwrap();
            assert_eq!(
                (status.state_name.as_str(), status.domain_id),
                ("PRESERVED", 2)
            );
            assert_eq!(
                status.preserved,
                [PreservedDomain {
                    domain_id: 2,
                    domain_name: "app.1".into(),
                    reason: "crash".into()
                }]
            );
            h.half_minutes(200);
            assert_eq!(h.published.as_ref(), Some(&status));
            if by_an_outsider {
                h.outside(|xen, id| xen.kill(id).unwrap());
            } else {
                h.wish(Some(Harness::desired(false, Mode::Pv, "")));
            }
            h.half_minutes(1);
            let status = h.published.as_ref().unwrap();
            assert_eq!(
                (status.state_name.as_str(), status.preserved.len()),
                ("HALTED", 0)
            );
            assert_eq!(status.shutdown_reason, "crash");
        }
    }
}

#[test]
fn one_that_xl_kept_before_there_was_an_agent_is_seen_and_left_alone() {
    let mut h = Harness::new();
    let domid = h.xen.outsider(KEY, "app.1", None);
    let id = DomainId { domid, uuid: KEY };
    h.meanwhile(|xen| {
        xen.shut_down(id, ShutdownReason::WATCHDOG).unwrap();
        xen.preserve(id, "-20160104T1531Z").unwrap();
    });
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.half_minutes(1);
    assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
    assert_eq!(
        preserved(&h),
        [PreservedDomain {
            domain_id: domid,
            domain_name: "app.1-20160104T1531Z".into(),
            reason: "watchdog".into()
        }]
    );
}

#[test]
fn a_domain_of_an_inactive_key_is_looked_for_once_more_before_the_key_is_forgotten() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(false, Mode::Pv, "")));
    h.half_minutes(1);
    h.meanwhile(|xen| xen.outsider(KEY, "app.1", None));
    h.wish(None);
    h.half_minutes(10);
    assert!(h.finished);
    assert_eq!(h.xen.live(KEY), 0);
}

/// The agent is killed in the middle of a save, and once more when it has renamed the dead domain and not yet noted that.
#[test]
fn one_is_renamed_once_although_a_save_came_to_nothing_before() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.on_poweroff = "rename-restart".into();
    })));
    h.advance(300);
    let until = Until::Started;
    h.order(Order::Save { until, file: None });
    assert!(h.is_busy());
    h.restart();
    h.dies = true;
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
    h.half_minutes(2);
    assert_eq!(h.state(), "RUNNING");
    let renames = h.ops.iter().filter(|op| matches!(op, Op::Preserve(..)));
    assert_eq!(renames.count(), 1, "{:?}", h.ops);
    assert_eq!(preserved(&h).len(), 1);
}

/// A restart is ordered while the dead domain is being renamed. The order is about that domain, and not about the next one.
#[test]
fn a_restart_that_is_ordered_during_the_renaming_does_not_reach_the_next_domain() {
    let mut h = crashed("rename-restart");
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
    let in_the_middle = (0..5000).any(|_| {
        h.advance(1);
        h.is_busy() && matches!(h.ops.last(), Some(Op::Preserve(..)))
    });
    assert!(in_the_middle, "{:?}", h.ops);
    let renamed = h.ops.len();
    h.order(Order::Restart);
    h.half_minutes(2);
    assert_eq!(h.state(), "RUNNING");
    let since: Vec<&str> = h.ops[renamed..].iter().map(Op::word).collect();
    let built = since.iter().filter(|op| **op == "create").count();
    assert_eq!(built, 1, "{since:?}");
    assert!(!since.contains(&"destroy"), "{since:?}");
}
