//! The agent on a real Xen: files in, files out.

mod cases;
mod changes;
mod crash_points;
mod disks;
mod field;
mod generated;
pub(crate) mod host;
mod limits;
mod nics;
pub(crate) mod orders;
mod saving;
mod soft_reset;
mod xl;

use std::{thread, time::Duration};

use host::{Host, domid};
use libxl::{DomId, DomainState, Limits, ShutdownReason};
use serde_json::json;

use crate::support::{outsider_is_there, unique, xl};

fn runs_and_stops(mode: &str) {
    let host = Host::start();
    let app = host.app("runs");
    // A Linux in an HVM domain takes minutes to boot in the emulated lab. The tests of `libxl` itself cover one.
    let put = if mode == "HVM" {
        Host::put_tiny
    } else {
        Host::put
    };
    put(&host, &app, mode, "", &json!({}));
    let up = host.wait_up(&app);
    assert_eq!(up["Activated"], true);
    assert_eq!(up["TriedCount"], 1);
    assert_eq!(host.domains(&app), [DomId(domid(&up))]);

    put(&host, &app, mode, "", &json!({"Activate": false}));
    let down = host.wait_state(&app, "HALTED");
    assert_eq!((&down["Activated"], domid(&down)), (&json!(false), 0));
    assert_eq!(down["LastErr"], "");
    assert_eq!(host.domains(&app), []);
    assert!(!host.log().contains("does not shut down"), "it obeyed");

    host.remove(&app);
    host.wait_gone(&app);
}

#[test]
fn a_pv_domain_runs_and_stops() {
    runs_and_stops("PV");
}

#[test]
fn a_pvh_domain_runs_and_stops() {
    runs_and_stops("PVH");
}

/// To Xen this domain looks like an HVM domain, which would have a device model.
#[test]
fn a_pvh_domain_is_not_broken_at_the_next_look() {
    let host = Host::start();
    let app = host.app("whole");
    host.put_tiny(&app, "PVH", "", &json!({}));
    host.wait_up(&app);
    // Longer than the time between two resyncs.
    thread::sleep(Duration::from_secs(40));
    let status = host.status(&app).unwrap();
    assert_eq!(status["StateName"], "RUNNING", "{status:#}");
}

#[test]
fn an_hvm_domain_runs_and_stops() {
    runs_and_stops("HVM");
}

#[test]
fn a_guest_that_reboots_gets_a_new_domain() {
    let host = Host::start();
    let app = host.app("reboots");
    host.put_tiny(&app, "PV", "lab.action=reboot lab.after=12", &json!({}));
    let first = host.wait_state(&app, "RUNNING");
    let second = host.wait(&app, "a restart", |status| {
        let state = &status["StateName"];
        assert!(
            state == "RUNNING" || state == "BOOTING",
            "never halted: {status:#}"
        );
        status["Restarts"] == 1 && state == "RUNNING"
    });
    assert!(domid(&second) > domid(&first));
    assert_ne!(second["BootTime"], first["BootTime"]);
    assert_eq!(second["ShutdownReason"], "reboot");
    assert_eq!(host.domains(&app), [DomId(domid(&second))]);
}

#[test]
fn a_guest_that_powers_off_stays_down() {
    let host = Host::start();
    let app = host.app("off");
    host.put_tiny(&app, "PV", "lab.action=poweroff lab.after=1", &json!({}));
    host.wait_state(&app, "RUNNING");
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(&app), []);
}

#[test]
fn a_crash_is_handled_as_configured() {
    let host = Host::start();
    let destroyed = host.app("crash");
    let restarted = host.app("crash-restart");
    let kept = host.app("crash-kept");
    let action = "lab.action=crash lab.after=12";
    host.put_tiny(&destroyed, "PV", action, &json!({}));
    host.put_tiny(&restarted, "PV", action, &json!({"OnCrash": "restart"}));
    host.put_tiny(&kept, "PV", action, &json!({"OnCrash": "preserve"}));
    let first = host.wait_state(&restarted, "RUNNING");
    let up = host.wait_state(&kept, "RUNNING");

    let down = host.wait_state(&destroyed, "HALTED");
    assert_eq!(down["ShutdownReason"], "crash");
    assert_eq!(host.domains(&destroyed), []);

    let again = host.wait(&restarted, "a restart", |s| {
        s["Restarts"].as_u64() >= Some(1)
    });
    assert_eq!(again["ShutdownReason"], "crash");
    host.wait(&restarted, "a new domain", |s| {
        s["StateName"] == "RUNNING" && domid(s) > domid(&first)
    });

    host.wait(&kept, "the crash", |s| s["ShutdownReason"] == "crash");
    assert_eq!(
        host.state(&kept, domid(&up)),
        Some(DomainState::Shutdown(ShutdownReason::CRASH)),
        "preserved for whoever wants to know why"
    );
}

/// The guest suspends, is resumed by somebody else, and shuts down later. Other toolstacks lose such a domain.
#[test]
fn a_domain_that_was_suspended_and_resumed_stays_managed() {
    if !outsider_is_there() {
        return;
    }
    let host = Host::start();
    let app = host.app("suspended");
    host.put(&app, "PV", "", &json!({}));
    let up = host.wait_up(&app);
    for _ in 0..2 {
        let file = host.path(&unique("save"));
        xl(&["save", "-c", &app.name(), file.to_str().unwrap()]);
        let on = host.wait_state(&app, "RUNNING");
        assert_eq!(domid(&on), domid(&up), "the same domain");
    }
    xl(&["shutdown", &app.name()]);
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(&app), [], "tidied up");
}

#[test]
fn a_domain_that_stays_suspended_is_shown_and_left_alone() {
    let host = Host::start();
    let app = host.app("sleeper");
    let other = host.app("other");
    host.put_tiny(&app, "PV", "", &json!({}));
    host.put_tiny(&other, "PV", "", &json!({}));
    let up = host.wait_up(&app);
    host.wait_up(&other);
    let domain = host.outsider(&app);
    let refused = host.resume(&app);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(
        words.contains("the domain is not suspended but "),
        "{words}"
    );
    assert!(!refused.status.success());
    let suspended = domain.suspend_only(&Limits::none()).unwrap();
    let asleep = host.wait_state(&app, "SUSPENDED");
    assert_eq!(domid(&asleep), domid(&up));
    // The death of another domain makes every observer look.
    host.outsider(&other).destroy().wait().unwrap();
    host.wait_state(&other, "HALTED");
    assert_eq!(
        host.state(&app, domid(&up)),
        Some(DomainState::Shutdown(ShutdownReason::SUSPEND))
    );
    // The suspender gives up its handle.
    drop(suspended);
    let resumed = host.resume(&app);
    assert!(resumed.status.success(), "{resumed:?}");
    let running = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&running), domid(&up));
    host.remove(&app);
    host.wait_gone(&app);
}

#[test]
fn an_outsider_destroys_a_managed_domain() {
    if !outsider_is_there() {
        return;
    }
    let host = Host::start();
    let app = host.app("victim");
    host.put_tiny(&app, "PV", "", &json!({}));
    host.wait_state(&app, "RUNNING");
    xl(&["destroy", &app.name()]);
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(domid(&down), 0);
}

#[test]
fn an_agent_that_is_killed_finds_its_domains_again() {
    let mut host = Host::start();
    let stays = host.app("stays");
    let ends = host.app("ends");
    let removed = host.app("removed");
    host.put(&stays, "PV", "", &json!({}));
    for app in [&ends, &removed] {
        host.put_tiny(app, "PV", "", &json!({}));
    }
    let up = host.wait_up(&stays);
    host.wait_up(&ends);
    host.wait_up(&removed);

    host.kill();
    assert_eq!(host.state(&stays, domid(&up)), Some(DomainState::Running));
    // Both happen while no agent runs.
    host.outsider(&ends).destroy().wait().unwrap();
    host.remove(&removed);
    host.run(&[]);

    host.wait_state(&ends, "HALTED");
    host.wait_gone(&removed);
    host.wait_log(&format!("domain {} found", domid(&up)));
    let again = host.wait_state(&stays, "RUNNING");
    assert_eq!(domid(&again), domid(&up), "adopted, not started again");
    assert_eq!(again["BootTime"], up["BootTime"]);
    // The new agent watches the domain.
    host.outsider(&stays).shutdown().wait().unwrap();
    let down = host.wait_state(&stays, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
}

#[test]
fn a_domain_that_does_not_boot_is_tried_again() {
    let host = Host::start_with(&["--config", "timer.boot.retry:10"]);
    let app = host.app("broken");
    let kernel = host.path("kernel");
    std::fs::write(&kernel, "not a kernel").unwrap();
    host.put_tiny(&app, "PV", "", &json!({"Kernel": kernel}));
    let failed = host.wait(&app, "three tries", |s| s["BootFailed"] == true);
    assert_eq!(failed["TriedCount"], 3);
    assert!(
        failed["LastErr"].as_str().unwrap().contains("kernel"),
        "{failed:#}"
    );
    std::fs::copy("/share/guest/tiny", &kernel).unwrap();
    let up = host.wait(&app, "a later try", |s| s["StateName"] == "RUNNING");
    assert_eq!(
        (&up["BootFailed"], &up["LastErr"]),
        (&json!(false), &json!(""))
    );
}

#[test]
fn a_guest_that_ignores_requests_is_destroyed() {
    let host = Host::start_with(&[
        "--config",
        "timer.shutdown.graceful:3",
        "--config",
        "timer.shutdown.forced:3",
    ]);
    let app = host.app("stubborn");
    let ignore = "lab.requests=ignore";
    host.put_tiny(&app, "PV", ignore, &json!({}));
    let up = host.wait_up(&app);
    host.put_tiny(&app, "PV", ignore, &json!({"Activate": false}));
    let down = host.wait_state(&app, "HALTED");
    // The guest did not shut down on its own.
    assert_eq!(down["ShutdownReason"], "");
    let (log, id) = (host.log(), domid(&up));
    for line in [
        format!("domain {id} does not shut down; asking it harder"),
        format!("domain {id} does not shut down; destroying it"),
    ] {
        assert!(log.contains(&line), "{line}: {log}");
    }
    assert_eq!(host.domains(&app), []);
}
