//! Tests of the pump that need no libxl.

use std::{
    os::fd::{AsFd, AsRawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Bell, Ended, Pump, Terms, Token, Turn, sys};
use crate::{
    AbortHandle,
    limits::Gate,
    pump::{poll::millis_until, table::Cause},
};

/// Reports the end of an operation as libxl does.
fn end(pump: &Pump, token: Token) {
    // SAFETY: a C structure of integers and pointers, all of which may be zero.
    let mut event: sys::libxl_event = unsafe { std::mem::zeroed() };
    event.type_ = sys::libxl_event_type::LIBXL_EVENT_TYPE_OPERATION_COMPLETE;
    event.for_user = token.0;
    // SAFETY: the union is zero, which is a result.
    unsafe { pump.note(&event) };
}

#[test]
fn what_was_abandoned_is_freed_at_its_end_and_not_under_the_lock() {
    struct Memory(Arc<Pump>, Arc<AtomicBool>);
    impl Drop for Memory {
        fn drop(&mut self) {
            self.1
                .store(self.0.state.try_lock().is_ok(), Ordering::SeqCst);
        }
    }
    let pump = Arc::new(Pump::new());
    let freed = Arc::new(AtomicBool::new(false));
    let token = Token::fresh();
    pump.starting(token, Terms::default());
    let memory = Memory(Arc::clone(&pump), Arc::clone(&freed));
    pump.abandon(token, Box::new(memory), "f".into());
    assert_eq!(pump.abandoned(), [(token, "f".to_owned())]);
    assert!(!freed.load(Ordering::SeqCst), "libxl still writes to it");
    end(&pump, token);
    pump.settle();
    assert!(freed.load(Ordering::SeqCst));
    assert_eq!((pump.running(), pump.take_result(token)), (0, None));
}

#[test]
fn a_result_may_come_before_anybody_asks_and_is_given_once() {
    let pump = Pump::new();
    let token = Token::fresh();
    pump.starting(token, Terms::default());
    // Another thread polls, and libxl has done it all in the call that starts it.
    end(&pump, token);
    pump.started();
    assert_eq!(pump.running(), 0, "the context can be freed");
    let ended = Ended { rc: 0, cause: None };
    assert_eq!(pump.take_result(token), Some(ended));
    assert_eq!(pump.take_result(token), None);
}

#[test]
fn a_panic_gives_the_turn_back() {
    let pump = Pump::new();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pump.state().polling = true;
        let _turn = Turn(&pump);
        std::panic::resume_unwind(Box::new("in the middle of a poll"));
    }));
    assert!(panic.is_err() && !pump.state().polling);
}

fn is_readable(bell: &Bell) -> bool {
    let mut fd = libc::pollfd {
        fd: bell.as_fd().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure, and it does not wait.
    unsafe { libc::poll(&raw mut fd, 1, 0) == 1 }
}

/// Otherwise a thread that polls could take the wake-up back before the intended thread begins to
/// wait, and that thread would find nothing changed.
#[test]
fn a_change_is_counted_before_anybody_is_woken() {
    let pump = Pump::new();
    let before = pump.now();
    let bell = pump.bell().unwrap();
    std::thread::scope(|scope| {
        let state = pump.state();
        scope.spawn(|| pump.kick());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!is_readable(bell), "nothing could be counted so far");
        drop(state);
    });
    assert!(is_readable(bell));
    assert_ne!(pump.now(), before);
    bell.silence();
    assert!(!is_readable(bell));
}

#[test]
fn tokens_are_never_reused() {
    assert_ne!(Token::fresh(), Token::fresh());
}

#[test]
fn timeouts_are_rounded_up_and_never_negative() {
    assert_eq!(millis_until(None), -1);
    assert_eq!(
        millis_until(Some(Instant::now() - Duration::from_secs(1))),
        0
    );
    let soon = millis_until(Some(Instant::now() + Duration::from_micros(100)));
    assert!((0..=1).contains(&soon), "{soon}");
    assert_eq!(
        millis_until(Some(Instant::now() + Duration::from_secs(1 << 40))),
        i32::MAX
    );
}

/// A program may use libxl beside this crate, with numbers of its own.
#[test]
fn an_end_that_nobody_has_asked_for_is_not_ours() {
    let pump = Pump::new();
    let token = Token::fresh();
    pump.starting(token, Terms::default());
    end(&pump, Token(1));
    assert_eq!(pump.running(), 1, "the context cannot be freed");
    assert_eq!(pump.take_result(token), None);
    end(&pump, token);
    end(&pump, token);
    assert_eq!(pump.running(), 0);
}

#[test]
fn each_operation_is_aborted_once_and_not_before_its_gate_is_open() {
    let pump = Pump::new();
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let (limited, pulled, held, done) = (
        Token::fresh(),
        Token::fresh(),
        Token::fresh(),
        Token::fresh(),
    );
    let abort = AbortHandle::new();
    let gate = Arc::new(Gate::default());
    let deadline = |deadline| Terms {
        deadline: Some(deadline),
        ..Terms::default()
    };
    pump.starting(limited, deadline(later));
    let terms = Terms {
        abort: Some(abort.clone()),
        ..Terms::default()
    };
    pump.starting(pulled, terms);
    let terms = Terms {
        gate: Some(Arc::clone(&gate)),
        ..deadline(now)
    };
    pump.starting(held, terms);
    pump.starting(done, deadline(now));
    end(&pump, done);
    assert_eq!(
        pump.next_deadline(),
        Some(later),
        "the others are over, or held"
    );
    assert_eq!(pump.state().due(|| now), []);
    abort.abort();
    assert_eq!(pump.state().due(|| now), [pulled]);
    assert_eq!(pump.state().due(|| later), [limited]);
    gate.open();
    assert_eq!(pump.next_deadline(), Some(now));
    assert_eq!(pump.state().due(|| later), [held]);
    assert_eq!(pump.state().due(|| later), []);
    assert_eq!(pump.next_deadline(), None);
    end(&pump, limited);
    let cause = Some(Cause::Deadline);
    assert_eq!(pump.take_result(limited), Some(Ended { rc: 0, cause }));
}

/// A guest can eject its disc in a loop.
#[test]
fn ejects_do_not_pile_up() {
    let pump = Pump::new();
    let token = Token::fresh();
    pump.expect_ejects(token);
    // SAFETY: a C structure of integers and pointers, all of which may be zero.
    let mut event: sys::libxl_event = unsafe { std::mem::zeroed() };
    event.type_ = sys::libxl_event_type::LIBXL_EVENT_TYPE_DISK_EJECT;
    event.for_user = token.0;
    for _ in 0..3 {
        // SAFETY: the union is zero, which is a disk without strings.
        unsafe { pump.note(&event) };
    }
    assert!(pump.take_eject(token).is_some());
    assert!(pump.take_eject(token).is_none());
}
