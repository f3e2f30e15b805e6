//! Operations on one context: limits, ends, drops.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use libxl::{AbortHandle, Context, ErrorKind, Limits};

use crate::stand_in::{aborts, contexts, domain, eventually, operations_take, simulated};

const SOON: Duration = Duration::from_millis(50);

#[test]
fn an_operation_ends_and_is_aborted_by_its_deadline() {
    simulated(
        "operations::an_operation_ends_and_is_aborted_by_its_deadline",
        || {
            let ctx = Context::open().unwrap();
            let domain = domain(&ctx, 3);
            for ms in [0, 20, 20] {
                operations_take(ms);
                domain.shutdown().wait().unwrap();
            }
            operations_take(-1);
            let begun = Instant::now();
            let error = domain.shutdown().deadline(SOON).wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
            assert!(begun.elapsed() >= SOON);
            assert_eq!(aborts(), 1);
        },
    );
}

#[test]
fn a_deadline_holds_although_nobody_waits() {
    simulated("operations::a_deadline_holds_although_nobody_waits", || {
        let ctx = Context::open().unwrap();
        operations_take(-1);
        let limited = domain(&ctx, 3).shutdown().deadline(SOON);
        let running = limited.start().unwrap();
        eventually("it is aborted", || aborts() == 1);
        let error = running.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
        assert!(
            error.to_string().contains("took longer than 50ms"),
            "{error}"
        );
    });
}

#[test]
fn an_abort_works_although_nobody_waits() {
    simulated("operations::an_abort_works_although_nobody_waits", || {
        let ctx = Context::open().unwrap();
        operations_take(-1);
        let abort = AbortHandle::new();
        let shutdown = domain(&ctx, 3).shutdown().abort_with(&abort);
        let (running, other) = (shutdown.start().unwrap(), domain(&ctx, 4).shutdown());
        let other = other.start().unwrap();
        abort.abort();
        assert_eq!(aborts(), 1, "on this thread, because there is no other");
        other.abort();
        assert_eq!(aborts(), 2);
        for running in [running, other] {
            let error = running.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Aborted, "{error:#}");
        }
    });
}

/// One thread waits for an operation without limits, and enforces those of another.
#[test]
fn limits_hold_while_a_thread_waits_for_something_else() {
    simulated(
        "operations::limits_hold_while_a_thread_waits_for_something_else",
        || {
            let ctx = Context::open().unwrap();
            operations_take(-1);
            let long = AbortHandle::new();
            let waits = domain(&ctx, 3)
                .shutdown()
                .abort_with(&long)
                .start()
                .unwrap();
            let waiter = thread::spawn(move || waits.wait().unwrap_err());
            thread::sleep(SOON);
            let abort = AbortHandle::new();
            let pulled = domain(&ctx, 4)
                .shutdown()
                .abort_with(&abort)
                .start()
                .unwrap();
            let limited = domain(&ctx, 5).shutdown().deadline(SOON).start().unwrap();
            abort.abort();
            eventually("both are aborted", || aborts() == 2);
            assert_eq!(pulled.wait().unwrap_err().kind(), ErrorKind::Aborted);
            assert_eq!(limited.wait().unwrap_err().kind(), ErrorKind::TimedOut);
            long.abort();
            assert_eq!(waiter.join().unwrap().kind(), ErrorKind::Aborted);
        },
    );
}

#[test]
fn threads_share_a_context() {
    simulated("operations::threads_share_a_context", || {
        let ctx = Context::open().unwrap();
        operations_take(20);
        thread::scope(|scope| {
            for n in 0..8 {
                let domain = domain(&ctx, n);
                scope.spawn(move || {
                    for _ in 0..10 {
                        domain.shutdown().wait().unwrap();
                    }
                });
            }
        });
        assert_eq!(aborts(), 0);
    });
}

#[test]
fn a_dropped_operation_is_aborted_with_its_context() {
    simulated(
        "operations::a_dropped_operation_is_aborted_with_its_context",
        || {
            let ctx = Context::open().unwrap();
            operations_take(-1);
            drop(domain(&ctx, 3).shutdown().start().unwrap());
            assert_eq!(aborts(), 0);
            drop(ctx);
            assert_eq!((aborts(), contexts()), (1, 0));
        },
    );
}

#[test]
fn a_detached_operation_goes_on_without_anybody() {
    simulated(
        "operations::a_detached_operation_goes_on_without_anybody",
        || {
            let ctx = Context::open().unwrap();
            for ms in [100, 101] {
                operations_take(ms);
                domain(&ctx, 3)
                    .shutdown()
                    .start()
                    .unwrap()
                    .detach()
                    .unwrap();
            }
            drop(ctx);
            assert_eq!(contexts(), 1, "it takes a while");
            eventually("the context ends with the operation", || contexts() == 0);
            assert_eq!(aborts(), 0);
        },
    );
}

#[test]
fn a_result_is_given_once() {
    simulated("operations::a_result_is_given_once", || {
        let ctx = Context::open().unwrap();
        operations_take(30);
        let mut running = domain(&ctx, 3).shutdown().start().unwrap();
        assert!(running.try_wait().is_none());
        let result = loop {
            if let Some(result) = running.try_wait() {
                break result;
            }
            thread::sleep(Duration::from_millis(1));
        };
        result.unwrap();
        assert!(running.try_wait().is_none());
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Invalid);
    });
}

/// Another part of this process must not resume a domain that is just being destroyed.
#[test]
fn what_is_destroyed_cannot_be_resumed_meanwhile() {
    simulated(
        "operations::what_is_destroyed_cannot_be_resumed_meanwhile",
        || {
            let ctx = Context::open().unwrap();
            let domain = domain(&ctx, 3);
            operations_take(0);
            let suspended = domain.suspend_only(&Limits::none()).unwrap();
            operations_take(-1);
            let destroying = suspended.destroy().start().unwrap();
            operations_take(0);
            let error = domain.resume(true).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("this process is destroying the domain"),
                "{text}"
            );
            destroying.abort();
            assert_eq!(destroying.wait().unwrap_err().kind(), ErrorKind::Aborted);
            domain.resume(true).unwrap();
        },
    );
}

/// The claim ends with the operation, not with its handle.
#[test]
fn a_claim_outlives_a_dropped_operation() {
    simulated("operations::a_claim_outlives_a_dropped_operation", || {
        let ctx = Context::open().unwrap();
        let domain = domain(&ctx, 3);
        operations_take(0);
        let suspended = domain.suspend_only(&Limits::none()).unwrap();
        operations_take(200);
        drop(suspended.destroy().start().unwrap());
        ctx.drive().unwrap();
        domain.resume(true).unwrap_err();
        operations_take(0);
        eventually("the claim is given back", || domain.resume(true).is_ok());
    });
}

#[test]
fn waiting_for_a_claim_has_the_limits_of_the_caller() {
    simulated(
        "operations::waiting_for_a_claim_has_the_limits_of_the_caller",
        || {
            let ctx = Context::open().unwrap();
            let domain = domain(&ctx, 3);
            operations_take(0);
            let suspended = domain.suspend_only(&Limits::none()).unwrap();
            // A long resume holds the claim, and does not show it.
            operations_take(500);
            let (begun, has_begun) = mpsc::channel();
            let resuming = thread::spawn(move || {
                begun.send(()).unwrap();
                suspended.resume().unwrap();
            });
            has_begun.recv().unwrap();
            thread::sleep(SOON);
            let limits = Limits::none().deadline(SOON);
            let begun = Instant::now();
            let error = domain.suspend_only(&limits).unwrap_err().error;
            assert!(begun.elapsed() < 6 * SOON, "not until the resume is over");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
            resuming.join().unwrap();
        },
    );
}
