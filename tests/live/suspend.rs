//! Shutdown is not death: what suspended and was resumed is still watched.

use libxl::{DomainEvent, DomainState, ErrorKind, ShutdownReason};

use crate::support::{
    Guest, Kind, config, context, despite_early_resets, unique, watcher, xl, xl_is_there,
};

fn suspends_and_goes_on(kind: Kind) {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(kind, "resumed", ""));
    guest.wait_until_up();
    for _ in 0..2 {
        guest.domain.suspend_only().unwrap();
        guest.expect_shutdown(ShutdownReason::SUSPEND);
        assert_eq!(
            guest.domain.info().unwrap().state(),
            DomainState::Shutdown(ShutdownReason::SUSPEND)
        );
        guest.domain.resume(true).unwrap();
        guest.expect(DomainEvent::Resumed);
    }
    guest.domain.shutdown().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    guest.destroy();
}

#[test]
fn a_pv_domain_suspends_and_goes_on() {
    suspends_and_goes_on(Kind::Pv);
}

#[test]
fn a_pvh_domain_suspends_and_goes_on() {
    despite_early_resets(|| suspends_and_goes_on(Kind::Pvh));
}

/// Another toolstack suspends, saves and resumes the domain, and nothing tells us of the resume.
#[test]
fn an_outsiders_checkpoint_does_not_hide_the_end() {
    if !xl_is_there() {
        return;
    }
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "checkpoint", ""));
    guest.wait_until_up();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(unique("save"));
    xl(&["save", "-c", &guest.name, file.to_str().unwrap()]);
    guest.domain.shutdown().wait().unwrap();
    // The suspend and the resume may both have come and gone between two looks.
    let mut events = vec![guest.next()];
    while events.last() != Some(&DomainEvent::Shutdown(ShutdownReason::POWEROFF)) {
        events.push(guest.next());
    }
    let before = &events[..events.len() - 1];
    let suspend = DomainEvent::Shutdown(ShutdownReason::SUSPEND);
    assert!(
        before.is_empty() || before == [suspend] || before == [suspend, DomainEvent::Resumed],
        "{events:?}"
    );
    guest.destroy();
}

/// Every event of another domain makes libxl look at the suspended one again.
#[test]
fn the_death_of_another_leaves_a_suspended_domain_alone() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "bystander", ""));
    let other = Guest::create(&ctx, &watcher, &config(Kind::Pv, "other", ""));
    guest.wait_until_up();
    guest.domain.suspend_only().unwrap();
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    other.destroy();
    assert_eq!(
        guest.state(),
        Some(DomainState::Shutdown(ShutdownReason::SUSPEND))
    );
    guest.domain.resume(true).unwrap();
    guest.expect(DomainEvent::Resumed);
    guest.domain.shutdown().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
}

#[test]
fn only_a_suspended_domain_can_be_resumed() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "awake", ""));
    let error = guest.domain.resume(true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    assert!(
        error.to_string().contains("not suspended but paused"),
        "{error}"
    );
}
