//! Migration to another host and from one, also when something ends in between.

use std::sync::Arc;

use uuid::Uuid;

use super::harness::{Harness, START, STOP, obeyed, refused, running};
use crate::core::{Answer, Elsewhere, Op, Order, Until};
use crate::host::remote::{Destination, Receiver};
use crate::spec::{Mode, Spec};
use crate::toolstack::{AWAY, Error, ErrorKind, HandedOver};

const TOKEN: Uuid = Uuid::from_u128(0x70);

fn to(receiver: Receiver) -> Order {
    Order::Migrate {
        to: Arc::new(Destination {
            host: "beta".to_owned(),
            via: None,
            receiver,
            token: TOKEN,
            timeout: None,
            suspended_first: false,
            until_boot: false,
        }),
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Other, "the connection is gone")
}

fn destroy() -> Order {
    Order::Stop {
        destroy: true,
        until: Until::Started,
    }
}

/// A worker whose guest was given away, and whose other host has not answered.
fn undecided(receiver: Receiver) -> Harness {
    let mut h = running("");
    h.other.word = HandedOver::Undecided(lost());
    let said = h.ordered(to(receiver), 5_000);
    assert!(
        matches!(said.as_slice(), [Answer::Accepted, Answer::Failed(why)] if why.contains("has not said")),
        "{said:?}"
    );
    assert_eq!(h.state(), "SUSPENDED");
    h
}

fn count(h: &Harness, word: &str) -> usize {
    h.ops.iter().filter(|op| op.word() == word).count()
}

#[test]
fn a_guest_that_has_moved_is_not_built_again_by_any_wish() {
    let mut h = running("");
    assert_eq!(h.ordered(to(Receiver::Agent), 5_000), obeyed());
    let wish = |version: &str, run| {
        let version = version.to_owned();
        Harness::desired_with(run, Mode::Pv, "", move |c| {
            c.uuid_and_version.version = version;
        })
    };
    for act in 0..5 {
        match act {
            0 => h.restart(),
            1 => h.wish(Some(wish("2", true))),
            2 => h.wish(Some(wish("3", false))),
            3 => h.wish(Some(wish("4", true))),
            _ => h.reboot_host(),
        }
        h.half_minutes(2);
        assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None), "{act}");
        assert_eq!(h.published.clone().unwrap().moved_to, "beta");
    }
    refused(&h.ordered(START, 1_000), "migrated to beta");
    refused(&h.ordered(to(Receiver::Agent), 1_000), "migrated to beta");
    assert_eq!((count(&h, "create"), count(&h, "discard")), (1, 0));
    // A person knows that it does not run there any more.
    h.other.runs = false;
    let anyway = Order::Start {
        anyway: true,
        fresh: false,
        until: Until::Started,
    };
    assert_eq!(h.ordered(anyway, 5_000), obeyed());
    assert_eq!(h.published.clone().unwrap().moved_to, "");
    // Nothing is left of it when it has moved and its file is removed.
    assert_eq!(h.ordered(to(Receiver::Agent), 5_000), obeyed());
    h.wish(None);
    h.half_minutes(1);
    assert!(h.finished);
}

#[test]
fn a_guest_that_cannot_be_sent_or_is_given_back_goes_on() {
    let mut h = running("");
    let id = h.domain();
    h.fails = |op| matches!(op, Op::Send(..));
    let said = h.ordered(to(Receiver::Agent), 5_000);
    assert!(
        matches!(said.as_slice(), [_, Answer::Failed(why)] if why.contains("it goes on running")),
        "{said:?}"
    );
    h.fails = |_| false;
    for word in [HandedOver::Kept(lost()), HandedOver::GivenBack(lost())] {
        h.other.word = word;
        let said = h.ordered(to(Receiver::Agent), 5_000);
        assert!(
            matches!(said.as_slice(), [_, Answer::Failed(why)] if why.contains("it goes on running")),
            "{said:?}"
        );
        assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id));
    }
    // The guest is not asked any more once it has been cancelled.
    h.order(to(Receiver::Agent));
    h.advance(100);
    h.cancel();
    h.half_minutes(10);
    assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id));
    assert_eq!(count(&h, "hand over"), 2);
}

#[test]
fn an_agent_that_ends_while_it_sends_lets_the_guest_go_on() {
    for late in [50, 300, 380] {
        let mut h = running("");
        let id = h.domain();
        // It has heard no GO.
        h.other.answer = Some(Elsewhere::Never);
        h.order(to(Receiver::Agent));
        h.advance(late);
        h.restart();
        h.half_minutes(10);
        assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id), "{late}");
    }
}

#[test]
fn a_guest_given_away_stays_suspended_until_the_other_host_has_answered() {
    for (answer, state) in [(Elsewhere::Runs, "HALTED"), (Elsewhere::Never, "RUNNING")] {
        let mut h = undecided(Receiver::Agent);
        for act in 0..4 {
            match act {
                0 => {}
                1 => h.restart(),
                2 => h.wish(Some(Harness::desired(false, Mode::Pv, ""))),
                _ => h.wish(None),
            }
            h.half_minutes(4);
            assert_eq!(h.state(), "SUSPENDED", "{act}");
        }
        h.wish(Some(Harness::desired(true, Mode::Pv, "")));
        for order in [
            STOP,
            START,
            Order::Restart,
            Order::Pause,
            to(Receiver::Agent),
        ] {
            refused(&h.ordered(order, 100), "given away to beta");
        }
        let said = h.ordered(Order::Resolve, 5_000);
        assert!(
            matches!(said.as_slice(), [_, Answer::Failed(why)] if why.contains("not known where")),
            "{said:?}"
        );
        h.other.answer = Some(answer);
        h.other.runs = answer == Elsewhere::Runs;
        assert_eq!(h.ordered(Order::Resolve, 5_000), obeyed());
        h.half_minutes(1);
        assert_eq!(h.state(), state);
        assert_eq!(h.theirs().is_some(), answer == Elsewhere::Never);
        refused(&h.ordered(Order::Resolve, 100), "was not given away");
    }
}

/// Goes every way from and to a guest that was given away.
pub(super) fn every_end() {
    a_guest_given_away_stays_suspended_until_the_other_host_has_answered();
    a_person_decides_what_xl_cannot_be_asked();
}

/// Nobody has to ask for it.
#[test]
fn the_agent_asks_by_itself() {
    let mut h = undecided(Receiver::Agent);
    let asked = count(&h, "ask");
    h.half_minutes(20);
    let often = count(&h, "ask") - asked;
    assert!((3..40).contains(&often), "{often}");
    h.other.answer = Some(Elsewhere::Never);
    h.half_minutes(20);
    assert_eq!(h.state(), "RUNNING");
}

#[test]
fn a_person_decides_what_xl_cannot_be_asked() {
    let mut h = undecided(Receiver::Xl);
    h.half_minutes(10);
    assert_eq!((h.state().as_str(), count(&h, "ask")), ("SUSPENDED", 0));
    h.outside(|xen, id| {
        xen.rename(id, &format!("app.1{AWAY}")).unwrap();
        xen.resume(id).unwrap();
    });
    h.half_minutes(2);
    assert_eq!(h.state(), "RUNNING");
    assert_eq!(h.theirs().unwrap().name.as_deref(), Some("app.1"));

    let mut h = undecided(Receiver::Xl);
    h.other.answer = Some(Elsewhere::Runs);
    assert_eq!(h.ordered(destroy(), 5_000), obeyed());
    assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
    refused(&h.ordered(START, 1_000), "migrated to beta");

    let mut h = undecided(Receiver::Xl);
    h.outside(|xen, id| xen.kill(id).unwrap());
    h.half_minutes(1);
    let status = h.published.clone().unwrap();
    assert_eq!(
        (h.state().as_str(), status.moved_to.as_str()),
        ("HALTED", "beta")
    );
}

fn receive() -> Order {
    let config = Harness::desired(true, Mode::Pv, "");
    let spec: Spec = (**config.spec.as_ref().unwrap()).clone();
    Order::Receive {
        spec: Arc::new(spec),
        token: TOKEN,
        until: Until::Started,
    }
}

/// A worker whose file does not have the domain run.
fn empty() -> Harness {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(false, Mode::Pv, "")));
    h.advance(1_000);
    h
}

#[test]
fn a_guest_that_comes_runs_here_and_stays() {
    let mut h = empty();
    assert_eq!(h.ordered(receive(), 5_000), obeyed());
    assert_eq!(h.theirs().unwrap().name.as_deref(), Some("app.1"));
    let id = h.domain();
    h.restart();
    h.half_minutes(4);
    assert_eq!((h.state().as_str(), h.domain()), ("RUNNING", id));
    refused(&h.ordered(receive(), 1_000), "it is here already");
    assert_eq!(count(&h, "create"), 0);
    // Its guest reboots.
    h.outside(|xen, id| {
        xen.shut_down(id, crate::toolstack::ShutdownReason::REBOOT)
            .unwrap();
    });
    h.half_minutes(2);
    assert_eq!((h.state().as_str(), count(&h, "create")), ("RUNNING", 1));
}

#[test]
fn a_guest_that_does_not_come_leaves_nothing_here() {
    let mut h = empty();
    h.other.says_go = false;
    let said = h.ordered(receive(), 5_000);
    assert!(
        matches!(said.as_slice(), [_, Answer::Failed(why)] if why.contains("no GO")),
        "{said:?}"
    );
    h.other.says_go = true;
    h.half_minutes(1);
    assert_eq!((h.state().as_str(), h.theirs()), ("HALTED", None));
    for op in ["receive", "land"] {
        h.fails = match op {
            "receive" => |op| matches!(op, Op::Receive(..)),
            _ => |op| matches!(op, Op::Land(..)),
        };
        let said = h.ordered(receive(), 5_000);
        assert!(
            matches!(said.as_slice(), [_, Answer::Failed(_)]),
            "{said:?}"
        );
        h.fails = |_| false;
        h.half_minutes(1);
        assert_eq!(
            (h.could_run().len(), h.state().as_str()),
            (0, "HALTED"),
            "{op}"
        );
    }
    // Its file has it run here, but somebody has ended it, and what comes is not what was here.
    h.restart();
    h.half_minutes(2);
    assert_eq!(h.could_run().len(), 0);
}

/// Before GO the guest is its source's, and afterwards this host's.
#[test]
fn an_agent_that_ends_while_it_receives_knows_whose_the_guest_is() {
    let mut seen = std::collections::BTreeSet::new();
    for millis in 0..400 {
        let mut h = empty();
        h.order(receive());
        h.advance(millis);
        let granted = h.ops.iter().any(|op| matches!(op, Op::Land(..)));
        h.restart();
        h.half_minutes(4);
        let runs = h.state() == "RUNNING";
        assert_eq!(runs, granted, "{millis}");
        assert_eq!(h.could_run().len(), usize::from(granted), "{millis}");
        seen.insert(granted);
    }
    assert_eq!(seen.len(), 2);
}
