//! Actions of an outsider on a managed domain: suspend, resume, save, migrate, restore, rename, destroy.
//!
//! Each case is tried with events that come in time, late, twice, never, and from sources that nobody arms again. The
//! result must be seen after one resync at the latest.

mod ended;
mod moved;
mod suspended;

use super::harness::{Delivery, Harness, KEY};
use crate::core::Op;
use crate::spec::Mode;
use crate::spec::settings::Settings;
use crate::toolstack::{DomainId, ShutdownReason};

const WAYS: [(&str, Delivery); 5] = [
    ("in time", way()),
    (
        "late",
        Delivery {
            delay: 20_000,
            ..way()
        },
    ),
    (
        "twice",
        Delivery {
            doubled: true,
            ..way()
        },
    ),
    (
        "never",
        Delivery {
            lost: true,
            ..way()
        },
    ),
    (
        "not armed again",
        Delivery {
            bare: true,
            ..way()
        },
    ),
];

const fn way() -> Delivery {
    Delivery {
        lost: false,
        doubled: false,
        delay: 0,
        bare: false,
    }
}

/// Tries a case with every kind of delivery, and reports the outcome.
fn every_way(number: usize, words: &str, case: impl Fn(&mut Harness)) {
    for (how, delivery) in WAYS {
        let mut h = managed(words, Settings::default());
        h.delivery = delivery;
        case(&mut h);
        report(number, how, &h);
    }
}

/// Descriptions of the cases.
const CASES: [&str; 15] = [
    "suspend, resume, poweroff",
    "checkpoint, reboot",
    "migration fails, poweroff",
    "suspend and resume twice, crash",
    "poweroff in the instant of resume",
    "another dies while suspended",
    "late suspend",
    "guest never answers",
    "ended or renamed by an outsider",
    "number taken by another",
    "unknown reason",
    "no answer after GO",
    "save aborted, or disk full",
    "localhost migration",
    "save, destroy, restore",
];

fn report(number: usize, how: &str, h: &Harness) {
    let end = h.published.as_ref().map_or("", |s| &s.shutdown_reason);
    println!(
        "{number:2} {:33} events {how:15} built {} destroyed {}  {} ({end})",
        CASES[number - 1],
        creates(h),
        destroys(h),
        h.trail.join(" > "),
    );
}

/// Returns a harness with a running domain, whose operations and trail so far are forgotten.
fn managed(words: &str, settings: Settings) -> Harness {
    let mut h = Harness::with(settings);
    h.wish(Some(Harness::desired(true, Mode::Pv, words)));
    h.advance(1000);
    assert_eq!(h.state(), "RUNNING");
    h.ops.clear();
    h.trail = vec![h.state()];
    h
}

/// Lets as much time pass as it may take until a change is seen and dealt with.
fn soon(h: &mut Harness) {
    h.half_minutes(1);
    h.advance(2000);
}

fn ours(h: &Harness) -> DomainId {
    h.domain().unwrap()
}

fn suspend(h: &mut Harness) {
    let id = ours(h);
    h.meanwhile(|xen| xen.shut_down(id, ShutdownReason::SUSPEND).unwrap());
}

fn resume(h: &mut Harness) {
    let id = ours(h);
    h.meanwhile(|xen| xen.resume(id).unwrap());
}

fn end(h: &mut Harness, reason: ShutdownReason) {
    let id = ours(h);
    h.meanwhile(|xen| xen.shut_down(id, reason).unwrap());
}

fn rename(h: &mut Harness, id: DomainId, name: &str) {
    h.meanwhile(|xen| xen.rename(id, name).unwrap());
}

fn count(h: &Harness, wanted: impl Fn(&Op) -> bool) -> usize {
    h.ops.iter().filter(|op| wanted(op)).count()
}

fn creates(h: &Harness) -> usize {
    count(h, |op| matches!(op, Op::Create(_)))
}

fn destroys(h: &Harness) -> usize {
    count(h, |op| matches!(op, Op::Destroy(_)))
}

fn shown(h: &Harness) -> (String, String) {
    let status = h.published.as_ref().unwrap();
    (status.state_name.clone(), status.state_reason.clone())
}

/// Checks that the domain runs on as if nothing had happened, and that it is gone after a poweroff, on which the agent
/// acts once.
fn then_case_1(h: &mut Harness) {
    soon(h);
    assert_eq!(shown(h), ("RUNNING".into(), String::new()), "{:?}", h.notes);
    assert!(h.ops.is_empty(), "the agent had a hand in it: {:?}", h.ops);
    end(h, ShutdownReason::POWEROFF);
    soon(h);
    let status = h.published.as_ref().unwrap();
    assert_eq!(status.state_name, "HALTED", "{:?}", h.notes);
    assert_eq!(status.shutdown_reason, "poweroff");
    assert!(!status.vanished);
    h.half_minutes(4);
    assert_eq!((creates(h), destroys(h)), (0, 1), "{:?}", h.ops);
    assert_eq!(h.xen.live(KEY), 0);
}

const SUSPENDED: &str = "suspended by another toolstack, for a save, a migration or a rest: it is for that to resume or \
                         destroy it";
