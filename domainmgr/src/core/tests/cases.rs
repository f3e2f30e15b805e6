//! Single cases that must be tried, and not be left to chance.

use std::time::Duration;

use super::harness::{Delivery, Harness, KEY, OTHER};
use crate::core::{Desired, Op};
use crate::frontends::eve::DomainStatus;
use crate::spec::Mode;
use crate::spec::settings::{PoweroffPolicy, Settings};
use crate::toolstack::{DomainId, Life, ShutdownReason};

fn count(h: &Harness, wanted: impl Fn(&Op) -> bool) -> usize {
    h.ops.iter().filter(|op| wanted(op)).count()
}

fn creates(h: &Harness) -> usize {
    count(h, |op| matches!(op, Op::Create(_)))
}

fn running(words: &str) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, words)));
    h.advance(1000);
    assert_eq!(h.state(), "RUNNING");
    h
}

#[test]
fn three_tries_five_seconds_apart_then_the_retry_time() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.fail-create=4")));
    let mut at = Vec::new();
    let mut seen = 0;
    for second in 0..1300 {
        if creates(&h) > seen {
            seen = creates(&h);
            at.push(second);
        }
        h.advance(1000);
    }
    assert_eq!(at, [0, 5, 10, 610, 1210]);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.published.as_ref().unwrap().tried_count, 5);
}

/// A destroy that fails has ended the device model already; then somebody lets the half-built domain run.
#[test]
fn a_leftover_that_an_outsider_starts_is_broken_and_says_so() {
    let mut h = Harness::new();
    let words = "sim.fail-unpause=1 sim.fail-destroy=9";
    h.wish(Some(Harness::desired(true, Mode::Hvm, words)));
    h.advance(20_000);
    h.outside(|xen, id| xen.unpause(id).unwrap());
    h.advance(60_000);
    let status = h.published.clone().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.activated),
        ("BROKEN", true)
    );
    assert!(status.last_err.contains("has ended"), "{}", status.last_err);
}

/// The rest of the domain is good for nothing after a destroy that failed.
#[test]
fn a_destroy_that_failed_is_carried_through_whatever_the_wish_is_now() {
    for suspended in [false, true] {
        // The guest is not even asked: there is no graceful time.
        let mut h = Harness::with(Settings {
            graceful: Duration::ZERO,
            ..Settings::default()
        });
        let words = "sim.fail-destroy=2";
        h.wish(Some(Harness::desired(true, Mode::Pv, words)));
        h.advance(1000);
        assert_eq!(h.state(), "RUNNING");
        if suspended {
            h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
        }
        h.wish(Some(Harness::desired(false, Mode::Pv, words)));
        h.advance(1000);
        assert_eq!(h.state(), "HALTING");
        h.wish(Some(Harness::desired(true, Mode::Pv, words)));
        h.advance(1000);
        assert_eq!(h.state(), "HALTING", "{:?}", h.notes);
        h.half_minutes(2);
        assert_eq!(h.state(), "RUNNING");
        assert_eq!((creates(&h), h.domain().unwrap().domid), (2, 3));
    }
}

/// Xen or xenstored does not answer for a while.
#[test]
fn not_being_able_to_look_says_nothing_about_the_domain() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.advance(5_000);
    assert_eq!(h.state(), "RUNNING");
    h.fails = |op| matches!(op, Op::Look(_));
    h.hint();
    h.advance(30_000);
    let status = h.published.clone().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.activated),
        ("RUNNING", true)
    );
    assert!(
        status
            .last_err
            .starts_with("cannot read the state of the domain: "),
        "{}",
        status.last_err
    );
    h.fails = |_| false;
    h.advance(60_000);
    let status = h.published.clone().unwrap();
    assert_eq!(
        (status.state_name.as_str(), status.last_err.as_str()),
        ("RUNNING", "")
    );
    assert_eq!(creates(&h), 1);
    // The next agent cannot look either.
    h.fails = |op| matches!(op, Op::Look(_));
    h.restart();
    h.advance(30_000);
    let shown = h.published.clone().unwrap();
    assert!(shown.last_err.starts_with("cannot read the state"));
    let same = DomainStatus {
        last_err: String::new(),
        last_err_time: None,
        ..shown
    };
    assert_eq!(same, status);
}

/// The first agent has read the wish, and is killed before it could look at the domain.
#[test]
fn a_newer_wish_is_worked_off_by_the_next_agent() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.advance(5_000);
    let id = h.domain().unwrap();
    h.fails = |op| matches!(op, Op::Look(_));
    h.xen.kill(id).unwrap();
    h.restart_with(Harness::desired(true, Mode::Pv, "newer"));
    h.advance(1_000);
    h.fails = |_| false;
    h.restart();
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 2));
}

/// The domain may live on elsewhere, so another one would be a second copy.
#[test]
fn what_has_ended_stays_so_while_nobody_can_read_its_config() {
    let config = Harness::desired(true, Mode::Pv, "");
    for seen in [false, true] {
        for agents in [1, 2] {
            let mut h = Harness::new();
            h.wish(Some(config.clone()));
            h.advance(5_000);
            h.outside(|xen, id| xen.kill(id).unwrap());
            if seen {
                h.half_minutes(1);
            }
            h.unusable = true;
            for _ in 0..agents {
                h.restart();
                h.half_minutes(2);
                let status = h.published.clone().unwrap();
                assert!(status.last_err.starts_with("the domain ended: "));
                assert_eq!(
                    (status.state_name.as_str(), status.ended, status.vanished),
                    ("HALTED", true, true)
                );
                assert_eq!(status.config_digest, config.digest);
            }
            h.unusable = false;
            h.wish(Some(config.clone()));
            h.half_minutes(2);
            let status = h.published.clone().unwrap();
            assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 1));
            assert!(status.vanished && status.last_err.starts_with("the domain ended: "));
            h.wish(Some(Harness::desired(true, Mode::Pv, "newer")));
            h.half_minutes(2);
            let status = h.published.clone().unwrap();
            assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 2));
            assert_eq!((status.ended, status.last_err.as_str()), (false, ""));
        }
    }
}

/// Somebody corrects the config of a domain that did not start, and mistypes it.
#[test]
fn a_failed_boot_does_not_hide_that_the_newer_config_is_unusable() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.fail-create=9")));
    h.advance(60_000);
    assert!(h.published.as_ref().unwrap().boot_failed);
    h.unusable = true;
    h.restart();
    h.half_minutes(1);
    let shown = h.published.clone().unwrap().last_err;
    let (failed, unusable) = shown.split_once("; since then: ").expect(&shown);
    assert!(failed.starts_with("boot failed: "), "{shown}");
    assert!(!unusable.is_empty(), "{shown}");
    h.unusable = false;
    h.wish(Some(Harness::desired(true, Mode::Pv, "better")));
    h.half_minutes(1);
    assert_eq!(
        (h.state().as_str(), h.published.unwrap().last_err.as_str()),
        ("RUNNING", "")
    );
}

#[test]
fn the_same_config_written_again_cuts_the_retry_short_and_nothing_else() {
    let config = Harness::desired(true, Mode::Pv, "sim.fail-create=3");
    let mut h = Harness::new();
    h.wish(Some(config.clone()));
    h.advance(60_000);
    assert!(h.published.as_ref().unwrap().boot_failed);
    h.wish(Some(config.clone()));
    h.advance(1000);
    assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 4));
    h.wish(Some(config.clone()));
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
    h.advance(1000);
    h.wish(Some(config));
    h.advance(1000);
    assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 4));
}

#[test]
fn what_an_outsider_built_while_it_waited_is_found_first() {
    let config = Harness::desired(true, Mode::Pv, "sim.fail-create=4");
    let mut h = Harness::new();
    h.wish(Some(config.clone()));
    h.advance(11_000);
    assert!(h.published.as_ref().unwrap().boot_failed);
    let domid = h.meanwhile(|xen| xen.outsider(KEY, "app.1", None));
    h.wish(Some(config));
    h.advance(1000);
    assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 3));
    assert_eq!(h.domain().unwrap().domid, domid);
}

#[test]
fn what_is_impossible_is_not_tried_three_times() {
    // A build that fails because of the config ends with `InvalidConfig`. Here there is not even a spec.
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.memory.0 = 0;
    })));
    h.advance(100_000);
    assert_eq!(creates(&h), 0);
    assert_eq!(
        h.published.as_ref().unwrap().last_err,
        "Memory: expected an integer of kB above 0, found 0"
    );
}

#[test]
fn graceful_then_forced_then_destroy_each_in_its_time() {
    let mut h = running("sim.stubborn");
    h.ops.clear();
    let begin = h.xen.now();
    h.wish(Some(Harness::desired(false, Mode::Pv, "sim.stubborn")));
    h.advance(59_000);
    assert_eq!(count(&h, |op| matches!(op, Op::Shutdown(_))), 1);
    assert_eq!(h.state(), "HALTING");
    h.advance(2_000);
    assert_eq!(count(&h, |op| matches!(op, Op::Shutdown(_))), 2);
    h.advance(58_000);
    assert_eq!(count(&h, |op| matches!(op, Op::Destroy(_))), 0);
    h.advance(2_000);
    assert_eq!(h.state(), "HALTED");
    assert!(h.xen.now() - begin < 122_000);
}

#[test]
fn a_request_nobody_acknowledges_is_not_waited_for_twice() {
    let mut h = running("sim.deaf");
    h.wish(None);
    h.advance(125_000);
    assert!(h.finished, "{:?}", h.notes);
    assert_eq!(h.xen.live(KEY), 0);
}

#[test]
fn an_obedient_guest_is_never_destroyed_while_it_runs() {
    let mut h = running("sim.stop=30");
    h.ops.clear();
    h.wish(None);
    h.advance(29_000);
    assert_eq!(count(&h, |op| matches!(op, Op::Destroy(_))), 0);
    h.advance(3_000);
    assert!(h.finished);
}

#[test]
fn hvm_without_drivers_has_its_button_pressed() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Hvm, "sim.nopv")));
    h.advance(1000);
    h.wish(Some(Harness::desired(false, Mode::Hvm, "sim.nopv")));
    h.advance(10_000);
    assert_eq!(h.state(), "HALTED");
    assert_eq!(count(&h, |op| matches!(op, Op::PowerButton(_))), 1);
}

#[test]
fn suspend_resume_poweroff() {
    for lost in [false, true] {
        let mut h = running("");
        h.delivery = Delivery {
            lost,
            ..Delivery::default()
        };
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
        h.fair(60);
        assert_eq!(h.state(), "SUSPENDED");
        h.outside(|xen, id| xen.resume(id).unwrap());
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
        h.fair(1);
        assert_eq!(h.state(), "HALTED");
        assert_eq!(h.published.as_ref().unwrap().shutdown_reason, "poweroff");
        assert_eq!(creates(&h), 1);
    }
}

#[test]
fn suspended_while_it_should_stop_it_may_still_be_resumed_and_asked() {
    let mut h = running("");
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
    h.advance(100);
    h.wish(None);
    h.advance(30_000);
    assert_eq!(h.state(), "HALTING");
    h.outside(|xen, id| xen.resume(id).unwrap());
    h.hint();
    h.advance(5_000);
    assert!(h.finished);
    assert_eq!(count(&h, |op| matches!(op, Op::Shutdown(_))), 1);
}

#[test]
fn a_number_that_became_anothers_is_never_touched() {
    let mut h = running("");
    let id = h.domain().unwrap();
    h.delivery.lost = true;
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.xen.advance(h.xen.now() + 1000);
    h.xen.outsider(OTHER, "taker", Some(id.domid));
    h.ops.clear();
    h.fair(1);
    assert_eq!(h.state(), "HALTED");
    h.wish(None);
    h.fair(1);
    assert!(h.finished);
    assert!(h.ops.is_empty(), "{:?}", h.ops);
    assert_eq!(h.xen.live(OTHER), 2);
}

#[test]
fn a_domain_that_moved_to_another_number_is_followed() {
    // As `xl migrate localhost` does it.
    let mut h = running("");
    h.outsiders = true;
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
    h.advance(100);
    let new = h.xen.outsider(KEY, "app.1--incoming", None);
    h.fair(1);
    assert_eq!(h.domain().unwrap().domid, 2);
    h.outside(|xen, id| xen.rename(id, "app.1--migratedaway").unwrap());
    let receiver = h
        .xen
        .list()
        .into_iter()
        .find(|s| s.id.domid == new)
        .unwrap();
    h.xen.rename(receiver.id, "app.1").unwrap();
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.fair(1);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.domain().unwrap().domid, new);
    assert_eq!(creates(&h), 1);
    assert_eq!(h.published.as_ref().unwrap().restarts, 0);
}

#[test]
fn while_an_incoming_domain_is_there_none_is_built() {
    let mut h = Harness::new();
    h.outsiders = true;
    let domid = h.xen.outsider(KEY, "app.1--incoming", None);
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.fair(5);
    assert_eq!(creates(&h), 0);
    h.meanwhile(|xen| xen.kill(DomainId { domid, uuid: KEY }).unwrap());
    h.advance(10_000);
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn a_guest_reboot_uses_what_it_was_built_from() {
    let mut h = running("lab.action=reboot lab.after=100 sim.once");
    h.wish(Some(Harness::desired_with(
        true,
        Mode::Pv,
        "sim.once",
        |c| c.memory.0 = 131_072,
    )));
    h.advance(110_000);
    assert_eq!(h.published.as_ref().unwrap().restarts, 1);
    assert_eq!(h.theirs().unwrap().memory_kib, 65536);
    h.wish(Some(Harness::desired_with(false, Mode::Pv, "", |_| {})));
    h.advance(10_000);
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.memory.0 = 131_072;
    })));
    h.advance(10_000);
    assert_eq!(h.theirs().unwrap().memory_kib, 131_072);
}

#[test]
fn reboot_loops_are_slowed_down_and_forgiven() {
    let mut h = running("lab.action=reboot lab.after=1");
    h.fair(10);
    let fast = h.published.as_ref().unwrap().restarts;
    assert!((8..20).contains(&fast), "{fast}");
    let mut h = running("lab.action=reboot lab.after=11");
    h.fair(10);
    let slow = h.published.as_ref().unwrap().restarts;
    assert!(slow > 45, "{slow}");
}

#[test]
fn policy_retry() {
    let mut h = Harness::with(Settings {
        poweroff_policy: PoweroffPolicy::Retry,
        boot_retry: Duration::from_secs(100),
        ..Settings::default()
    });
    h.wish(Some(Harness::desired(
        true,
        Mode::Pv,
        "lab.action=poweroff lab.after=50",
    )));
    h.advance(60_000);
    assert_eq!(h.state(), "HALTED");
    assert!(h.published.as_ref().unwrap().next_retry.is_some());
    h.advance(100_000);
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn the_agent_restarts_in_the_middle_of_everything() {
    // Every 20 ms into a guest reboot: exactly one new domain, never halted.
    for at in 0..40 {
        let mut h = running("lab.action=reboot lab.after=2 sim.once");
        h.advance(1000 + at * 20);
        h.restart();
        h.fair(1);
        assert_eq!(h.state(), "RUNNING", "after {at}: {:?}", h.notes);
        assert_eq!(
            creates(&h),
            if h.notes.iter().any(|n| n.contains("half-built")) {
                3
            } else {
                2
            }
        );
        assert_eq!(h.xen.live(KEY), 1);
    }
}

#[test]
fn an_ended_guest_stays_ended_through_a_restart_of_the_agent_until_a_newer_wish() {
    let mut h = running("lab.action=poweroff lab.after=2");
    h.advance(10_000);
    h.restart();
    h.fair(2);
    assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 1));
    h.wish(Some(Harness::desired(true, Mode::Pv, "")));
    h.advance(1000);
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn nothing_at_all_happens_in_a_quiet_hour() {
    let mut h = running("");
    h.ops.clear();
    h.notes.clear();
    let before = h.published.clone();
    h.advance(3_600_000);
    assert!(h.ops.is_empty() && h.notes.is_empty());
    assert_eq!(h.published, before);
}

#[test]
fn hvm_without_drivers_and_deaf_to_its_button_is_asked_again_until_it_is_destroyed() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(
        true,
        Mode::Hvm,
        "sim.nopv sim.stubborn",
    )));
    h.advance(1000);
    h.wish(None);
    h.advance(121_000);
    assert!(h.finished);
    assert_eq!(count(&h, |op| matches!(op, Op::PowerButton(_))), 2);
    let asked = count(&h, |op| matches!(op, Op::Shutdown(_)));
    assert!((10..14).contains(&asked), "{asked} {:?}", h.ops);
}

#[test]
fn what_was_preserved_is_never_taken_for_the_domain_again() {
    let mut h = Harness::new();
    let config = Harness::desired_with(
        true,
        Mode::Pv,
        "lab.action=crash lab.after=2 sim.once",
        |c| {
            c.on_crash = "rename-restart".into();
        },
    );
    h.wish(Some(config));
    h.advance(10_000);
    assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 2));
    let kept = h
        .xen
        .list()
        .into_iter()
        .find(|s| h.xen.is_preserved(s.id))
        .unwrap();
    assert_eq!(kept.id.uuid, KEY);
    h.restart();
    h.fair(2);
    assert_eq!((h.state().as_str(), creates(&h)), ("RUNNING", 2));
    h.wish(None);
    h.fair(1);
    assert!(h.finished);
    assert!(h.xen.info(kept.id).is_some());
}

#[test]
fn activated_means_started() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.fail-unpause=3")));
    h.advance(100_000);
    assert!(h.published.as_ref().unwrap().boot_failed);
    assert!(!h.ever_activated);
    assert_eq!(h.xen.live(KEY), 0);
}

#[test]
fn what_is_due_is_done_to_what_is_and_not_to_what_was() {
    let mut h = Harness::new();
    h.delivery.lost = true;
    let words = "sim.fail-unpause=1 sim.fail-destroy=1";
    h.wish(Some(Harness::desired(true, Mode::Pv, words)));
    h.advance(700);
    // The domain is left half-built, and its destroy has failed. Now somebody starts it, and no event tells of that.
    assert_eq!(count(&h, |op| matches!(op, Op::Destroy(_))), 1);
    h.outside(|xen, id| xen.unpause(id).unwrap());
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
    h.advance(100_000);
    assert_eq!(count(&h, |op| matches!(op, Op::Destroy(_))), 1);
    assert_eq!(h.state(), "SUSPENDED");
}

#[test]
fn an_agent_that_ends_while_it_tidies_up_after_a_crash_blames_nobody_else() {
    for at in 0..40 {
        let mut h = running("");
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
        h.advance(at * 20);
        if h.is_busy() {
            // Xen finishes a destroy that has begun, whether anyone waits for it or not.
            h.outside(|xen, id| xen.kill(id).unwrap());
        }
        h.restart();
        h.fair(1);
        let status = h.published.as_ref().unwrap();
        assert_eq!(status.state_name, "HALTED", "after {at}: {:?}", h.notes);
        assert_eq!(status.shutdown_reason, "crash", "after {at}");
        assert_eq!(status.last_err, "the domain ended: crash");
        assert_eq!((status.vanished, creates(&h)), (false, 1));
    }
}

/// Xen takes its time to take the dead domain apart, and there is no room for two.
#[test]
fn a_restart_waits_for_the_memory_of_the_dead() {
    let mut h = Harness::on(100, Settings::default());
    let words = "lab.action=reboot lab.after=20 sim.once sim.dying=7";
    h.wish(Some(Harness::desired(true, Mode::Pv, words)));
    h.advance(21_000);
    let waiting = h.published.clone().unwrap();
    assert_eq!(
        waiting.last_err,
        "boot try 1 of 3 failed: not enough memory: 64 MiB needed, 35 MiB free"
    );
    h.advance(20_000);
    let up = h.published.clone().unwrap();
    assert_eq!((up.domain_id, up.restarts), (3, 1));
    assert_eq!((up.tried_count, up.last_err.as_str()), (3, ""));
    assert_eq!(
        h.trail,
        ["INSTALLED", "BOOTING", "RUNNING", "BOOTING", "RUNNING"]
    );
}

fn numbered(activate: bool, number: u32, words: &str) -> Desired {
    Harness::desired_with(activate, Mode::Pv, words, |c| c.app_num = number)
}

/// The domain has a name before it is built, and then the wish is for another name.
#[test]
fn what_was_left_half_built_is_destroyed_whatever_it_was_called() {
    type Act = fn(&mut Harness, &str);
    let given_up: Act = |h, words| {
        h.wish(Some(numbered(false, 7, words)));
        h.advance(1000);
        h.wish(Some(numbered(true, 7, words)));
    };
    let killed: Act = |h, words| h.restart_with(numbered(true, 7, words));
    let wished_and_killed: Act = |h, words| {
        h.wish(Some(numbered(true, 7, words)));
        h.advance(1000);
        h.restart();
    };
    let failed: Act = |h, words| {
        h.wish(Some(numbered(true, 7, words)));
        h.advance(20_000);
    };
    for (act, words) in [
        (given_up, "sim.create=15"),
        (killed, "sim.create=15"),
        (wished_and_killed, "sim.create=15"),
        (failed, "sim.create=15 sim.fail-create=1 sim.litter"),
    ] {
        let mut h = Harness::new();
        h.wish(Some(numbered(true, 1, words)));
        h.advance(1000);
        let called = |h: &Harness| h.theirs().unwrap().name.unwrap();
        assert_eq!(called(&h), "app.1");
        act(&mut h, words);
        h.half_minutes(2);
        assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
        assert_eq!((called(&h).as_str(), h.xen.live(KEY)), ("app.7", 1));
        // The domain never ran, so there was nobody to ask.
        let destroys = count(&h, |op| matches!(op, Op::Destroy(_)));
        let asked = count(&h, |op| matches!(op, Op::Shutdown(_)));
        assert_eq!((creates(&h), destroys, asked), (2, 1, 0), "{:?}", h.ops);
    }
}

#[test]
fn a_guest_that_is_only_booting_is_asked_again_until_it_hears() {
    for (words, asked, pressed) in [
        // No event tells when the drivers come up, so the guest is asked every ten seconds: at 0, 10, 20 and 30.
        ("sim.deaf=25", 4, 1),
        // The guest has no drivers. The button, pressed too early, is pressed again in the forced time.
        ("sim.deaf=25 sim.nopv", 7, 2),
    ] {
        let mut h = Harness::new();
        h.wish(Some(Harness::desired(true, Mode::Hvm, words)));
        h.advance(206);
        assert_eq!(h.state(), "RUNNING");
        h.wish(Some(Harness::desired(false, Mode::Hvm, words)));
        h.advance(25_000);
        assert_eq!(h.theirs().unwrap().life, Life::Running, "it heard nothing");
        h.advance(40_000);
        assert_eq!(h.state(), "HALTED", "{:?}", h.notes);
        let count = |wanted: fn(&Op) -> bool| count(&h, wanted);
        let buttons = count(|op| matches!(op, Op::PowerButton(_)));
        let requests = count(|op| matches!(op, Op::Shutdown(_)));
        assert_eq!((requests, buttons), (asked, pressed), "{:?}", h.ops);
        assert_eq!(h.published.as_ref().unwrap().last_err, "");
        let forced = h.notes.iter().any(|n| n.contains("destroying it"));
        assert!(!forced, "{:?}", h.notes);
    }
}

#[test]
fn a_pv_guest_that_is_only_booting_finds_the_request_or_is_asked_again() {
    for (words, asked, seconds) in [("sim.deaf=25", 1, 27), ("sim.deaf=80", 2, 82)] {
        let mut h = Harness::new();
        h.wish(Some(Harness::desired(true, Mode::Pv, words)));
        h.advance(201);
        h.wish(None);
        h.advance(seconds * 1000 - 2000);
        assert_eq!(h.theirs().unwrap().life, Life::Running, "it heard nothing");
        h.advance(2000);
        assert!(h.finished, "{:?}", h.notes);
        assert_eq!(count(&h, |op| matches!(op, Op::Shutdown(_))), asked);
    }
}
