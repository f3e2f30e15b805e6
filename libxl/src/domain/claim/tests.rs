//! Tests of threads that want the same domain.

use std::{sync::mpsc, thread, time::Duration};

use uuid::Uuid;

use super::Claim;
use crate::{AbortHandle, DomId, DomainId, ErrorKind, Limits, limits::Clock};

fn any_id() -> DomainId {
    DomainId {
        domid: DomId(7),
        uuid: Uuid::new_v4(),
    }
}

/// Time for which the tests watch a thread that must not go on.
const AWHILE: Duration = Duration::from_millis(50);

#[test]
fn what_is_over_soon_is_waited_for() {
    let id = any_id();
    let first = Claim::take(id, "first", &Clock::none()).unwrap();
    let (tell, told) = mpsc::channel();
    let second = thread::spawn(move || {
        let claim = Claim::take(id, "second", &Clock::none());
        tell.send(()).unwrap();
        claim
    });
    told.recv_timeout(AWHILE).unwrap_err();
    drop(first);
    let second = second.join().unwrap().unwrap();
    drop(second);
    Claim::take(id, "third", &Clock::none()).unwrap();
}

#[test]
fn what_lasts_is_not_waited_for() {
    let id = any_id();
    let first = Claim::take(id, "first", &Clock::none()).unwrap();
    let waiting = thread::spawn(move || Claim::take(id, "second", &Clock::none()));
    thread::sleep(AWHILE);
    first.lasts("it is being painted");
    for refused in [
        waiting.join().unwrap(),
        Claim::take(id, "third", &Clock::none()),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("being painted"), "{error}");
    }
    drop(first);
    Claim::take(id, "fourth", &Clock::none()).unwrap();
}

#[test]
fn every_domain_has_its_own() {
    let first = Claim::take(any_id(), "first", &Clock::none()).unwrap();
    first.lasts("it is being painted");
    Claim::take(any_id(), "second", &Clock::none()).unwrap();
}

#[test]
fn waiting_has_the_limits_of_the_caller() {
    let id = any_id();
    let first = Claim::take(id, "first", &Clock::none()).unwrap();
    let short = Clock::start(&Limits::none().deadline(AWHILE));
    let error = Claim::take(id, "second", &short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(error.domain(), Some(id.domid));

    let abort = AbortHandle::new();
    let (tell, told) = mpsc::channel();
    let waiting = thread::spawn({
        let abort = abort.clone();
        move || {
            let claim = Claim::take(id, "third", &Clock::until(&abort));
            tell.send(()).unwrap();
            claim
        }
    });
    told.recv_timeout(AWHILE).unwrap_err();
    abort.abort();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    let error = waiting.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted, "{error}");
    drop(first);
    Claim::take(id, "fourth", &Clock::none()).unwrap();
}
