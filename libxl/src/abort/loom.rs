//! All orders of a thread that waits within limits and a thread that ends the wait. A relay waits
//! like this, for its handles and for its gate.

use std::sync::Arc;

use loom::thread;

use crate::{
    AbortHandle,
    limits::Gate,
    sync::{Bell, model},
};

#[test]
fn loom_an_abort_is_seen_before_the_wait_or_ends_it() {
    model(3, || {
        let abort = AbortHandle::new();
        let aborts = thread::spawn({
            let abort = abort.clone();
            move || abort.abort()
        });
        let bell = Arc::new(Bell::default());
        // In this order: see `Operation::start` and `Waiter::new`.
        abort.attach(&bell);
        while !abort.is_aborted() {
            bell.wait();
            bell.silence();
        }
        aborts.join().unwrap();
    });
}

/// Two threads wait with one handle: neither takes the other's wake-up.
#[test]
fn loom_an_abort_ends_every_wait() {
    model(2, || {
        let abort = AbortHandle::new();
        let waits = |abort: AbortHandle| {
            let bell = Arc::new(Bell::default());
            abort.attach(&bell);
            while !abort.is_aborted() {
                bell.wait();
                bell.silence();
            }
        };
        let other = thread::spawn({
            let abort = abort.clone();
            move || waits(abort)
        });
        let aborts = thread::spawn({
            let abort = abort.clone();
            move || abort.abort()
        });
        waits(abort);
        other.join().unwrap();
        aborts.join().unwrap();
    });
}

#[test]
fn loom_a_gate_that_opens_wakes_whoever_waits_for_it() {
    model(3, || {
        let gate = Arc::new(Gate::default());
        let opens = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.open()
        });
        let bell = Arc::new(Bell::default());
        gate.attach(&bell);
        while !gate.is_open() {
            bell.wait();
            bell.silence();
        }
        opens.join().unwrap();
    });
}
