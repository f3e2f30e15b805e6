//! The watcher.

use std::time::Duration;

use libxl::{Context, DomainEvent, ErrorKind, ShutdownReason, Watcher};

use crate::stand_in::{
    OFF, RUNNING, SUSPENDED, becomes, disaster, domain, eventually, operations_take, simulated,
};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_watcher_goes_on_after_a_disaster() {
    simulated("watcher::a_watcher_goes_on_after_a_disaster", || {
        let ctx = Context::open().unwrap();
        let hour = Duration::from_secs(3600);
        let watcher = Watcher::start_with(Context::builder(), hour).unwrap();
        let (_watch, events) = watcher.watch_channel(domain(&ctx, 3).id()).unwrap();
        let off = DomainEvent::Shutdown(ShutdownReason::POWEROFF);
        for restarts in 0..3 {
            assert_eq!(watcher.restarts(), restarts);
            becomes(3, OFF);
            assert_eq!(events.recv_timeout(LONG).unwrap(), off);
            becomes(3, RUNNING);
            disaster();
            // Nothing is announced, but the watcher reads the state.
            assert_eq!(events.recv_timeout(LONG).unwrap(), DomainEvent::Resumed);
            eventually("it is counted", || watcher.restarts() == restarts + 1);
        }
        assert!(watcher.context().is_poisoned(), "the first one");
        let (_watch, other) = watcher.watch_channel(domain(&ctx, 4).id()).unwrap();
        becomes(4, -1);
        assert_eq!(other.recv_timeout(LONG).unwrap(), DomainEvent::Death);
    });
}

#[test]
fn operations_fail_after_a_disaster() {
    simulated("watcher::operations_fail_after_a_disaster", || {
        let ctx = Context::open().unwrap();
        operations_take(-1);
        let running = domain(&ctx, 3).shutdown().start().unwrap();
        disaster();
        let error = running.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAvailable, "{error}");
        assert!(ctx.is_poisoned());
    });
}

/// The resume is faster than the watcher, but this process knows that the domain was suspended.
#[test]
fn a_suspend_is_reported_however_soon_the_domain_is_resumed() {
    const TEST: &str = "watcher::a_suspend_is_reported_however_soon_the_domain_is_resumed";
    simulated(TEST, || {
        let ctx = Context::open().unwrap();
        let hour = Duration::from_secs(3600);
        let watcher = Watcher::start_with(Context::builder(), hour).unwrap();
        let domain = domain(&ctx, 3);
        let (_watch, events) = watcher.watch_channel(domain.id()).unwrap();
        for round in 0..50 {
            becomes(3, SUSPENDED);
            domain.resume(true).unwrap();
            for wanted in [
                DomainEvent::Shutdown(ShutdownReason::SUSPEND),
                DomainEvent::Resumed,
            ] {
                assert_eq!(events.recv_timeout(LONG), Ok(wanted), "round {round}");
            }
        }
        becomes(3, OFF);
        let off = DomainEvent::Shutdown(ShutdownReason::POWEROFF);
        assert_eq!(events.recv_timeout(LONG), Ok(off), "and nothing else");
    });
}
