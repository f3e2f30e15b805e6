//! Guests that end again and again.

use std::time::Duration;

use super::harness::Harness;
use crate::spec::Mode;

/// Returns the number of restarts within ten minutes of a guest that ends one second after each start.
fn restarts(mode: Mode, ends_with: u8, action: &str, step: i64) -> u32 {
    let words = format!("sim.reason={ends_with} lab.after=1");
    let mut h = Harness::new();
    h.wish(Some(Harness::desired_with(true, mode, &words, |c| {
        for slot in [&mut c.on_reboot, &mut c.on_crash, &mut c.on_soft_reset] {
            *slot = action.into();
        }
    })));
    for _ in 0..20 {
        h.half_minutes(1);
        // An operator, or NTP, sets the clock.
        h.clock_step += time::Duration::seconds(step);
        h.hint();
    }
    assert_ne!(h.state(), "HALTED");
    h.published.as_ref().unwrap().restarts
}

#[test]
fn every_kind_of_loop_is_slowed_down_whatever_the_wall_clock_does() {
    for (mode, ends_with, action) in [
        (Mode::Pv, 1, "restart"),
        (Mode::Pv, 3, "restart"),
        (Mode::Pv, 3, "coredump-restart"),
        (Mode::Hvm, 5, "soft-reset"),
        // A guest that has not asked for a soft reset, or has no device model, is restarted instead.
        (Mode::Hvm, 1, "soft-reset"),
        (Mode::Pv, 5, "soft-reset"),
    ] {
        let counts = [0, 3600, -3600].map(|step| restarts(mode, ends_with, action, step));
        println!("{mode:?} reason {ends_with} {action}: {counts:?} restarts in ten minutes");
        assert!((8..20).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts, [counts[0]; 3]);
    }
}

#[test]
fn the_pause_shows_and_a_newer_wish_cuts_it_short() {
    for (mode, ends_with, action) in [(Mode::Pv, 3, "restart"), (Mode::Hvm, 5, "soft-reset")] {
        let words = format!("sim.reason={ends_with} lab.after=1");
        let config = |activate, version: &str| {
            Harness::desired_with(activate, mode, &words, |c| {
                c.on_crash = action.into();
                c.uuid_and_version.version = version.into();
            })
        };
        let mut h = Harness::new();
        h.wish(Some(config(true, "1")));
        // Long enough to have come to the pauses of a minute.
        h.advance(250_000);
        let waits = |h: &Harness| h.published.as_ref().unwrap().next_retry.is_some();
        for waiting in [false, true] {
            for _ in 0..1000 {
                if waits(&h) != waiting {
                    h.advance(100);
                }
            }
        }
        let status = h.published.clone().unwrap();
        assert_eq!(status.state_name, "BOOTING");
        let wait = status.next_retry.unwrap() - h.now().wall;
        assert!(wait > Duration::from_secs(50), "{wait}");
        let before = status.restarts;
        h.wish(Some(config(true, "2")));
        h.advance(900);
        assert_eq!(h.state(), "RUNNING", "{:?}", h.notes);
        assert_eq!(h.published.as_ref().unwrap().restarts, before);
        h.wish(Some(config(false, "3")));
        h.advance(5000);
        assert_eq!(h.state(), "HALTED");
    }
}

#[test]
fn a_guest_that_lived_long_enough_is_forgiven() {
    let mut h = Harness::new();
    h.wish(Some(Harness::desired(
        true,
        Mode::Hvm,
        "sim.reason=5 lab.after=11",
    )));
    h.half_minutes(20);
    let restarts = h.published.as_ref().unwrap().restarts;
    assert!(restarts > 45, "{restarts}");
}
