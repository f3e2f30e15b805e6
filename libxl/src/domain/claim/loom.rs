//! Models of threads that want the same domain, in all orders.

use std::sync::Arc;

use loom::{sync::atomic::AtomicUsize, thread};
use uuid::Uuid;

use super::Claim;
use crate::{AbortHandle, DomId, DomainId, ErrorKind, limits::Clock, sync::model};
use std::sync::atomic::Ordering;

const ID: DomainId = DomainId {
    domid: DomId(7),
    uuid: Uuid::nil(),
};

#[test]
fn loom_one_at_a_time_has_the_claim_and_each_gets_it() {
    model(3, || {
        let inside = Arc::new(AtomicUsize::new(0));
        let work = |inside: &AtomicUsize| {
            let claim = Claim::take(ID, "f", &Clock::none()).unwrap();
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(claim);
        };
        let other = thread::spawn({
            let inside = Arc::clone(&inside);
            move || work(&inside)
        });
        work(&inside);
        other.join().unwrap();
    });
}

#[test]
fn loom_a_claim_that_lasts_is_refused_and_not_waited_for() {
    model(3, || {
        let claim = Claim::take(ID, "f", &Clock::none()).unwrap();
        let other = thread::spawn(|| Claim::take(ID, "g", &Clock::none()).map(drop));
        claim.lasts("it is being painted");
        // Otherwise this would be a deadlock.
        let refused = other.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        drop(claim);
    });
}

#[test]
fn loom_an_abort_ends_the_wait_for_a_claim() {
    model(3, || {
        let claim = Claim::take(ID, "f", &Clock::none()).unwrap();
        let abort = AbortHandle::new();
        let other = thread::spawn({
            let abort = abort.clone();
            move || Claim::take(ID, "g", &Clock::until(&abort)).map(drop)
        });
        abort.abort();
        let aborted = other.join().unwrap().unwrap_err();
        assert_eq!(aborted.kind(), ErrorKind::Aborted);
        drop(claim);
    });
}
