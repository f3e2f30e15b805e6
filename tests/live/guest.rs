//! The lab's small guest obeys its parameters. Other tests rely on it.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use libxl::{DomainEvent, DomainState, Limits, ShutdownReason, Watcher};

use crate::support::{
    Guest, Kind, context, outsider_is_there, tiny_config, unique, wait_for, watcher,
    xen_says_it_was_reset, xl,
};

const SUSPENDED: DomainEvent = DomainEvent::Shutdown(ShutdownReason::SUSPEND);

/// Starts the guest and waits for its first line.
fn up(watcher: &Watcher, kind: Kind, hint: &str, params: &str) -> Guest {
    let guest = Guest::start(&context(), watcher, &tiny_config(kind, hint, params));
    guest.wait_until_up();
    guest
}

/// Returns the uptimes, in milliseconds, in the console lines that contain `what`.
fn uptimes(guest: &Guest, what: &str) -> Vec<u64> {
    let uptime = |line: &str| {
        line.split("uptime ")
            .nth(1)?
            .split(' ')
            .next()?
            .parse()
            .ok()
    };
    guest
        .console()
        .lines()
        .filter(|line| line.contains(what))
        .filter_map(uptime)
        .collect()
}

#[test]
fn it_ends_with_any_reason() {
    let ctx = context();
    let watcher = watcher();
    for (action, reason) in [
        ("poweroff", ShutdownReason::POWEROFF),
        ("reboot", ShutdownReason::REBOOT),
        ("crash", ShutdownReason::CRASH),
        ("6", ShutdownReason(6)),
        ("7", ShutdownReason(7)),
        ("200", ShutdownReason(200)),
        ("255", ShutdownReason(255)),
    ] {
        let config = tiny_config(Kind::Pv, "reason", &format!("lab.action={action}"));
        let guest = Guest::start(&ctx, &watcher, &config);
        guest.expect_shutdown(reason);
        guest.destroy();
    }
}

#[test]
fn it_ends_after_a_while() {
    let watcher = watcher();
    let guest = up(
        &watcher,
        Kind::Pv,
        "while",
        "lab.action=poweroff lab.after=1.25",
    );
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    guest.wait_until_it_says("stops with reason 0");
    assert!(uptimes(&guest, "stops")[0] >= 1250, "{}", guest.console());
}

#[test]
fn it_ends_at_every_start() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "always", "lab.action=reboot");
    for _ in 0..2 {
        let guest = Guest::start(&ctx, &watcher, &config);
        guest.expect_shutdown(ShutdownReason::REBOOT);
        guest.destroy();
    }
}

#[test]
fn it_crashes_on_a_parameter_it_does_not_know() {
    let ctx = context();
    let watcher = watcher();
    for params in ["lab.acton=reboot", "quiet lab.action=256", "lab.after=1s"] {
        let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "typo", params));
        guest.expect_shutdown(ShutdownReason::CRASH);
        guest.wait_until_it_says("does not understand: lab.a");
    }
}

#[test]
fn it_obeys_a_reboot() {
    let watcher = watcher();
    let guest = up(&watcher, Kind::Pv, "obeys", "");
    guest.domain.reboot().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::REBOOT);
}

#[test]
fn it_ignores_requests() {
    let watcher = watcher();
    let guest = up(
        &watcher,
        Kind::Pv,
        "ignores",
        "lab.requests=ignore lab.tick=0.5",
    );
    // Waiting for the acknowledgement would take a minute.
    let _running = guest.domain.shutdown().start().unwrap();
    guest.wait_until_it_says("ignores poweroff");
    let ticks = uptimes(&guest, "guest: uptime").len();
    wait_for("two more ticks", || {
        uptimes(&guest, "guest: uptime").len() >= ticks + 2
    });
    assert_eq!(guest.state(), Some(DomainState::Running));
    assert_eq!(request(&guest), "poweroff");
}

/// Returns the content of `control/shutdown`.
fn request(guest: &Guest) -> String {
    let path = format!("/local/domain/{}/control/shutdown", guest.id().domid);
    let output = Command::new("xenstore-read")
        .arg(path)
        .output()
        .expect("xenstore-read is in the lab's dom0");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn it_only_acknowledges_requests() {
    let watcher = watcher();
    let guest = up(
        &watcher,
        Kind::Pv,
        "acknowledges",
        "lab.requests=acknowledge",
    );
    guest.domain.shutdown().wait().unwrap();
    guest.wait_until_it_says("acknowledges poweroff");
    wait_for("the node to be empty", || request(&guest).is_empty());
    assert_eq!(guest.state(), Some(DomainState::Running));
}

#[test]
fn it_suspends_late() {
    let watcher = watcher();
    let guest = up(&watcher, Kind::Pv, "late", "lab.suspend-after=2.5");
    let late = Duration::from_millis(2500);
    let begin = Instant::now();
    thread::scope(|scope| {
        let suspend = scope.spawn(|| guest.domain.suspend_only(&Limits::none()));
        guest.wait_until_it_says("obeys suspend");
        wait_for("the acknowledgement", || request(&guest).is_empty());
        assert!(begin.elapsed() > late || guest.state() == Some(DomainState::Running));
        let _suspended = suspend.join().unwrap().unwrap();
    });
    assert!(begin.elapsed() >= late);
    guest.expect(SUSPENDED);
}

#[test]
fn it_suspends_by_itself() {
    let watcher = watcher();
    let guest = up(
        &watcher,
        Kind::Pv,
        "alone",
        "lab.action=suspend lab.after=1",
    );
    guest.expect(SUSPENDED);
    guest.domain.resume(true).unwrap();
    guest.expect(DomainEvent::Resumed);
    guest.wait_until_it_says("goes on after suspend 1, cancelled");
}

/// The guest also goes on when the resume makes it believe that it was restored.
fn goes_on_after_a_suspend(kind: Kind) {
    let watcher = watcher();
    let guest = up(&watcher, kind, "goes-on", "");
    for (count, cooperative, how) in [
        (1, true, "cancelled"),
        (2, false, "restored"),
        (3, true, "cancelled"),
    ] {
        let _suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
        guest.expect(SUSPENDED);
        guest.domain.resume(cooperative).unwrap();
        guest.expect(DomainEvent::Resumed);
        guest.wait_until_it_says(&format!("goes on after suspend {count}, {how}"));
    }
    guest.domain.shutdown().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    guest.wait_until_it_says("stops with reason 0");
    let all = uptimes(&guest, "uptime");
    assert_eq!(all.len(), 7, "{}", guest.console());
    assert!(all.is_sorted(), "{all:?}");
}

#[test]
fn a_pv_one_goes_on_after_a_suspend() {
    goes_on_after_a_suspend(Kind::Pv);
}

#[test]
fn a_pvh_one_goes_on_after_a_suspend() {
    goes_on_after_a_suspend(Kind::Pvh);
}

#[test]
fn an_hvm_one_goes_on_after_a_suspend() {
    goes_on_after_a_suspend(Kind::Hvm);
}

// The caller is recorded, so each calling test is counted as skipped on its own.
#[track_caller]
fn goes_on_after_a_restore(kind: Kind) {
    if !outsider_is_there() {
        return;
    }
    let watcher = watcher();
    let guest = up(&watcher, kind, "restored", "");
    let dir = tempfile::tempdir().unwrap();
    for count in 1..=2 {
        let file = dir.path().join(unique("save"));
        let file = file.to_str().unwrap();
        xl(&["save", &guest.name, file]);
        xl(&["restore", "-e", file]);
        guest.wait_until_it_says(&format!("goes on after suspend {count}, restored"));
    }
    let ctx = context();
    let domid = ctx.name_to_domid(&guest.name).unwrap();
    let domain = ctx.domain_by_domid(domid).unwrap();
    let again = Guest::adopt(&watcher, domain, guest.name.clone());
    again.domain.shutdown().wait().unwrap();
    again.expect_shutdown(ShutdownReason::POWEROFF);
    again.wait_until_it_says("stops with reason 0");
    let all = uptimes(&again, "uptime");
    assert_eq!(all.len(), 5, "{}", again.console());
    assert!(all.is_sorted(), "{all:?}");
}

#[test]
fn a_pv_one_goes_on_after_a_restore() {
    goes_on_after_a_restore(Kind::Pv);
}

#[test]
fn a_pvh_one_goes_on_after_a_restore() {
    goes_on_after_a_restore(Kind::Pvh);
}

#[test]
fn an_hvm_one_goes_on_after_a_restore() {
    goes_on_after_a_restore(Kind::Hvm);
}

/// Expects the end of a guest that ends soon after its resume. The resume may have been missed.
#[track_caller]
fn expect_the_end(guest: &Guest, reason: ShutdownReason) {
    let first = guest.next();
    if first == DomainEvent::Resumed {
        guest.expect_shutdown(reason);
    } else {
        assert_eq!(first, DomainEvent::Shutdown(reason));
    }
}

fn ends_in_the_instant_of_its_resume(kind: Kind) {
    let watcher = watcher();
    let guest = up(&watcher, kind, "instant", "lab.resumed=200");
    let _suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    guest.expect(SUSPENDED);
    guest.domain.resume(true).unwrap();
    expect_the_end(&guest, ShutdownReason(200));
    assert!(!guest.console().contains("goes on"), "{}", guest.console());
}

#[test]
fn a_pv_one_ends_in_the_instant_of_its_resume() {
    ends_in_the_instant_of_its_resume(Kind::Pv);
}

#[test]
fn a_pvh_one_ends_in_the_instant_of_its_resume() {
    ends_in_the_instant_of_its_resume(Kind::Pvh);
}

#[test]
fn it_suspends_again_in_the_instant_of_its_resume() {
    let watcher = watcher();
    let guest = up(&watcher, Kind::Pv, "again", "lab.resumed=suspend");
    let _suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    for _ in 0..2 {
        guest.domain.resume(true).unwrap();
        let suspended = Some(DomainState::Shutdown(ShutdownReason::SUSPEND));
        wait_for("the next suspend", || guest.state() == suspended);
    }
    assert!(!guest.console().contains("goes on"), "{}", guest.console());
}

#[test]
fn it_ends_a_while_after_its_resume() {
    let watcher = watcher();
    let guest = up(
        &watcher,
        Kind::Pv,
        "while",
        "lab.resumed=poweroff lab.resumed-after=1",
    );
    let _suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    guest.expect(SUSPENDED);
    guest.domain.resume(true).unwrap();
    expect_the_end(&guest, ShutdownReason::POWEROFF);
    guest.wait_until_it_says("stops with reason 0");
    let passed = uptimes(&guest, "stops")[0] - uptimes(&guest, "goes on")[0];
    assert!(passed >= 1000, "{}", guest.console());
}

/// A reset by a defect of the emulator can be told from a reboot of the guest. The demo relies on this.
#[test]
fn a_reset_by_the_emulator_is_told_from_a_reboot() {
    let (ctx, watcher) = (context(), watcher());
    for (action, reset) in [("triple-fault", true), ("reboot", false)] {
        let params = format!("lab.action={action} lab.after=0.5");
        let guest = up(&watcher, Kind::Pvh, action, &params);
        guest.expect_shutdown(ShutdownReason::REBOOT);
        let domid = u64::from(guest.id().domid.0);
        assert_eq!(xen_says_it_was_reset(&ctx, domid), reset, "{action}");
    }
}
