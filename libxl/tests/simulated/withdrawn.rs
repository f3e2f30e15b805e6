//! Requests to suspend that are taken back.

use std::time::Duration;

use libxl::{Context, ErrorKind, Limits, Source, SuspendError, xenstore::Xenstore};

use crate::stand_in::{
    GONE, RUNNING, becomes, domain, eventually, guests_hear, operations_take, races, simulated,
};

const REQUEST: &str = "/local/domain/3/control/shutdown";
const SOON: Duration = Duration::from_millis(50);

fn request() -> String {
    Xenstore::open().unwrap().read(REQUEST).unwrap().unwrap()
}

/// Asks a guest to suspend that does not hear, and gives up after this time.
fn given_up(ctx: &Context, after: Duration) -> SuspendError {
    guests_hear(false);
    operations_take(-1);
    let limits = Limits::none().deadline(after);
    domain(ctx, 3).suspend_only(&limits).unwrap_err()
}

#[test]
fn a_suspend_that_is_given_up_takes_its_request_back() {
    simulated(
        "withdrawn::a_suspend_that_is_given_up_takes_its_request_back",
        || {
            let ctx = Context::open().unwrap();
            let failed = given_up(&ctx, SOON);
            assert_eq!(failed.error.kind(), ErrorKind::TimedOut, "{failed}");
            assert!(matches!(failed.source, Source::Runs), "{failed}");
            assert_eq!(request(), "");
        },
    );
}

/// A driver may have read the request before it was taken back.
#[test]
fn a_guest_that_obeys_all_the_same_is_resumed() {
    simulated(
        "withdrawn::a_guest_that_obeys_all_the_same_is_resumed",
        || {
            let ctx = Context::open().unwrap();
            let failed = given_up(&ctx, SOON);
            assert!(matches!(failed.source, Source::Runs), "{failed}");
            operations_take(0);
            becomes(3, crate::stand_in::SUSPENDED);
            eventually("it runs", || {
                let info = domain(&ctx, 3).info().unwrap();
                info.state() == libxl::DomainState::Running
            });
        },
    );
}

#[test]
fn a_guest_that_has_acknowledged_may_suspend_yet() {
    simulated(
        "withdrawn::a_guest_that_has_acknowledged_may_suspend_yet",
        || {
            let ctx = Context::open().unwrap();
            let failed = std::thread::scope(|scope| {
                let asking = scope.spawn(|| given_up(&ctx, 10 * SOON));
                eventually("it is asked", || request() == "suspend");
                Xenstore::open().unwrap().write(REQUEST, "").unwrap();
                asking.join().unwrap()
            });
            assert!(matches!(failed.source, Source::MaySuspendYet), "{failed}");
        },
    );
}

#[test]
fn the_request_of_a_process_that_has_ended_is_taken_back() {
    simulated(
        "withdrawn::the_request_of_a_process_that_has_ended_is_taken_back",
        || {
            let ctx = Context::open().unwrap();
            let guest = domain(&ctx, 3);
            let store = Xenstore::open().unwrap();
            store.write(REQUEST, "suspend").unwrap();
            assert!(guest.withdraw_suspend().unwrap());
            assert_eq!(request(), "");
            assert!(!guest.withdraw_suspend().unwrap());
            // Another request stays.
            store.write(REQUEST, "poweroff").unwrap();
            assert!(!guest.withdraw_suspend().unwrap());
            assert_eq!(request(), "poweroff");
            becomes(3, GONE);
            let error = guest.withdraw_suspend().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error:#}");
            becomes(3, RUNNING);
        },
    );
}

#[test]
fn a_value_that_others_change_meanwhile_is_read_again() {
    simulated(
        "withdrawn::a_value_that_others_change_meanwhile_is_read_again",
        || {
            let store = Xenstore::open().unwrap();
            store.write(REQUEST, "suspend").unwrap();
            races(3);
            assert!(store.replace(REQUEST, "suspend", "").unwrap());
            assert_eq!(request(), "");
            // A guest that never stops writing.
            store.write(REQUEST, "suspend").unwrap();
            races(1_000_000);
            let error = store.replace(REQUEST, "suspend", "").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error:#}");
            assert_eq!(request(), "suspend");
        },
    );
}
