//! Orders by hand, and the holds they leave behind.

use super::harness::{Harness, START, STOP, obeyed, refused, running};
use crate::core::{Answer, Desired, Op, Order, Until};
use crate::frontends::eve::DiskConfig;
use crate::host::disks::Copies;
use crate::spec::Mode;
use crate::toolstack::ShutdownReason;

const DESTROY: Order = Order::Stop {
    destroy: true,
    until: Until::Started,
};

/// A DomainConfig with a disk that is copied from an image, and not preserved.
fn with_copy(words: &str) -> Desired {
    Harness::desired_with(true, Mode::Pv, words, |c| {
        c.disk_config_list = vec![DiskConfig {
            image_sha256: "aa".into(),
            ..DiskConfig::default()
        }];
    })
}

/// Returns the treatment of copies, for each time the disks were made ready.
fn copies(h: &Harness) -> Vec<Copies> {
    let made = h.ops.iter().filter_map(|op| match op {
        Op::Disks(_, copies, _) => Some(*copies),
        _ => None,
    });
    made.collect()
}

fn creates(h: &Harness) -> usize {
    h.ops
        .iter()
        .filter(|op| matches!(op, Op::Create(_)))
        .count()
}

#[test]
fn what_was_stopped_stays_down_until_it_is_started() {
    let mut h = running("");
    assert_eq!(h.ordered(STOP, 5_000), obeyed());
    h.half_minutes(4);
    let status = h.published.clone().unwrap();
    assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
    assert_eq!(
        (status.held.as_str(), status.held_by.as_str()),
        ("stopped", "root")
    );
    assert!(
        status.state_reason.starts_with("stopped by root"),
        "{}",
        status.state_reason
    );
    // The domain does not come back with another agent, or after a reboot of the host.
    h.restart();
    h.half_minutes(2);
    h.reboot_host();
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 1));
    assert_eq!(h.ordered(START, 5_000), obeyed());
    let status = h.published.clone().unwrap();
    assert_eq!((h.state().as_str(), status.held.as_str()), ("RUNNING", ""));
}

#[test]
fn a_newer_wish_goes_before_a_hold_and_the_same_one_does_not() {
    let config = Harness::desired(true, Mode::Pv, "");
    let mut h = running("");
    h.ordered(STOP, 5_000);
    h.wish(Some(config));
    h.half_minutes(2);
    assert_eq!(h.state(), "HALTED");
    h.wish(Some(Harness::desired(true, Mode::Pv, "newer")));
    h.half_minutes(2);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.published.unwrap().held, "");
}

#[test]
fn what_its_config_does_not_activate_runs_if_it_is_started() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(false, Mode::Pv, "")));
    h.advance(5_000);
    assert_eq!(h.ordered(START, 5_000), obeyed());
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.published.clone().unwrap().held, "started");
    h.reboot_host();
    h.half_minutes(2);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.ordered(STOP, 5_000), obeyed());
    let status = h.published.clone().unwrap();
    // As if the config activated the domain: its copies are kept.
    assert_eq!(
        (h.state().as_str(), status.held.as_str()),
        ("HALTED", "stopped")
    );
}

#[test]
fn a_guest_that_ended_is_started_by_hand() {
    let mut h = running("");
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::POWEROFF).unwrap());
    h.half_minutes(1);
    assert_eq!(h.state(), "HALTED");
    assert_eq!(h.ordered(START, 5_000), obeyed());
    assert_eq!(h.state(), "RUNNING");
}

/// The domain may run on another host, and two instances would destroy its disks.
#[test]
fn what_somebody_took_away_is_started_only_if_it_is_said_twice() {
    let mut h = running("");
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.half_minutes(1);
    refused(&h.ordered(START, 5_000), "it may live on elsewhere");
    refused(
        &h.ordered(Order::Restart, 5_000),
        "it may live on elsewhere",
    );
    // A stop does not make the agent forget that the domain was taken away.
    assert_eq!(h.ordered(STOP, 5_000), obeyed());
    refused(&h.ordered(START, 5_000), "it may live on elsewhere");
    assert_eq!((h.state().as_str(), creates(&h)), ("HALTED", 1));
    assert_eq!(
        h.ordered(
            Order::Start {
                anyway: true,
                fresh: false,
                until: Until::Started
            },
            5_000
        ),
        obeyed()
    );
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn a_restart_is_a_stop_and_a_start_in_which_nothing_written_is_lost() {
    let mut h = Harness::new();
    h.wish(Some(with_copy("")));
    h.advance(60_000);
    let first = h.domain().unwrap();
    let id = h.order(Order::Restart);
    h.advance(60_000);
    assert!(h.answers.contains(&(id, Answer::Done)), "{:?}", h.answers);
    assert_ne!(h.domain().unwrap(), first);
    assert_eq!(h.published.clone().unwrap().held, "");
    // The same over a stop and a start.
    h.ordered(STOP, 10_000);
    h.ordered(START, 60_000);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(copies(&h), [Copies::Fresh, Copies::Keep, Copies::Keep]);
    assert!(
        !h.ops.iter().any(|op| matches!(op, Op::Discard(_))),
        "{:?}",
        h.ops
    );
}

/// A domain that an agent has left half-built has to go before the next one is built.
#[test]
fn a_restart_of_what_is_only_half_built_ends_when_the_next_one_runs() {
    for at in 0..40 {
        let mut h = Harness::new();
        h.wish(Some(Harness::desired(true, Mode::Pv, "")));
        h.advance(at * 20);
        h.restart();
        let id = h.order(Order::Restart);
        h.advance(120_000);
        let done = h.answers.contains(&(id, Answer::Done));
        assert!(done, "after {at}: {:?} {:?}", h.answers, h.notes);
        assert_eq!(h.state(), "RUNNING");
    }
}

/// The agent is killed after it has accepted an order.
#[test]
fn an_order_that_was_accepted_is_worked_off_by_the_next_agent() {
    for ordered in [STOP, Order::Restart, DESTROY] {
        let mut h = running("sim.ignore");
        let first = h.domain().unwrap();
        let id = h.order(ordered.clone());
        assert!(h.answers.contains(&(id, Answer::Accepted)));
        h.advance(20);
        h.restart();
        h.half_minutes(4);
        let wanted = if ordered == Order::Restart {
            "RUNNING"
        } else {
            "HALTED"
        };
        assert_eq!(h.state(), wanted, "{ordered:?}");
        assert_ne!(h.domain(), Some(first));
    }
}

#[test]
fn processors_are_taken_and_given_back() {
    let mut h = running("");
    refused(&h.ordered(Order::Unpause, 1_000), "not paused");
    assert_eq!(h.ordered(Order::Pause, 1_000), obeyed());
    assert_eq!(h.state(), "PAUSED");
    assert_eq!(h.published.clone().unwrap().state_reason, "paused by root");
    refused(&h.ordered(Order::Pause, 1_000), "paused already");
    refused(&h.ordered(START, 1_000), "unpause it");
    h.restart();
    h.half_minutes(1);
    assert_eq!(h.published.clone().unwrap().state_reason, "paused by root");
    assert_eq!(h.ordered(Order::Unpause, 1_000), obeyed());
    assert_eq!(h.state(), "RUNNING");
    // A failure is reported, and changes nothing.
    h.fails = |op| matches!(op, Op::Pause(_));
    let said = h.ordered(Order::Pause, 1_000);
    assert_eq!(said[1], Answer::Failed("no (simulated)".to_owned()));
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn a_suspended_domain_is_its_toolstacks() {
    let mut h = running("");
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
    h.half_minutes(1);
    assert_eq!(h.state(), "SUSPENDED");
    for ordered in [START, Order::Restart, Order::Pause, Order::Unpause] {
        refused(&h.ordered(ordered, 1_000), "is suspended");
    }
    assert_eq!(h.ordered(DESTROY, 1_000), obeyed());
    assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
}

#[test]
fn an_order_is_not_answered_with_what_became_of_the_one_before() {
    let mut h = running("sim.stop=5");
    let pause = h.order(Order::Pause);
    let stop = h.order(STOP);
    h.advance(1_000);
    assert!(
        !h.answers.contains(&(stop, Answer::Done)),
        "{:?}",
        h.answers
    );
    h.half_minutes(1);
    assert!(
        h.answers.contains(&(pause, Answer::Done)),
        "{:?}",
        h.answers
    );
    assert!(h.answers.contains(&(stop, Answer::Done)), "{:?}", h.answers);
    assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
}

/// The data that the guest has written is kept while the domain goes down, too.
#[test]
fn a_start_in_the_middle_of_a_stop_keeps_the_copies() {
    let mut h = Harness::new();
    h.wish(Some(with_copy("sim.stop=20")));
    h.advance(60_000);
    let first = h.domain().unwrap();
    h.ordered(STOP, 1_000);
    let id = h.order(START);
    h.half_minutes(3);
    assert!(h.answers.contains(&(id, Answer::Done)), "{:?}", h.answers);
    assert_ne!(h.domain().unwrap(), first);
    assert_eq!(copies(&h).last(), Some(&Copies::Keep));
}

#[test]
fn what_is_kept_to_be_looked_into_is_not_restarted_by_mistake() {
    let mut h = Harness::new();
    let wish = Harness::desired_with(true, Mode::Pv, "lab.action=crash lab.after=2", |c| {
        c.on_crash = "preserve".into();
    });
    h.wish(Some(wish));
    h.half_minutes(1);
    assert_eq!(h.state(), "PRESERVED");
    for ordered in [START, Order::Restart] {
        refused(&h.ordered(ordered, 1_000), "kept to be looked into");
    }
    assert_eq!(h.ordered(STOP, 5_000), obeyed());
    assert_eq!(h.theirs(), None);
}

#[test]
fn what_is_being_built_is_given_up_for_a_stop() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.create=30")));
    h.advance(1_000);
    assert_eq!(h.state(), "BOOTING");
    assert_eq!(h.ordered(STOP, 10_000), obeyed());
    assert_eq!(h.theirs(), None);
    // The newest order counts.
    let start = h.order(START);
    h.advance(1_000);
    assert_eq!(h.ordered(STOP, 10_000), obeyed());
    let given_up = "given up: root asked for stop".to_owned();
    assert!(
        h.answers.contains(&(start, Answer::Failed(given_up))),
        "{:?}",
        h.answers
    );
    assert_eq!(h.theirs(), None);
}

#[test]
fn a_start_that_comes_to_nothing_says_why() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(false, Mode::Pv, "sim.fail-create=9")));
    h.advance(1_000);
    let said = h.ordered(START, 60_000);
    match said.as_slice() {
        [Answer::Accepted, Answer::Failed(why)] if why.starts_with("boot failed: ") => {}
        _ => panic!("{said:?}"),
    }
}

#[test]
fn a_guest_that_does_not_obey_is_destroyed_at_once_if_asked() {
    let mut h = running("sim.deaf");
    let id = h.order(STOP);
    h.advance(10_000);
    assert_eq!(h.state(), "HALTING");
    assert!(!h.answers.contains(&(id, Answer::Done)));
    assert_eq!(h.ordered(DESTROY, 2_000), obeyed());
    assert_eq!(h.theirs(), None);
}

#[test]
fn a_domain_whose_file_was_removed_takes_no_orders() {
    let mut h = running("sim.deaf");
    h.wish(None);
    h.advance(5_000);
    // The guest is being asked to go down; an order waits for the end of that.
    refused(&h.ordered(START, 60_000), "was removed");
}

/// A migration begins while the guest is asked to go down.
#[test]
fn what_is_suspended_in_the_middle_of_a_restart_is_not_destroyed() {
    let mut h = running("sim.stubborn");
    let first = h.domain().unwrap();
    let id = h.order(Order::Restart);
    h.advance(5_000);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
    h.half_minutes(60);
    assert_eq!(h.theirs().unwrap().id, first);
    h.outside(|xen, id| xen.resume(id).unwrap());
    h.half_minutes(20);
    assert!(h.answers.contains(&(id, Answer::Done)), "{:?}", h.answers);
    assert_ne!(h.theirs().unwrap().id, first);
}

/// Each state is told once, with its reason; over restarts of the agent as well.
#[test]
fn what_becomes_of_a_domain_is_told_once() {
    let mut h = running("");
    let told = |h: &mut Harness| -> Vec<String> {
        let events = std::mem::take(&mut h.events);
        events
            .into_iter()
            .map(|e| {
                format!("{} {} {}", e.what, e.domid, e.detail)
                    .trim_end()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(
        told(&mut h),
        ["INSTALLED 0", "BOOTING 0", "BOOTING 2", "RUNNING 2"]
    );
    h.restart();
    h.half_minutes(2);
    assert_eq!(told(&mut h), [""; 0]);
    h.outside(|xen, id| xen.shut_down(id, ShutdownReason::REBOOT).unwrap());
    h.half_minutes(1);
    let said = told(&mut h);
    assert!(
        said.contains(&"BOOTING 2 reboot: restart".to_owned()),
        "{said:?}"
    );
    assert_eq!(said.last().unwrap(), "RUNNING 3");
    h.ordered(STOP, 5_000);
    let said = told(&mut h);
    assert!(
        said.iter().any(|e| e.starts_with("held 3 stopped by root")),
        "{said:?}"
    );
    assert_eq!(said.last().unwrap(), "HALTED 0");
    h.restart();
    h.half_minutes(2);
    assert_eq!(told(&mut h), [""; 0]);
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.fail-create=9")));
    h.half_minutes(2);
    let said = told(&mut h);
    assert!(said.contains(&"held 0 taken back".to_owned()), "{said:?}");
    assert!(
        said.iter().any(|e| e.starts_with("error 0 boot failed: ")),
        "{said:?}"
    );
}
