//! Orders while they are worked off: what is shown of them, what remains of them, and how they are cancelled.

use std::sync::Arc;

use super::changing::disk;
use super::harness::{Harness, SAVE, START, STOP, obeyed, refused, running};
use crate::core::{Answer, Desired, Order};
use crate::frontends::eve::{DiskConfig, Job};
use crate::spec::Mode;

/// A DomainConfig with a disk that is copied from an image, which takes a while.
fn with_copy(activate: bool) -> Desired {
    Harness::desired_with(activate, Mode::Pv, "sim.create=5", |c| {
        c.disk_config_list = vec![DiskConfig {
            image_sha256: "aa".into(),
            ..DiskConfig::default()
        }];
    })
}

/// A host whose domain is not to run.
fn down(config: Desired) -> Harness {
    let mut h = Harness::new();
    h.wish(Some(config));
    h.advance(1_000);
    assert_eq!(h.theirs(), None);
    h
}

/// Returns the answers to the order with this number.
fn answers(h: &Harness, id: u64) -> Vec<Answer> {
    let said = h.answers.iter().filter(|(of, _)| *of == id);
    said.map(|(_, answer)| answer.clone()).collect()
}

fn jobs(h: &Harness) -> Vec<Job> {
    h.published.clone().unwrap().jobs
}

fn cancelled() -> Vec<Answer> {
    vec![
        Answer::Accepted,
        Answer::Failed("cancelled by root".to_owned()),
    ]
}

#[test]
fn an_order_is_shown_while_it_is_worked_off_and_afterwards() {
    let mut h = down(with_copy(false));
    assert_eq!(jobs(&h), []);
    let id = h.order(START);
    h.advance(1_000);
    let [job] = jobs(&h).try_into().unwrap();
    assert_eq!(
        (job.id, job.verb.as_str(), job.by.as_str()),
        (id, "start", "root")
    );
    assert!(job.since.is_some() && job.ended.is_none(), "{job:?}");
    h.advance(60_000);
    assert_eq!(answers(&h, id), obeyed());
    let [done] = jobs(&h).try_into().unwrap();
    assert_eq!((done.id, done.failure.as_str()), (id, ""));
    assert!(done.ended > job.since, "{done:?}");
    // The last one stays beside the next one.
    let next = h.order(STOP);
    let ids: Vec<u64> = jobs(&h).iter().map(|job| job.id).collect();
    assert_eq!(ids, [id, next]);
    h.advance(60_000);
    let [last] = jobs(&h).try_into().unwrap();
    assert_eq!((last.id, last.failure.as_str()), (next, ""));
}

#[test]
fn a_start_is_cancelled_and_nothing_of_it_stays() {
    // While an image is copied, and while the domain is built; with a hold before, and without one.
    for wait in [1_000, 21_000] {
        for held in [false, true] {
            let mut h = down(with_copy(held));
            if held {
                assert_eq!(h.ordered(STOP, 5_000), obeyed());
            }
            let id = h.order(START);
            h.advance(wait);
            let cancel = h.cancel();
            h.advance(60_000);
            assert_eq!(answers(&h, id), cancelled(), "{wait}");
            assert_eq!(answers(&h, cancel), [Answer::Done], "{wait}");
            let status = h.published.clone().unwrap();
            assert_eq!(status.held, if held { "stopped" } else { "" });
            assert_eq!((h.theirs(), status.last_err.as_str()), (None, ""));
            h.restart();
            h.half_minutes(4);
            assert_eq!(h.theirs(), None, "{wait}");
            assert_eq!(jobs(&h)[0].failure, "cancelled by root");
            assert_eq!(h.ordered(START, 60_000), obeyed());
        }
    }
}

#[test]
fn a_restore_that_is_cancelled_leaves_what_is_saved() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(true, Mode::Pv, "sim.create=20")));
    h.advance(30_000);
    assert_eq!(h.ordered(SAVE, 30_000), obeyed());
    for too_late in [false, true] {
        h.too_late = too_late;
        let id = h.order(Order::Restore { file: None });
        h.advance(1_000);
        let cancel = h.cancel();
        h.advance(60_000);
        assert_eq!(answers(&h, id), cancelled());
        assert_eq!(answers(&h, cancel), [Answer::Done]);
        assert_eq!((h.state().as_str(), h.file), ("SAVED", Some(false)));
        assert_eq!(h.theirs(), None);
    }
    h.too_late = false;
    assert_eq!(h.ordered(Order::Restore { file: None }, 60_000), obeyed());
}

#[test]
fn what_cannot_be_taken_back_cannot_be_cancelled() {
    let mut h = Harness::new();
    let words = "sim.create=20 sim.fail-create=1";
    h.wish(Some(Harness::desired(true, Mode::Pv, words)));
    h.advance(1_000);
    assert!(h.state() == "BOOTING" && !h.is_busy());
    // Its config has it run: the order changes nothing about that.
    let start = h.order(START);
    let cancel = h.cancel();
    refused(&answers(&h, cancel), "stop it instead");
    h.advance(60_000);
    assert_eq!(answers(&h, start), obeyed());
    let late = h.cancel();
    refused(&answers(&h, late), "come to its end");
    // One that has not been taken up yet.
    let mut h = Harness::new();
    h.wish(Some(with_copy(true)));
    h.advance(1_000);
    let start = h.order(START);
    let cancel = h.cancel();
    refused(&answers(&h, start), "cancelled by root");
    assert_eq!(answers(&h, cancel), [Answer::Done]);
    h.advance(60_000);
    assert_eq!(
        (h.state().as_str(), answers(&h, start).len()),
        ("RUNNING", 1)
    );

    let mut h = running("sim.stubborn");
    let stop = h.order(STOP);
    h.advance(1_000);
    let cancel = h.cancel();
    refused(&answers(&h, cancel), "cannot be asked to stay");
    let mut h = running("");
    h.order(Order::DumpCore { file: None });
    h.advance(50);
    let cancel = h.cancel();
    refused(&answers(&h, cancel), "cannot stop while it writes");
    let other = h.ordered(Order::Cancel(stop + 100), 0);
    refused(&other, "another order");
}

#[test]
fn a_save_that_is_cancelled_lets_its_guest_go_on() {
    let mut h = running("");
    let id = h.order(SAVE);
    h.advance(100);
    let cancel = h.cancel();
    h.advance(30_000);
    assert_eq!(answers(&h, id), cancelled());
    assert_eq!(answers(&h, cancel), [Answer::Done]);
    assert_eq!((h.state().as_str(), h.file), ("RUNNING", None));
    // An abort that comes too late changes nothing.
    h.too_late = true;
    let id = h.order(SAVE);
    h.advance(100);
    let cancel = h.cancel();
    h.advance(30_000);
    assert_eq!(answers(&h, id), obeyed());
    assert!(
        matches!(answers(&h, cancel).as_slice(), [Answer::Failed(why)] if why.contains("done before")),
        "{:?}",
        h.answers
    );
    assert_eq!(h.state(), "SAVED");
}

#[test]
fn a_change_that_is_cancelled_is_not_remembered() {
    let mut h = running("");
    let id = h.order(Order::Change(Arc::new(disk("xvdb"))));
    h.advance(1);
    let cancel = h.cancel();
    h.advance(5_000);
    assert_eq!(answers(&h, id), cancelled());
    assert_eq!(answers(&h, cancel), [Answer::Done]);
    let status = h.published.clone().unwrap();
    assert_eq!((status.changed, status.waiting), (vec![], vec![]));
    // One that was made before the abort reached it is remembered.
    h.too_late = true;
    let id = h.order(Order::Change(Arc::new(disk("xvdb"))));
    h.advance(1);
    h.cancel();
    h.advance(5_000);
    assert_eq!(answers(&h, id), obeyed());
    assert_eq!(h.published.clone().unwrap().changed.len(), 1);
}

#[test]
fn orders_outlive_the_agent() {
    // The next agent answers nobody, but knows the order and its end.
    let mut h = down(with_copy(false));
    let id = h.order(START);
    h.advance(1_000);
    h.restart();
    h.advance(1_000);
    assert_eq!((jobs(&h)[0].id, jobs(&h)[0].ended), (id, None));
    h.advance(60_000);
    let [job] = jobs(&h).try_into().unwrap();
    assert!(job.ended.is_some() && job.failure.is_empty(), "{job:?}");

    // A save has not happened if the agent ends in its middle.
    let mut h = running("");
    h.order(SAVE);
    h.advance(100);
    h.restart();
    h.advance(60_000);
    let [job] = jobs(&h).try_into().unwrap();
    assert!(job.failure.contains("goes on running"), "{job:?}");
    assert_eq!(h.state(), "RUNNING");

    // Nobody knows whether the last agent has paused it.
    for (order, state) in [(Order::Pause, "PAUSED"), (Order::Unpause, "RUNNING")] {
        for dies in [false, true] {
            let mut h = running("");
            if order == Order::Unpause {
                assert_eq!(h.ordered(Order::Pause, 1_000), obeyed());
            }
            h.dies = dies;
            h.order(order.clone());
            h.advance(if dies { 100 } else { 1 });
            h.restart();
            h.advance(5_000);
            let [job] = jobs(&h).try_into().unwrap();
            assert_eq!(
                (h.state().as_str(), job.verb.as_str()),
                (state, order.word())
            );
            assert!(job.ended.is_some() && job.failure.is_empty(), "{job:?}");
        }
    }
}
