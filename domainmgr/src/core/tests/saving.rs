//! Saving a domain, also when something ends in between.

use super::harness::{Harness, SAVE, START, STOP, obeyed, running};
use crate::base::progress::Progress;
use crate::core::{Answer, Op, Order, Until};
use crate::spec::Mode;
use crate::toolstack::ShutdownReason;

const FRESH: Order = Order::Start {
    anyway: false,
    fresh: true,
    until: Until::Started,
};

fn saved() -> Harness {
    let mut h = running("");
    assert_eq!(h.ordered(SAVE, 5_000), obeyed());
    assert_eq!((h.state().as_str(), h.theirs()), ("SAVED", None));
    h
}

fn count(h: &Harness, word: &str) -> usize {
    h.ops.iter().filter(|op| op.word() == word).count()
}

#[test]
fn a_saved_domain_stays_saved_until_it_is_started_and_goes_on_from_there() {
    let mut h = saved();
    let status = h.published.clone().unwrap();
    assert!(status.saved_since.is_some());
    assert_eq!(
        (status.held.as_str(), status.last_err.as_str()),
        ("stopped", "")
    );
    h.half_minutes(2);
    h.restart();
    h.half_minutes(2);
    h.reboot_host();
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), h.file), ("SAVED", Some(false)));
    for how in [Order::Restore { file: None }, START] {
        assert_eq!(h.ordered(how.clone(), 5_000), obeyed());
        assert_eq!((h.state().as_str(), h.file), ("RUNNING", None), "{how:?}");
        assert!(h.published.clone().unwrap().saved_since.is_none());
        assert_eq!(h.ordered(SAVE, 5_000), obeyed());
    }
    assert_eq!((count(&h, "create"), count(&h, "restore")), (1, 2));
    // The domain boots anew only if the order says so.
    assert_eq!(h.ordered(FRESH, 5_000), obeyed());
    assert_eq!((h.state().as_str(), h.file), ("RUNNING", None));
    assert_eq!((count(&h, "create"), count(&h, "restore")), (2, 2));
}

/// A file that somebody has named is theirs: it is not removed, and what is saved in it is restored from there.
#[test]
fn how_far_a_save_is_shows_while_it_writes() {
    let mut h = running("");
    h.order(SAVE);
    h.advance(100);
    assert_eq!(h.published.clone().unwrap().state_reason, "being saved");
    h.progress(Progress {
        disk: None,
        done: 16 << 20,
        total: 64 << 20,
        rate: None,
    });
    let status = h.published.clone().unwrap();
    assert_eq!(status.state_reason, "being saved: 25 % of 64 MiB");
    assert_eq!(status.jobs[0].percent, Some(25));
    h.advance(5_000);
    let status = h.published.clone().unwrap();
    assert_eq!(status.state_name, "SAVED");
    assert!(
        !status.state_reason.contains('%'),
        "{}",
        status.state_reason
    );
}

#[test]
fn a_named_file_is_gone_on_from_and_stays() {
    let named = || Some("/f".to_owned());
    let mut h = running("");
    let order = Order::Save {
        until: Until::Started,
        file: named(),
    };
    assert_eq!(h.ordered(order, 5_000), obeyed());
    h.restart();
    h.half_minutes(1);
    assert_eq!((h.state().as_str(), h.file), ("SAVED", Some(false)));
    let other = Some("/other".to_owned());
    let again = h.ordered(Order::Restore { file: other }, 0);
    assert!(
        matches!(again.as_slice(), [Answer::Refused(why)] if why.contains("saved elsewhere")),
        "{again:?}"
    );
    let status = h.published.clone().unwrap();
    assert_eq!(
        (
            status.saved_in.as_str(),
            status.state_reason.contains("saved in /f")
        ),
        ("/f", true)
    );
    // START would do the same.
    assert_eq!(h.ordered(Order::Restore { file: named() }, 5_000), obeyed());
    assert_eq!((h.state().as_str(), h.file), ("RUNNING", Some(true)));
    assert!(
        h.ops
            .iter()
            .any(|op| matches!(op, Op::Restore(_, Some(file)) if file == "/f"))
    );
    // Somebody else has saved it and taken it away.
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.half_minutes(1);
    assert!(h.published.clone().unwrap().vanished);
    h.file = Some(false);
    assert_eq!(h.ordered(Order::Restore { file: named() }, 5_000), obeyed());
    assert_eq!(h.state(), "RUNNING");
    assert_eq!((count(&h, "create"), count(&h, "restore")), (1, 2));
    assert_eq!(count(&h, "discard saved"), 0);
}

/// A domain that cannot be restored is not booted instead, nor restored later: whoever asked for it knows that it failed.
#[test]
fn a_named_file_that_cannot_be_read_leaves_everything_as_it_was() {
    let mut h = running("");
    assert_eq!(h.ordered(STOP, 5_000), obeyed());
    h.fails = |op| matches!(op, Op::Restore(..));
    h.file = Some(false);
    let file = Some("/f".to_owned());
    let said = h.ordered(Order::Restore { file }, 600_000);
    assert!(
        matches!(said.as_slice(), [Answer::Accepted, Answer::Failed(why)] if why.contains("boot failed")),
        "{said:?}"
    );
    h.fails = |_| false;
    h.restart();
    h.half_minutes(60);
    assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
    assert_eq!((count(&h, "create"), count(&h, "restore")), (1, 3));
    let status = h.published.clone().unwrap();
    assert_eq!(
        (status.held.as_str(), status.saved_in.as_str()),
        ("stopped", "")
    );
}

/// As before: it is not saved in the file that was named, and does not go on from there at its next start.
#[test]
fn a_restore_from_a_named_file_that_is_cancelled_or_replaced_leaves_nothing() {
    for cancels in [true, false] {
        let mut h = Harness::new();
        h.wish(Some(Harness::desired(true, Mode::Pv, "sim.create=20")));
        h.advance(30_000);
        assert_eq!(h.ordered(STOP, 30_000), obeyed());
        h.file = Some(false);
        let file = Some("/f".to_owned());
        h.order(Order::Restore { file });
        h.advance(1_000);
        if cancels {
            h.cancel();
        } else {
            h.order(STOP);
        }
        h.advance(60_000);
        assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
        assert_eq!(h.ordered(START, 60_000), obeyed());
        assert_eq!((count(&h, "create"), count(&h, "restore")), (2, 1));
    }
}

/// The save comes to its end, and then the other order is obeyed or refused.
#[test]
fn an_order_that_is_not_its_end_waits_for_a_save() {
    for (order, answer) in [
        (SAVE, Answer::Refused("it is saved already".to_owned())),
        (
            Order::Pause,
            Answer::Refused("it is being brought down".to_owned()),
        ),
    ] {
        let mut h = running("");
        let save = h.order(SAVE);
        h.advance(100);
        assert!(h.is_busy());
        assert_eq!(h.ordered(order, 5_000), [answer]);
        assert!(h.answers.contains(&(save, Answer::Done)), "{:?}", h.answers);
        assert_eq!((h.state().as_str(), h.file), ("SAVED", Some(false)));
    }
}

#[test]
fn a_domain_is_dumped_while_it_goes_on() {
    for file in [None, Some("/f".to_owned())] {
        let mut h = running("");
        let order = || Order::DumpCore { file: file.clone() };
        assert_eq!(h.ordered(order(), 1_000), obeyed());
        assert_eq!(h.ops.last().map(Op::word), Some("dump"));
        // An agent that has ended in its middle does it again.
        let dump = h.order(order());
        h.advance(50);
        h.restart();
        h.advance(5_000);
        assert_eq!(h.answers.last(), Some(&(dump, Answer::Done)));
        let dump = h.order(order());
        h.advance(50);
        assert_eq!(h.ordered(STOP, 5_000), obeyed());
        assert!(h.answers.contains(&(dump, Answer::Done)), "{:?}", h.answers);
    }
    // One that has ended and is kept for somebody to look into.
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.on_crash = "preserve".into();
    })));
    h.advance(5_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::CRASH).unwrap());
    h.half_minutes(1);
    assert_eq!(h.state(), "PRESERVED");
    assert_eq!(h.ordered(Order::DumpCore { file: None }, 1_000), obeyed());
    assert_eq!(h.state(), "PRESERVED");
}

#[test]
fn a_domain_that_cannot_be_saved_goes_on() {
    let mut h = running("");
    let id = h.domain();
    h.fails = |op| matches!(op, Op::Save(..));
    match h.ordered(SAVE, 5_000).as_slice() {
        [Answer::Accepted, Answer::Failed(why)] if why.contains("it goes on running") => {}
        said => panic!("{said:?}"),
    }
    let status = h.published.clone().unwrap();
    assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id));
    assert_eq!((status.held.as_str(), h.file), ("", None));
    // A guest that never suspends.
    let mut h = running("sim.deaf");
    let said = h.ordered(SAVE, 120_000);
    assert!(
        matches!(said.as_slice(), [_, Answer::Failed(_)]),
        "{said:?}"
    );
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn what_cannot_be_saved_is_refused() {
    let refuses =
        |h: &mut Harness, how: Order, words: &str| match h.ordered(how.clone(), 1_000).as_slice() {
            [Answer::Refused(why)] if why.contains(words) => {}
            said => panic!("{how:?}: {said:?}"),
        };
    let mut h = running("");
    refuses(&mut h, Order::Restore { file: None }, "it is not saved");
    h.ordered(Order::Pause, 1_000);
    refuses(&mut h, SAVE, "paused");
    h.ordered(
        Order::Stop {
            destroy: true,
            until: Until::Started,
        },
        5_000,
    );
    refuses(&mut h, SAVE, "there is no domain");
    let mut h = saved();
    refuses(&mut h, SAVE, "it is saved already");
    assert_eq!(h.file, Some(false));
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, Mode::Pv, "", |c| {
        c.io_adapter_list = vec![crate::frontends::eve::IoAdapter {
            name: "eth1".into(),
            ..crate::frontends::eve::IoAdapter::default()
        }];
    })));
    h.advance(5_000);
    assert_eq!(h.state(), "RUNNING");
    refuses(&mut h, SAVE, "devices of the host");
}

/// The result of the save is unknown: it counts as not done, and the guest goes on where it was.
#[test]
fn a_save_whose_end_nobody_has_seen_is_taken_back() {
    for whole in [false, true] {
        let mut h = running("");
        let id = h.domain();
        if whole {
            // The file is there, and the agent does not learn of it.
            h.dies = true;
            h.order(SAVE);
            h.advance(5_000);
            assert!(!h.dies);
        } else {
            h.order(SAVE);
            h.advance(200);
            assert!(h.is_busy());
        }
        h.restart();
        h.half_minutes(2);
        assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id), "{whole}");
        assert_eq!(count(&h, "resume"), 1);
        assert_eq!(h.published.clone().unwrap().held, "");
        // When the host goes down, the domain is not mistaken for one that was moved.
        h.reboot_host();
        h.half_minutes(2);
        assert_eq!((h.state().as_str(), count(&h, "create")), ("RUNNING", 2));
    }
}

#[test]
fn a_host_that_goes_down_during_a_save_takes_nothing_with_it() {
    let mut h = running("");
    h.order(SAVE);
    h.advance(200);
    h.reboot_host();
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), count(&h, "create")), ("RUNNING", 2));
    assert!(!h.published.unwrap().vanished);
}

/// A guest that has been asked to suspend may obey after the agent has ended.
#[test]
fn a_guest_that_suspends_after_the_agent_has_ended_goes_on() {
    let mut h = running("sim.slow");
    let id = h.domain();
    h.order(SAVE);
    h.advance(10);
    h.restart();
    h.half_minutes(3);
    assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id));
}

#[test]
fn an_agent_that_ends_before_the_saved_domain_is_gone_leaves_it_saved() {
    for millis in [400, 420, 450, 500, 600, 700] {
        let mut h = running("");
        h.order(SAVE);
        h.advance(millis);
        let known = h.published.clone().unwrap().saved_since.is_some();
        h.restart();
        h.half_minutes(2);
        let wanted = if known { "SAVED" } else { "RUNNING" };
        assert_eq!(h.state(), wanted, "after {millis} ms");
    }
}

#[test]
fn a_domain_that_somebody_has_resumed_is_not_saved() {
    let mut h = running("");
    let id = h.domain();
    // The domain cannot be destroyed for a while.
    h.starves = |op| matches!(op, Op::Destroy(_));
    h.order(SAVE);
    h.advance(1_000);
    h.outside(|xen, id| xen.resume(id).unwrap());
    h.starves = |_| false;
    h.half_minutes(2);
    assert_eq!(
        (h.state().as_str(), h.domain(), h.file),
        ("RUNNING", id, None)
    );
    let status = h.published.clone().unwrap();
    assert_eq!((status.held.as_str(), status.saved_since), ("", None));
}

#[test]
fn one_that_was_restored_and_never_ran_is_restored_again() {
    // The agent is killed: the domain that it has built is not known to be whole.
    let mut h = saved();
    h.dies = true;
    h.order(Order::Restore { file: None });
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), h.file), ("RUNNING", None));
    assert_eq!((count(&h, "create"), count(&h, "restore")), (1, 2));
    // The host goes down.
    let mut h = saved();
    h.order(Order::Restore { file: None });
    h.advance(30);
    assert!(h.is_busy());
    h.reboot_host();
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), h.file), ("RUNNING", None));
    assert_eq!((count(&h, "create"), count(&h, "restore")), (1, 2));
}

/// Somebody else has restored the domain from the file.
#[test]
fn one_that_is_found_running_is_not_saved() {
    let mut h = saved();
    h.outsiders = true;
    h.meanwhile(|xen| xen.outsider(super::harness::KEY, "app.1", None));
    h.half_minutes(2);
    let status = h.published.clone().unwrap();
    assert_eq!((h.state().as_str(), status.held.as_str()), ("RUNNING", ""));
    assert_eq!((status.saved_since, h.file), (None, None));
    h.order(Order::Stop {
        destroy: true,
        until: Until::Started,
    });
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), h.file), ("HALTED", None));
}

#[test]
fn an_order_that_comes_meanwhile_ends_a_save() {
    let mut h = running("");
    let id = h.order(SAVE);
    h.advance(100);
    assert!(h.is_busy());
    assert_eq!(
        h.ordered(
            Order::Stop {
                destroy: false,
                until: Until::Started
            },
            60_000
        ),
        obeyed()
    );
    let said = h.answers.iter().filter(|(of, _)| *of == id);
    let said: Vec<_> = said.map(|(_, answer)| answer.clone()).collect();
    assert!(
        matches!(said.as_slice(), [Answer::Accepted, Answer::Failed(why)] if why.contains("given up")),
        "{said:?}"
    );
    assert_eq!(
        (h.state().as_str(), h.theirs(), h.file),
        ("HALTED", None, None)
    );
}

/// libxl lets such a guest go on, and so does the next agent if there is one.
#[test]
fn a_guest_that_obeys_a_save_after_it_was_given_up_goes_on() {
    for killed in [false, true] {
        let mut h = running("");
        h.order(SAVE);
        h.advance(20);
        assert_eq!(h.ordered(START, 200), obeyed());
        assert_eq!(h.state(), "SUSPENDED");
        if !killed {
            // No event tells the agent of a resume.
            h.advance(130_000);
        }
        h.restart();
        h.advance(200);
        assert_eq!(h.state(), "RUNNING", "{killed}: {:?}", h.notes);
        assert_eq!((count(&h, "create"), count(&h, "restore")), (1, 0));
        if killed {
            h.advance(12_000);
        }
        // A later suspend is somebody else's business.
        h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
        h.half_minutes(1);
        assert_eq!(h.state(), "SUSPENDED");
    }
}

/// A guest that is booting finds a request when its drivers come up, if nobody takes the request back.
#[test]
fn a_guest_that_boots_hears_nothing_of_a_save_that_came_to_nothing() {
    for killed in [false, true] {
        let mut h = running("sim.deaf=200");
        let id = h.domain();
        h.order(SAVE);
        h.advance(1_000);
        if killed {
            h.restart();
        } else {
            assert_eq!(h.ordered(START, 200), obeyed());
        }
        h.half_minutes(10);
        let seen = (h.state(), h.domain(), count(&h, "resume"));
        assert_eq!(seen, ("RUNNING".to_owned(), id, 0), "{killed}");
        assert_eq!(count(&h, "withdraw"), usize::from(killed));
    }
}

/// The newer order counts: the guest goes on where it was, and the order finds it running.
#[test]
fn an_order_that_comes_too_late_to_end_a_save_takes_it_back() {
    for (order, state, creates) in [
        (START, "RUNNING", 1),
        (Order::Restart, "RUNNING", 2),
        (STOP, "HALTED", 1),
    ] {
        let mut h = running("");
        h.too_late = true;
        let save = h.order(SAVE);
        h.advance(20);
        assert!(h.is_busy());
        assert_eq!(h.ordered(order.clone(), 60_000), obeyed(), "{order:?}");
        let mut said = h.answers.iter().filter(|(of, _)| *of == save);
        assert!(
            matches!(said.next_back(), Some((_, Answer::Failed(why))) if why.contains("given up")),
            "{order:?}"
        );
        assert_eq!(
            (h.state().as_str(), h.file, count(&h, "create")),
            (state, None, creates),
            "{order:?}"
        );
        assert_eq!((count(&h, "save"), count(&h, "restore")), (1, 0));
    }
}

#[test]
fn a_saved_domain_whose_file_is_removed_leaves_nothing() {
    let mut h = saved();
    h.wish(None);
    h.half_minutes(2);
    assert!(h.finished);
    assert_eq!(h.file, None);
}

#[test]
fn a_guest_that_ends_while_it_is_saved_has_ended() {
    let mut h = running("");
    let id = h.order(SAVE);
    h.advance(10);
    h.outside(|xen, id| drop(xen.shut_down(id, ShutdownReason::POWEROFF)));
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), h.file), ("HALTED", None));
    let failed = |(of, answer): &(u64, Answer)| *of == id && matches!(answer, Answer::Failed(_));
    assert!(h.answers.iter().any(failed), "{:?}", h.answers);
}

/// The domains go down with the host, and come back with it.
#[test]
fn what_is_kept_down_for_the_hosts_sake_comes_back_with_it() {
    let until = Until::Boot;
    for how in [
        Order::Save { until, file: None },
        Order::Stop {
            destroy: false,
            until,
        },
    ] {
        let mut h = running("");
        assert_eq!(h.ordered(how.clone(), 60_000), obeyed());
        h.restart();
        h.half_minutes(2);
        assert_eq!(h.theirs(), None, "not before the host has been down");
        assert!(h.published.clone().unwrap().held_until_boot);
        h.reboot_host();
        h.half_minutes(2);
        let status = h.published.clone().unwrap();
        assert_eq!((h.state().as_str(), status.held.as_str()), ("RUNNING", ""));
        let restored = matches!(how, Order::Save { .. });
        assert_eq!(count(&h, "restore"), usize::from(restored));
        assert_eq!(h.file, None);
    }
}
