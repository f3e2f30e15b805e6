//! Shutdown is not death: a domain that was suspended and resumed is still watched.

use std::{
    io::Write,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use libxl::{
    AbortHandle, DomainEvent, DomainState, ErrorKind, Limits, Saving, ShutdownReason, Source,
};

use crate::support::{
    Guest, Kind, config, context, given_up, outsider_is_there, tiny_config, unique, wait_for,
    watcher, xl,
};

fn suspends_and_goes_on(kind: Kind) {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(kind, "resumed", ""));
    guest.wait_until_up();
    for _ in 0..2 {
        let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
        guest.expect_shutdown(ShutdownReason::SUSPEND);
        assert_eq!(
            guest.domain.info().unwrap().state(),
            DomainState::Shutdown(ShutdownReason::SUSPEND)
        );
        suspended.resume().unwrap();
        guest.expect(DomainEvent::Resumed);
    }
    guest.domain.shutdown().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    guest.destroy();
}

#[test]
fn case_01_a_pv_domain_suspends_and_goes_on() {
    suspends_and_goes_on(Kind::Pv);
}

#[test]
fn case_01_a_pvh_domain_suspends_and_goes_on() {
    suspends_and_goes_on(Kind::Pvh);
}

/// Another toolstack suspends, saves and resumes the domain, and nothing tells this library of the resume.
#[test]
fn case_09_an_outsiders_checkpoint_does_not_hide_the_end() {
    if !outsider_is_there() {
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
    // The suspend and the resume may both fall between two looks.
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

/// Every event of another domain makes libxl look at the suspended domain again.
#[test]
fn case_06_the_death_of_another_leaves_a_suspended_domain_alone() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "bystander", ""));
    let other = Guest::create(&ctx, &watcher, &config(Kind::Pv, "other", ""));
    guest.wait_until_up();
    let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    other.destroy();
    assert_eq!(
        guest.state(),
        Some(DomainState::Shutdown(ShutdownReason::SUSPEND))
    );
    suspended.resume().unwrap();
    guest.expect(DomainEvent::Resumed);
    guest.domain.shutdown().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
}

#[test]
fn case_04_a_domain_that_was_resumed_twice_crashes() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "crashes", "lab.resumed=crash lab.resumed-after=6");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    // Each resume starts the six seconds anew.
    for _ in 0..2 {
        guest
            .domain
            .suspend_only(&Limits::none())
            .unwrap()
            .resume()
            .unwrap();
    }
    guest.events_until(DomainEvent::Shutdown(ShutdownReason::CRASH));
}

/// The guest shuts down with its next hypercall after the suspend.
///
/// The shutdown comes before, between or after the two steps in which libxl resumes the domain. xenstored does not
/// announce a shutdown between the steps.
#[test]
fn case_05_a_domain_powers_off_in_the_instant_of_its_resume() {
    let ctx = context();
    let watcher = watcher();
    for kind in [Kind::Pv, Kind::Pvh] {
        let config = tiny_config(kind, "instant", "lab.resumed=poweroff");
        let guest = Guest::start(&ctx, &watcher, &config);
        guest.wait_until_up();
        let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
        let since = Instant::now();
        suspended.resume().unwrap();
        guest.events_until(DomainEvent::Shutdown(ShutdownReason::POWEROFF));
        println!(
            "{kind:?}: seen {:?} after the resume began",
            since.elapsed()
        );
        guest.destroy();
    }
}

/// The same, when another toolstack resumes the domain without telling this library.
#[test]
fn case_05_a_domain_powers_off_in_the_instant_of_an_outsiders_resume() {
    if !outsider_is_there() {
        return;
    }
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "instant", "lab.resumed=poweroff");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved");
    xl(&["save", "-c", &guest.name, file.to_str().unwrap()]);
    let since = Instant::now();
    guest.events_until(DomainEvent::Shutdown(ShutdownReason::POWEROFF));
    println!("seen {:?} after xl was done", since.elapsed());
    guest.destroy();
}

/// The guest is slow to obey, and suspends when nobody waits for it any more.
#[test]
fn case_07_a_domain_suspends_after_everybody_has_given_up() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "late", "lab.suspend-after=6 lab.tick=1");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let dir = tempfile::tempdir().unwrap();
    let failed = given_up(&guest.name, |stop| {
        let saving = Saving::new().abort_with(stop);
        let file = dir.path().join("saved");
        guest.domain.save_file(file, saving).unwrap_err()
    });
    assert_eq!(failed.error.kind(), ErrorKind::Aborted, "{failed}");
    assert!(matches!(failed.source, Source::MaySuspendYet), "{failed}");
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    let since = Instant::now();
    guest.expect(DomainEvent::Resumed);
    println!("resumed {:?} after it was seen suspended", since.elapsed());
    let before = guest.uptimes().len();
    wait_for("the guest to go on counting", || {
        guest.uptimes().len() > before
    });
    guest.still_lives_and_dies();
}

/// A guest whose drivers are not up yet must not find a request that nobody stands by any more.
#[test]
fn case_07_a_request_that_was_given_up_is_taken_back() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "taken-back", "lab.deaf=8 lab.tick=1");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let limits = Limits::none().deadline(Duration::from_secs(2));
    let failed = guest.domain.suspend_only(&limits).unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::TimedOut, "{failed}");
    assert!(matches!(failed.source, Source::Runs), "{failed}");
    wait_for("the drivers to be up", || {
        guest.uptimes().last().is_some_and(|ms| *ms > 10_000.0)
    });
    guest.still_lives_and_dies();
    let said = guest.console();
    assert!(said.contains("obeys poweroff"), "{said}");
    assert!(!said.contains("obeys suspend"), "{said}");
}

/// A second try that ends before it has begun must not leave the guest alone with the first request.
#[test]
fn case_07_a_domain_suspends_after_a_second_try_was_given_up() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "twice-late", "lab.suspend-after=6");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let failed = given_up(&guest.name, |stop| {
        let limits = Limits::none().abort_with(stop);
        guest.domain.suspend_only(&limits).unwrap_err()
    });
    assert!(matches!(failed.source, Source::MaySuspendYet), "{failed}");
    let pulled = AbortHandle::new();
    pulled.abort();
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    let saving = Saving::new().abort_with(&pulled);
    let failed = guest.domain.suspend(&writer, saving).unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Aborted, "{failed}");
    assert!(matches!(failed.source, Source::Untouched), "{failed}");
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    guest.expect(DomainEvent::Resumed);
    guest.still_lives_and_dies();
}

/// The reader of the stream is gone, which is the reported error.
///
/// The time within which the guest may still obey has another reason: the save was given up while it waited for the
/// guest.
#[test]
fn case_07_a_domain_suspends_after_the_reader_and_the_save_are_gone() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "late-unread", "lab.suspend-after=15");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    // The peer reads nothing, so libxl's output before the request to the guest stays in the buffer.
    let (mut full, reader) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.write(&[0; 4096]).is_ok() {}
    let stop = AbortHandle::new();
    let failed = thread::scope(|scope| {
        let saving = scope.spawn(|| {
            let saving = Saving::new().abort_with(&stop);
            guest.domain.suspend(&full, saving).unwrap_err()
        });
        guest.wait_until_it_says("obeys suspend");
        drop(reader);
        stop.abort();
        saving.join().unwrap()
    });
    assert_eq!(failed.error.kind(), ErrorKind::Io, "{failed}");
    assert!(matches!(failed.source, Source::MaySuspendYet), "{failed}");
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    guest.expect(DomainEvent::Resumed);
    guest.still_lives_and_dies();
}

#[test]
fn a_suspend_that_is_given_up_beforehand_asks_nothing_of_the_domain() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "not-asked", ""));
    guest.wait_until_up();
    let pulled = AbortHandle::new();
    pulled.abort();
    let over = Limits::none().deadline(Duration::ZERO);
    for (limits, kind) in [
        (Limits::none().abort_with(&pulled), ErrorKind::Aborted),
        (over, ErrorKind::TimedOut),
    ] {
        let failed = guest.domain.suspend_only(&limits).unwrap_err();
        assert_eq!(failed.error.kind(), kind, "{failed}");
        assert!(matches!(failed.source, Source::Untouched), "{failed}");
    }
    guest.still_lives_and_dies();
    assert!(!guest.console().contains("obeys suspend"));
}

/// A suspend in progress must be neither undone nor adopted by another one in this process.
#[test]
fn a_domain_is_suspended_by_one_at_a_time() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "one-suspend", "lab.suspend-after=600");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let stop = AbortHandle::new();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            let limits = Limits::none().abort_with(&stop);
            guest.domain.suspend_only(&limits).unwrap_err()
        });
        guest.wait_until_it_says("obeys suspend");
        let second = guest.domain.suspend_only(&Limits::none()).unwrap_err();
        assert_eq!(second.error.kind(), ErrorKind::Invalid, "{second}");
        assert!(matches!(second.source, Source::Untouched), "{second}");
        stop.abort();
        let first = first.join().unwrap();
        assert_eq!(first.error.kind(), ErrorKind::Aborted, "{first}");
    });
    guest.still_lives_and_dies();
}

/// The first suspender does not know the purpose of the current suspend.
#[test]
fn a_domain_that_has_run_since_is_another_ones() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "ran-since", ""));
    guest.wait_until_up();
    let suspended = Some(DomainState::Shutdown(ShutdownReason::SUSPEND));
    for deed in ["resume", "destroy"] {
        let first = guest.domain.suspend_only(&Limits::none()).unwrap();
        guest.domain.resume(true).unwrap();
        let second = guest.domain.suspend_only(&Limits::none()).unwrap();
        let refused = match deed {
            "resume" => first.resume(),
            _ => first.destroy().wait(),
        };
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{deed}: {refused}");
        assert_eq!(guest.state(), suspended, "{deed}");
        second.resume().unwrap();
    }
    // Hypervisor calls on a suspended domain do not change whose suspend it is.
    let still = guest.domain.suspend_only(&Limits::none()).unwrap();
    guest.domain.pause().wait().unwrap();
    guest.domain.unpause().wait().unwrap();
    thread::sleep(Duration::from_secs(2));
    still.resume().unwrap();
    guest.still_lives_and_dies();
}

/// The save has suspended the guest and is still reading its memory.
#[test]
fn a_domain_is_not_resumed_while_it_is_saved() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "read", ""));
    guest.wait_until_up();
    let stop = AbortHandle::new();
    // Nobody reads the pipe, so the save is stuck.
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    thread::scope(|scope| {
        let saving = scope.spawn(|| {
            let saving = Saving::new().abort_with(&stop);
            guest.domain.suspend(&writer, saving).unwrap_err()
        });
        guest.expect_shutdown(ShutdownReason::SUSPEND);
        let refused = guest.domain.resume(true).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        assert!(refused.to_string().contains("suspending"), "{refused}");
        stop.abort();
        let failed = saving.join().unwrap();
        assert_eq!(failed.error.kind(), ErrorKind::Aborted, "{failed}");
        assert!(matches!(failed.source, Source::Runs), "{failed}");
    });
    guest.still_lives_and_dies();
}

/// The guest acknowledges the request and does nothing. libxl gives it a minute.
#[test]
fn case_03_a_domain_does_not_suspend() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "lazy", "lab.suspend-after=600");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    let failed = guest.domain.suspend(&writer, Saving::new()).unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::GuestTimedOut, "{failed}");
    assert!(matches!(failed.source, Source::MaySuspendYet), "{failed}");
    guest.still_lives_and_dies();
}

/// The guest does not even acknowledge the request, and libxl reports a successful suspend.
#[test]
fn case_08_a_domain_never_answers() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "deaf", "lab.requests=ignore");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let failed = guest.domain.suspend_only(&Limits::none()).unwrap_err();
    println!("{failed}");
    assert_eq!(failed.error.kind(), ErrorKind::GuestTimedOut, "{failed}");
    assert_eq!(guest.state(), Some(DomainState::Running));
    guest.destroy();
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
