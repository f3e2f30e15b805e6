//! A domain's life, through files, with the real program and a simulated Xen.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{A, B, Host, domid};
use serde_json::json;

const NEVER: &str = "0001-01-01T00:00:00Z";

#[test]
fn to_running_and_back() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["State"], 7);
    assert_eq!(up["Activated"], true);
    assert_eq!(up["PendingAdd"], false);
    assert_eq!(up["BootFailed"], false);
    assert_eq!(up["TriedCount"], 1);
    assert_eq!(up["DomainName"], "a.1");
    assert!(domid(&up) > 0);
    assert_ne!(up["BootTime"], NEVER);
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(cfg.contains("name = \"a.1\"\ntype = \"pv\"\n"), "{cfg}");

    host.put(A, &json!({"Activate": false}));
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["State"], 9);
    assert_eq!(down["Activated"], false);
    assert_eq!(domid(&down), 0);
    assert_eq!(down["LastErr"], "");
    assert_eq!(host.domains(), 0);
    let log = host.log();
    assert!(log.contains("asking domain 1 to shut down"), "{log}");
    assert!(
        !log.contains("does not shut down"),
        "it obeyed, and yet: {log}"
    );

    host.put(A, &json!({}));
    assert_eq!(domid(&host.wait_state(A, "RUNNING")), 2);
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(host.domains(), 0);
    assert!(!host.path("run/xen/xen1.cfg").exists());
}

/// It may hold a password.
#[test]
fn what_a_domain_was_built_from_is_not_left_under_an_old_number() {
    let host = Host::start(&[]);
    let cfg = |n: u32| host.path(&format!("run/xen/xen{n}.cfg"));
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    host.put(A, &json!({"Activate": false, "AppNum": 7}));
    host.wait_state(A, "HALTED");
    host.put(A, &json!({"AppNum": 7}));
    host.wait_state(A, "RUNNING");
    assert_eq!([1, 2, 7].map(|n| cfg(n).exists()), [false, true, true]);
    host.remove(A);
    host.wait_gone(A);
    assert_eq!([1, 2, 7].map(|n| cfg(n).exists()), [false, true, false]);
}

/// Not mounted, or moved away: that is no wish to stop anything.
#[test]
fn a_config_directory_that_is_gone_stops_nothing() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    let (config, away) = (host.path("config"), host.path("away"));
    fs::rename(&config, &away).unwrap();
    host.signal("-HUP");
    let said = format!("{}/{A}.json: the directory is gone", config.display());
    let status = host.wait(A, &said, |s| s["LastErr"] == said);
    assert_eq!(status["StateName"], "RUNNING");
    // The very same file, which nobody has touched.
    fs::rename(&away, &config).unwrap();
    assert_eq!(host.wait(A, "no error", |s| s["LastErr"] == ""), up);
    assert_eq!(host.domains(), 1);
    // An agent that comes back meanwhile does not begin.
    host.stop();
    fs::rename(&config, &away).unwrap();
    host.run(&[]);
    host.wait_log(&format!(
        "{}: no such directory, but {} tells of 1 domain(s)",
        config.display(),
        host.path("run/state/journal.db").display()
    ));
    host.kill();
    assert!(!config.exists());
    fs::rename(&away, &config).unwrap();
    host.run(&[]);
    assert_eq!(host.wait_state(A, "RUNNING")["DomainId"], up["DomainId"]);
}

#[test]
fn a_status_that_cannot_be_written_is_written_later() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let (dir, away) = (host.path("run/DomainStatus"), host.path("run/away"));
    fs::rename(&dir, &away).unwrap();
    host.put(A, &json!({"Activate": false}));
    host.until("it is down", || host.domains() == 0);
    host.wait_log(&format!("{A}.json: No such file or directory"));
    std::thread::sleep(Duration::from_millis(200));
    // Nothing else happens from now on.
    fs::rename(&away, &dir).unwrap();
    host.wait_state(A, "HALTED");
}

#[test]
fn inactive_is_installed() {
    let host = Host::start(&[]);
    host.put(A, &json!({"Activate": false}));
    let status = host.wait(A, "settled", |s| s["PendingAdd"] == false);
    assert_eq!(
        (&status["State"], &status["StateName"]),
        (&json!(5), &json!("INSTALLED"))
    );
    host.remove(A);
    host.wait_gone(A);
}

#[test]
fn a_guest_that_reboots_gets_a_new_domain_and_is_never_halted() {
    let host = Host::start(&[]);
    host.put(
        A,
        &json!({"ExtraArgs": "lab.action=reboot lab.after=30 sim.once", "VirtualizationMode": "PVH"}),
    );
    let first = host.wait_state(A, "RUNNING");
    let second = host.wait(A, "a restart", |s| {
        assert!(
            s["StateName"] == "RUNNING" || s["StateName"] == "BOOTING",
            "{s}"
        );
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert!(domid(&second) > domid(&first));
    assert!(second["BootTime"].as_str() > first["BootTime"].as_str());
    assert_eq!(second["ShutdownReason"], "reboot");
    assert_eq!(host.domains(), 1);
}

#[test]
fn a_guest_that_reboots_at_every_start_is_slowed_down() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "lab.action=reboot lab.after=1"}));
    host.wait_log("it ended too soon after its start; waiting 2 s");
    let waiting = host.wait(A, "a pause", |s| s["NextRetry"] != NEVER);
    assert_eq!(waiting["StateName"], "BOOTING");
    host.wait_log("it ended too soon after its start; waiting 8 s");
    // A newer wish is heard in the middle of it.
    host.put(A, &json!({"Activate": false}));
    host.wait_state(A, "HALTED");
}

#[test]
fn a_guest_that_powers_off_stays_down_until_a_newer_wish() {
    let host = Host::start(&[]);
    host.put(
        A,
        &json!({"ExtraArgs": "lab.action=poweroff lab.after=2 sim.once"}),
    );
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(down["Activated"], false);
    assert_eq!(down["NextRetry"], NEVER);
    assert_eq!(down["LastErr"], "");
    // The same wish written again is not a newer one.
    host.put(
        A,
        &json!({"ExtraArgs": "lab.action=poweroff lab.after=2 sim.once"}),
    );
    host.put(B, &json!({}));
    // Nothing was built between the two.
    assert_eq!(domid(&host.wait_state(B, "RUNNING")), 2);
    assert_eq!(host.status(A).unwrap()["StateName"], "HALTED");
    host.put(
        A,
        &json!({"ExtraArgs": "sim.once", "UUIDandVersion": {"UUID": A, "Version": "2"}}),
    );
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["UUIDandVersion"]["Version"], "2");
}

#[test]
fn poweroff_with_policy_retry_comes_back() {
    let host = Host::start(&[
        "--config",
        "domain.poweroff.policy:retry",
        "--config",
        "timer.boot.retry:10",
    ]);
    host.put(
        A,
        &json!({"ExtraArgs": "lab.action=poweroff lab.after=2 sim.once"}),
    );
    let down = host.wait_state(A, "HALTED");
    assert_ne!(down["NextRetry"], NEVER);
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&up), 2);
}

#[test]
fn a_crash_is_told_and_acted_upon() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "lab.action=crash lab.after=2"}));
    host.put(
        B,
        &json!({"ExtraArgs": "lab.action=crash lab.after=2 sim.once", "OnCrash": "coredump-restart"}),
    );
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["ShutdownReason"], "crash");
    assert_eq!(down["LastErr"], "the domain ended: crash");
    let up = host.wait(B, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert_eq!(up["ShutdownReason"], "crash");
    assert!(host.path("run/dump").join(B).exists());
}

#[test]
fn a_preserved_domain_stays_until_it_is_deactivated() {
    let host = Host::start(&[]);
    let config = json!({"ExtraArgs": "lab.action=crash lab.after=2", "OnCrash": "preserve"});
    host.put(A, &config);
    let kept = host.wait_state(A, "PRESERVED");
    assert_eq!(kept["DomainId"], 1);
    assert_eq!(kept["Activated"], true);
    host.put(A, &json!({"Activate": false}));
    host.wait_state(A, "HALTED");
    assert_eq!(host.domains(), 0);
}

#[test]
fn rename_restart_keeps_the_dead_one_beside_the_new_one() {
    let host = Host::start(&[]);
    let config =
        json!({"ExtraArgs": "lab.action=crash lab.after=2 sim.once", "OnCrash": "rename-restart"});
    host.put(A, &config);
    let up = host.wait(A, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert_eq!(domid(&up), 2);
    assert_eq!(host.domains(), 2);
    assert!(
        host.xen(&["list"]).contains(" a.1-2"),
        "{}",
        host.xen(&["list"])
    );
}

#[test]
fn soft_reset_in_place_or_by_restart() {
    let host = Host::start(&[]);
    let words = "lab.action=poweroff sim.reason=5 lab.after=2 sim.once";
    host.put(A, &json!({"ExtraArgs": words, "VirtualizationMode": "HVM"}));
    let up = host.wait(A, "a soft reset", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert_eq!(domid(&up), 1);
    host.put(B, &json!({"ExtraArgs": words}));
    let up = host.wait(B, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert!(domid(&up) > 2);
}

#[test]
fn reasons_nobody_has_heard_of_destroy_and_show_as_numbers() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.reason=200 lab.after=1"}));
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["ShutdownReason"], "reason 200");
    assert_eq!(host.domains(), 0);
}

#[test]
fn events_are_heard_long_before_the_resync() {
    let mut host = Host::new();
    // In the world's own time, where the resync comes after 27 s at the earliest.
    host.speed = 1;
    host.run(&[]);
    host.put(A, &json!({"ExtraArgs": "lab.action=crash lab.after=1"}));
    host.wait_state(A, "RUNNING");
    let begin = Instant::now();
    host.wait_state(A, "HALTED");
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn what_follows_a_suspend_is_seen_and_heard_long_before_the_resync() {
    let mut host = Host::new();
    host.speed = 1;
    host.run(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let begin = Instant::now();
    host.xen(&["suspend", "1"]);
    host.wait_state(A, "SUSPENDED");
    host.xen(&["resume", "1"]);
    host.wait_state(A, "RUNNING");
    host.xen(&["end", "1", "0"]);
    host.wait_state(A, "HALTED");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn suspended_is_not_ended() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    for _ in 0..2 {
        host.xen(&["suspend", "1"]);
        let status = host.wait_state(A, "SUSPENDED");
        assert_eq!(
            (&status["State"], &status["DomainId"]),
            (&json!(7), &json!(1))
        );
        assert_eq!(status["Activated"], true);
        // Another one dies meanwhile.
        host.put(B, &json!({"ExtraArgs": "lab.action=crash lab.after=0"}));
        host.wait_state(B, "HALTED");
        host.remove(B);
        host.wait_gone(B);
        assert_eq!(host.status(A).unwrap()["StateName"], "SUSPENDED");
        host.xen(&["resume", "1"]);
        host.wait_state(A, "RUNNING");
    }
    host.xen(&["end", "1", "0"]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(), 0);
}

#[test]
fn a_suspended_domain_is_destroyed_only_because_the_wish_says_so() {
    let host = Host::start(&["--config", "timer.shutdown.graceful:20"]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.xen(&["suspend", "1"]);
    host.wait_state(A, "SUSPENDED");
    host.remove(A);
    host.wait_log("domain 1 is still suspended; destroying it");
    host.wait_gone(A);
    assert_eq!(host.domains(), 0);
}

#[test]
fn an_outsider_interferes() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.xen(&["pause", "1"]);
    host.wait_state(A, "PAUSED");
    host.xen(&["unpause", "1"]);
    host.wait_state(A, "RUNNING");
    host.xen(&["rename", "1", "other"]);
    host.xen(&["destroy", "1"]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["ShutdownReason"], "destroyed from outside");
    assert_eq!(down["LastErr"], "the domain ended: destroyed from outside");
    assert_eq!(down["Activated"], false);
    // Someone else starts it: there must not be a second one.
    host.xen(&["create", A, "theirs"]);
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&up), 2);
    host.put(A, &json!({"UUIDandVersion": {"UUID": A, "Version": "2"}}));
    host.wait(A, "version 2", |s| s["UUIDandVersion"]["Version"] == "2");
    assert_eq!(host.domains(), 1);
}

#[test]
fn a_paused_guest_is_let_run_so_that_it_can_hear() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.xen(&["pause", "1"]);
    host.wait_state(A, "PAUSED");
    host.remove(A);
    host.wait_gone(A);
    assert!(!host.log().contains("does not shut down"), "{}", host.log());
}

#[test]
fn a_guest_that_does_not_obey_is_asked_harder_then_destroyed() {
    let host = Host::start(&[
        "--config",
        "timer.shutdown.graceful:20",
        "--config=timer.shutdown.forced:10",
    ]);
    for (key, words, mode) in [(A, "sim.stubborn", "PV"), (B, "sim.deaf", "HVM")] {
        host.put(
            key,
            &json!({"ExtraArgs": words, "VirtualizationMode": mode}),
        );
        host.wait_state(key, "RUNNING");
        host.put(key, &json!({"Activate": false, "VirtualizationMode": mode}));
        host.wait_state(key, "HALTING");
        host.wait_state(key, "HALTED");
    }
    assert_eq!(host.domains(), 0);
    let log = host.log();
    assert!(
        log.contains("domain 1 does not shut down; asking it harder"),
        "{log}"
    );
    assert!(
        log.contains("domain 1 does not shut down; destroying it"),
        "{log}"
    );
}

#[test]
fn without_pv_drivers_the_power_button_is_pressed() {
    let host = Host::start(&[]);
    host.put(
        A,
        &json!({"ExtraArgs": "sim.nopv sim.deaf=0", "VirtualizationMode": 1}),
    );
    host.wait_state(A, "RUNNING");
    host.put(A, &json!({"Activate": false, "VirtualizationMode": 1}));
    host.wait_state(A, "HALTED");
    let log = host.log();
    assert!(
        log.contains("pressing the power button of domain 1"),
        "{log}"
    );
    assert!(!log.contains("does not shut down"), "{log}");
}

#[test]
fn a_guest_that_is_only_booting_is_asked_again() {
    let host = Host::start(&["--config", "timer.shutdown.graceful:300"]);
    let config = json!({"ExtraArgs": "sim.deaf=35", "VirtualizationMode": 1});
    host.put(A, &config);
    host.wait_state(A, "RUNNING");
    host.remove(A);
    host.wait_gone(A);
    let log = host.log();
    let asked = "the guest cannot be asked through its drivers";
    assert!(log.contains(asked), "{log}");
    // It was lost, and yet it is neither asked otherwise nor destroyed.
    let pressed = "pressing the power button of domain 1";
    assert_eq!(log.matches(pressed).count(), 1, "{log}");
    assert!(!log.contains("does not shut down"), "{log}");
}

#[test]
fn a_wish_to_run_again_while_it_halts_is_honoured() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.stop=20"}));
    host.wait_state(A, "RUNNING");
    host.put(A, &json!({"ExtraArgs": "sim.stop=20", "Activate": false}));
    host.wait_state(A, "HALTING");
    host.put(A, &json!({"ExtraArgs": "sim.stop=20"}));
    let up = host.wait(A, "running again", |s| s["StateName"] == "RUNNING");
    assert_eq!(domid(&up), 2);
    assert_eq!(up["Restarts"], 0);
}

#[test]
fn a_destroy_that_fails_is_tried_again_and_never_hidden() {
    let host = Host::start_slowly(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-destroy=2 sim.deaf"}));
    host.wait_state(A, "RUNNING");
    host.xen(&["end", "1", "3"]);
    let stuck = host.wait(A, "the error", |s| s["LastErr"] != "");
    assert_eq!(stuck["Activated"], true);
    assert_eq!(stuck["DomainId"], 1);
    assert_eq!(
        stuck["LastErr"],
        "domain 1 could not be destroyed, next try in 5 s: destroy failed (simulated)"
    );
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(host.domains(), 0);
}

#[test]
fn boot_is_tried_three_times_then_after_the_retry_time() {
    let host = Host::start(&["--config", "timer.boot.retry:20"]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-create=3"}));
    let failed = host.wait(A, "failure", |s| s["BootFailed"] == true);
    assert_eq!(failed["TriedCount"], 3);
    assert_eq!(
        failed["LastErr"],
        "boot failed: domain creation failed (simulated)"
    );
    assert_ne!(failed["NextRetry"], NEVER);
    assert_eq!(failed["StateName"], "INSTALLED");
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["TriedCount"], 4);
    assert_eq!(
        (&up["LastErr"], &up["BootFailed"]),
        (&json!(""), &json!(false))
    );
    assert_eq!(up["NextRetry"], NEVER);
}

#[test]
fn a_newer_wish_cuts_the_retry_short() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-create=3"}));
    host.wait(A, "failure", |s| s["BootFailed"] == true);
    host.put(A, &json!({"Activate": false}));
    let idle = host.wait(A, "peace", |s| s["BootFailed"] == false);
    assert_eq!(idle["LastErr"], "");
    assert_eq!(idle["NextRetry"], NEVER);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
}

#[test]
fn what_a_failed_create_leaves_is_cleaned_up() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-create=1 sim.litter"}));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&up), 2);
    assert_eq!(host.domains(), 1);
    host.put(B, &json!({"ExtraArgs": "sim.fail-unpause=1"}));
    let up = host.wait_state(B, "RUNNING");
    assert_eq!(up["TriedCount"], 2);
    assert_eq!(host.domains(), 2);
}

#[test]
fn a_long_create_is_ended_by_a_newer_wish() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.create=10000"}));
    host.until("a half-built domain", || host.domains() == 1);
    host.put(A, &json!({"Activate": false}));
    host.wait(A, "peace", |s| {
        s["PendingModify"] == false && s["Activated"] == false
    });
    host.until("no domain", || host.domains() == 0);
    assert_eq!(host.status(A).unwrap()["LastErr"], "");
}

#[test]
fn one_stuck_domain_holds_up_no_other() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.create=100000"}));
    host.until("a half-built domain", || host.domains() == 1);
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    host.remove(B);
    host.wait_gone(B);
    host.stop();
}

#[test]
fn delete_and_create_of_one_key_keep_their_order() {
    let host = Host::start_slowly(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.stop=5"}));
    host.wait_state(A, "RUNNING");
    for n in 2..5 {
        host.remove(A);
        host.put(A, &json!({"ExtraArgs": "sim.stop=5", "UUIDandVersion": {"UUID": A, "Version": n.to_string()}}));
    }
    host.wait(A, "the last version", |s| {
        s["UUIDandVersion"]["Version"] == "4" && s["StateName"] == "RUNNING"
    });
    assert_eq!(host.domains(), 1);
    host.remove(A);
    host.wait_state(A, "HALTING");
    host.put(A, &json!({}));
    host.wait(A, "a new domain", |s| {
        domid(s) > 1 && s["StateName"] == "RUNNING"
    });
    assert_eq!(host.domains(), 1);
}

#[test]
fn a_key_that_comes_back_while_its_worker_goes_is_not_forgotten() {
    let mut host = Host::new();
    // So that the resync cannot help.
    host.speed = 1;
    host.run(&[]);
    for n in 0..200 {
        let begin = Instant::now();
        let version = format!("{n}");
        let config = json!({"Activate": false, "UUIDandVersion": {"UUID": A, "Version": version}});
        host.put(A, &config);
        host.wait(A, &version, |s| s["UUIDandVersion"]["Version"] == version);
        host.remove(A);
        // From at once to after the worker's end.
        std::thread::sleep(Duration::from_micros(n * 20));
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

#[test]
fn killed_and_restarted_no_domain_notices() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.put(B, &json!({}));
    let before = host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
    host.kill();
    host.remove(B);
    host.run(&[]);
    host.wait_log("domain 1 found");
    // The key without a config is brought down.
    host.wait_gone(B);
    let after = host.wait_state(A, "RUNNING");
    for field in ["DomainId", "BootTime", "Restarts"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(host.domains(), 1);
    // And it is watched.
    host.xen(&["end", "a.1", "1"]);
    host.wait(A, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
}

#[test]
fn killed_in_the_middle_of_a_create() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.create=20"}));
    host.until("a half-built domain", || host.domains() == 1);
    host.kill();
    host.run(&[]);
    host.wait_log("domain 1 was left half-built; destroying it");
    assert_eq!(domid(&host.wait_state(A, "RUNNING")), 2);
    assert_eq!(host.domains(), 1);
}

#[test]
fn what_happened_while_the_agent_was_away_is_dealt_with() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.put(B, &json!({}));
    host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
    host.stop();
    host.xen(&["destroy", "a.1"]);
    host.xen(&["end", "b.2", "1"]);
    host.run(&[]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!(
        down["ShutdownReason"],
        "gone while the agent was not running"
    );
    host.wait(B, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    // It stays down through another restart of the agent.
    host.stop();
    host.run(&[]);
    host.wait(B, "adopted", |s| s["StateName"] == "RUNNING");
    host.wait_log("domainmgr ended");
    assert_eq!(host.status(A).unwrap()["StateName"], "HALTED");
}

#[test]
fn a_restarted_agent_shows_a_running_domain_as_nothing_else() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    host.kill();
    let before = host.log().len();
    host.run(&[]);
    host.wait_log("domain 1 found");
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    let log = &host.log()[before..];
    let shown = |state| log.contains(&format!("key={A} {state}"));
    assert!(shown("RUNNING 1"), "{log}");
    assert!(!shown("INSTALLED") && !shown("BOOTING"), "{log}");
    assert_eq!(host.status(A).unwrap()["DomainId"], up["DomainId"]);
}

/// A DomainStatus is an output: its removal is no request.
#[test]
fn a_status_that_somebody_removes_stops_nothing() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    std::fs::remove_file(host.status_file(A)).unwrap();
    host.signal("-HUP");
    host.wait_log("reading everything again");
    assert_eq!(host.domains(), 1);
    host.put(A, &json!({"ExtraArgs": "newer"}));
    let again = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&again), domid(&up));
    // Nor does one that is gone when the agent comes back.
    host.kill();
    std::fs::remove_file(host.status_file(A)).unwrap();
    host.run(&[]);
    let again = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&again), domid(&up));
}

#[test]
fn a_domain_of_nobody_here_is_left_alone() {
    let mut host = Host::new();
    host.run(&[]);
    host.wait_log("started");
    host.xen(&["create", B, "theirs"]);
    host.put(A, &json!({"DisplayName": "x"}));
    host.wait_state(A, "RUNNING");
    host.stop();
    host.run(&[]);
    host.wait_log("domain 2 found");
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(host.domains(), 1);
    assert!(host.xen(&["list"]).contains("theirs Running"));
}

#[test]
fn the_name_of_another_domain_is_not_taken() {
    let host = Host::start(&[]);
    host.wait_log("started");
    host.xen(&["create", B, "a.1"]);
    host.put(A, &json!({}));
    let failed = host.wait(A, "failure", |s| s["BootFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "boot failed: a domain with the name a.1 exists already"
    );
    assert_eq!(host.domains(), 1);
}

#[test]
fn two_agents_are_one_too_many() {
    let host = Host::start(&[]);
    host.wait_log("started");
    let mut second = host
        .command(&[])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while second.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(20) {
            second.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let out = second.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let error = crate::common::text(&out.stderr);
    assert!(
        error.contains(&format!(
            "another domainmgr (pid {}) is running",
            host.pid()
        )),
        "{error}"
    );
}

#[test]
fn signals() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.signal("-USR1");
    host.wait_log("\"StateName\": \"RUNNING\"");
    fs::create_dir(host.path("run/GlobalConfig")).ok();
    fs::write(
        host.path("run/GlobalConfig/global.json"),
        r#"{"timer.shutdown.graceful": 30}"#,
    )
    .unwrap();
    host.signal("-HUP");
    host.wait_log("settings changed");
    host.stop();
    assert_eq!(host.domains(), 1);
    assert!(!host.path("run/domainmgr.pid").exists());
}

#[test]
fn the_marker_is_passed_on_after_everything_else() {
    let mut host = Host::new();
    fs::write(host.path("run/DomainStatus/restarted"), "0").unwrap();
    host.put(A, &json!({}));
    host.run(&[]);
    host.wait_state(A, "RUNNING");
    assert!(!host.path("run/DomainStatus/restarted").exists());
    // Still on its way when the marker comes.
    host.put(B, &json!({"ExtraArgs": "sim.create=20"}));
    host.put_text("restarted", "3");
    host.until("the marker", || {
        fs::read_to_string(host.path("run/DomainStatus/restarted")).is_ok_and(|t| t == "3")
    });
    assert_eq!(host.status(B).unwrap()["PendingAdd"], false);
}

#[test]
fn a_bug_in_one_worker_ends_neither_the_agent_nor_the_key() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.panic"}));
    let status = host.wait(A, "the fault", |s| {
        s["LastErr"] == "internal error: simulated bug"
    });
    assert_eq!(status["Activated"], false);
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["LastErr"], "");
}

#[test]
fn what_an_outsider_renames_stays_managed_and_is_seen() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.xen(&["rename", "1", "theirs"]);
    let status = host.wait(A, "the new name", |s| s["RenamedTo"] == "theirs");
    assert_eq!(status["DomainName"], "a.1");
    host.kill();
    host.run(&[]);
    host.wait_log("domain 1 found");
    host.xen(&["end", "theirs", "0"]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!(
        (&down["ShutdownReason"], &down["RenamedTo"]),
        (&json!("poweroff"), &json!(""))
    );
}

#[test]
fn both_answers_to_a_migration_that_nobody_confirmed() {
    let mut host = Host::start(&[]);
    for key in [A, B] {
        host.put(key, &json!({}));
        host.wait_state(key, "RUNNING");
    }
    for (key, domain, name) in [(A, "1", "a.1"), (B, "2", "b.2")] {
        host.xen(&["suspend", domain]);
        host.xen(&["rename", domain, &format!("{name}--migratedaway")]);
        let status = host.wait(key, "the reason", |s| {
            s["StateReason"].as_str().unwrap().contains(&format!(
                "outcome is not known (it is called {name}--migratedaway): if the guest runs nowhere else, resume domain \
                 {domain}; if it does, destroy domain {domain}"
            ))
        });
        assert_eq!(status["StateName"], "SUSPENDED");
        assert_ne!(status["SuspendedSince"], NEVER);
    }
    let before = host.status(A).unwrap();
    host.stop();
    host.run(&[]);
    host.wait_log("domain 1 found");
    let after = host.wait_state(A, "SUSPENDED");
    assert_eq!(before["SuspendedSince"], after["SuspendedSince"]);

    host.xen(&["resume", "1"]);
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(
        (&up["StateReason"], &up["SuspendedSince"]),
        (&json!(""), &json!(NEVER))
    );
    host.xen(&["end", "1", "0"]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");

    host.xen(&["destroy", "2"]);
    let down = host.wait_state(B, "HALTED");
    assert_eq!(down["ShutdownReason"], "migrated away");
    assert_eq!(down["Vanished"], true);
    assert_eq!(host.domains(), 0);
}

#[test]
fn a_migration_to_this_very_host_is_followed() {
    let host = Host::start(&["--config", "domain.poweroff.policy:retry"]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.xen(&["receive", "1"]);
    host.wait(A, "the other end", |s| {
        s["StateReason"] == "domain 2 (a.1--incoming) is the receiving end of a migration"
    });
    host.xen(&["suspend", "1"]);
    host.wait_state(A, "SUSPENDED");
    for step in [
        &["hand-over", "1", "2"][..],
        &["rename", "1", "a.1--migratedaway"],
        &["rename", "2", "a.1"],
        &["unpause", "2"],
    ] {
        host.xen(step);
    }
    let up = host.wait(A, "the other number", |s| s["DomainId"] == 2);
    assert_eq!(
        (&up["StateName"], &up["Restarts"]),
        (&json!("RUNNING"), &json!(0))
    );
    assert_eq!(up["Preserved"][0]["DomainName"], "a.1--migratedaway");
    host.xen(&["destroy", "1"]);
    host.wait(A, "nothing beside it", |s| s["Preserved"] == json!([]));
    // And it is watched there.
    host.xen(&["end", "2", "1"]);
    let up = host.wait(A, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert_eq!(up["DomainId"], 3);
    assert_eq!(host.domains(), 1);
}

#[test]
fn what_is_kept_is_shown_until_it_is_destroyed() {
    let mut host = Host::start(&[]);
    host.put(
        A,
        &json!({"ExtraArgs": "lab.action=crash lab.after=2 sim.once", "OnCrash": "rename-restart"}),
    );
    let listed = |s: &serde_json::Value| s["Preserved"].as_array().unwrap().len();
    let up = host.wait(A, "the dead one", |s| {
        listed(s) == 1 && s["StateName"] == "RUNNING"
    });
    assert_eq!(up["Preserved"][0]["DomainId"], 1);
    assert_eq!(up["Preserved"][0]["Reason"], "crash");
    assert_eq!(up["ShutdownAction"], "rename-restart");
    host.stop();
    host.run(&[]);
    host.wait_log("domain 2 found");
    let again = host.wait_state(A, "RUNNING");
    assert_eq!(again["Preserved"], up["Preserved"]);
    let out = crate::common::domainmgr(
        &["status", "--status-dir"],
        &[&host.path("run/DomainStatus")],
    );
    let table = crate::common::text(&out.stdout);
    assert!(table.contains("PRESERVED  1 "), "{table}");
    host.xen(&["destroy", "1"]);
    host.wait(A, "nothing kept", |s| listed(s) == 0);
}

#[test]
fn a_domain_that_cannot_be_watched_is_tried_again() {
    let mut host = Host::new();
    host.speed = 2;
    host.run(&[]);
    // Seen by a watch after 10 s at the latest, and by the resync not before 27.
    let words = "sim.fail-watch=2 lab.action=poweroff lab.after=12";
    host.put(A, &json!({"ExtraArgs": words}));
    host.wait_state(A, "RUNNING");
    let begin = Instant::now();
    host.wait_state(A, "HALTED");
    let took = begin.elapsed() * host.speed;
    assert!(took < Duration::from_secs(20), "{took:?}\n{}", host.log());
    let tries = host
        .log()
        .matches("cannot be watched, next try in 5 s")
        .count();
    assert_eq!(tries, 2, "{}", host.log());
}

#[test]
fn two_with_one_number_have_a_cfg_each() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.put(B, &json!({"AppNum": 1, "DisplayName": "b"}));
    host.wait_state(B, "RUNNING");
    let names = || {
        let mut names: Vec<String> = fs::read_dir(host.path("run/xen"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), [format!("xen1-{B}.cfg"), "xen1.cfg".to_owned()]);
    let of_a = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(of_a.contains(A), "{of_a}");
    assert!(
        host.log()
            .contains(&format!("AppNum 1 is also that of {A}")),
        "{}",
        host.log()
    );
    host.remove(B);
    host.wait_gone(B);
    assert_eq!(names(), ["xen1.cfg"]);
}

#[test]
fn two_agents_do_not_look_after_one_directory() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let again = |config: &str, copies: &str| {
        let out = std::process::Command::new("timeout")
            .args(["20", env!("CARGO_BIN_EXE_domainmgr")])
            .args(["run", "--simulate", "--config-dir"])
            .arg(host.path(config))
            .arg("--run-dir")
            .arg(host.path("other"))
            .arg("--image-dir")
            .arg(host.path(copies))
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        crate::common::text(&out.stderr)
    };
    let refused = |dir: &str| {
        format!(
            "another domainmgr (pid {}) looks after {}",
            host.pid(),
            host.path(dir).display()
        )
    };
    let said = again("config", "other/img");
    assert!(said.contains(&refused("config")), "{said}");
    // By another path as well.
    std::os::unix::fs::symlink(host.path("config"), host.path("link")).unwrap();
    let said = again("link", "other/img");
    assert!(said.contains(&refused("link")), "{said}");
    let said = again("other/config", "run/img");
    assert!(said.contains(&refused("run/img")), "{said}");
    host.kill();
    // The kernel has released it, whatever lies there still.
    host.run(&[]);
    host.wait_state(A, "RUNNING");
}
