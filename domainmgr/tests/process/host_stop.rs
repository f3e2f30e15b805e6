//! The host goes down and comes back, with the real program and a simulated Xen.

use std::fs;
use std::process::Command;

use crate::common::{A, B, Host, domid};
use serde_json::{Value, json};

const C: &str = "cccccccc-0000-4000-8000-000000000003";
const D: &str = "dddddddd-0000-4000-8000-000000000004";

/// `host-stop` with settings of xendomains that are the host's own.
fn host_stop(host: &Host, more: &[&str]) -> (i32, String) {
    let defaults = host.path("xendomains");
    let words = ["host-stop", "--defaults", defaults.to_str().unwrap()];
    host.verb(&[&words[..], more].concat())
}

#[track_caller]
fn stops(host: &Host, more: &[&str]) -> String {
    let (code, said) = host_stop(host, more);
    assert_eq!(code, 0, "{more:?}: {said}");
    said
}

fn start(settings: &str, words: &str) -> Host {
    let host = Host::start(&[]);
    fs::write(host.path("xendomains"), settings).unwrap();
    host.put(A, &json!({}));
    host.put(B, &json!({"ExtraArgs": words}));
    for key in [A, B] {
        host.wait_state(key, "RUNNING");
    }
    host
}

#[test]
fn everything_is_saved_and_comes_back_with_the_host() {
    let mut host = start("XENDOMAINS_SAVE=/var/lib/xen/save\n", "");
    let said = stops(&host, &[]);
    assert!(
        said.contains("a.1: SAVED") && said.contains("b.2: SAVED"),
        "{said}"
    );
    assert_eq!(host.domains(), 0);
    // Asked twice, it answers the same.
    stops(&host, &[]);
    let status = host.status(A).unwrap();
    assert_eq!(
        (&status["StateName"], &status["HeldUntilBoot"]),
        (&json!("SAVED"), &json!(true))
    );
    host.stop();
    host.run(&[]);
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
    assert_eq!(host.domains(), 0, "the host has not been down");
    host.xen(&["reboot-host"]);
    host.stop();
    host.run(&[]);
    for key in [A, B] {
        let status = host.wait_state(key, "RUNNING");
        assert_eq!(
            (&status["Held"], &status["Restarts"]),
            (&json!(""), &json!(0))
        );
    }
    assert_eq!(host.log().matches(" restored").count(), 2);
}

#[test]
fn what_stays_down_for_another_reason_stays_down() {
    let host = start("", "");
    host.does(&["stop", "b.2"]);
    let said = stops(&host, &[]);
    assert!(
        said.contains("a.1: HALTED") && !said.contains("b.2"),
        "{said}"
    );
    // The host stays up after all.
    host.does(&["host-start"]);
    host.wait_state(A, "RUNNING");
    let status = host.status(B).unwrap();
    assert_eq!(
        (&status["StateName"], &status["Held"]),
        (&json!("HALTED"), &json!("stopped"))
    );
}

#[test]
fn one_that_cannot_be_saved_is_shut_down_and_one_that_does_not_obey_is_destroyed() {
    let host = start("XENDOMAINS_STOP_MAXWAIT=2\n", "sim.deaf");
    fs::write(host.path("run/state/saved"), "in the way").unwrap();
    let first = host.status(A).unwrap();
    assert_ne!(domid(&first), 0);
    let said = stops(&host, &["--save"]);
    assert!(
        said.contains("a.1: cannot be saved, shutting it down: "),
        "{said}"
    );
    assert!(
        said.contains("b.2: not down in time; destroying it"),
        "{said}"
    );
    assert_eq!(host.domains(), 0);
}

#[test]
fn what_is_left_can_be_left_and_order_is_kept() {
    let host = start("", "sim.deaf");
    let (code, said) = host_stop(
        &host,
        &["--timeout", "2", "--then", "leave", "--last", "a.1"],
    );
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("b.2: not down in time; leaving it"), "{said}");
    // Its turn has come, only too late.
    assert!(said.contains("a.1"), "{said}");
    fs::write(host.path("xendomains"), "XENDOMAINS_STOP_MAXWAIT=soon\n").unwrap();
    let (code, said) = host_stop(&host, &[]);
    assert!(
        code == 1 && said.contains("xendomains: line 1: XENDOMAINS_STOP_MAXWAIT"),
        "{said}"
    );
}

/// Names of the domains in the order in which the agent began to bring them down.
fn order_of_stops(host: &Host) -> Vec<String> {
    let log = host.log();
    let asked = log.lines().filter(|l| l.contains(": asked for by root"));
    let stops = asked.filter(|l| l.contains(" stop: ") || l.contains(" save: "));
    let key = |line: &str| {
        line.split_once("key=")
            .map(|(_, rest)| rest[..1].to_owned())
    };
    stops.filter_map(key).collect()
}

#[test]
fn files_say_in_which_order_and_how_they_stop() {
    let host = Host::start(&[]);
    fs::write(host.path("xendomains"), "").unwrap();
    // b needs a; c is more important than both, and is saved.
    host.put(A, &json!({"DisplayName": "db"}));
    host.put(
        B,
        &json!({"DisplayName": "web", "After": ["db"], "Priority": 5}),
    );
    host.put(
        C,
        &json!({"DisplayName": "log", "Priority": 9, "OnHostStop": "save"}),
    );
    for key in [A, B, C] {
        host.wait_state(key, "RUNNING");
    }
    let said = stops(&host, &[]);
    assert_eq!(order_of_stops(&host), ["b", "a", "c"], "{said}");
    assert!(said.contains("log.3: SAVED"), "{said}");
    assert!(
        said.contains("db.1: HALTED") && said.contains("web.2: HALTED"),
        "{said}"
    );
    let status = host.status(B).unwrap();
    assert_eq!(
        (&status["Priority"], &status["After"]),
        (&json!(5), &json!(["db"]))
    );
    // The host stays up after all.
    let before = host.log().len();
    let started = host.does(&["host-start"]);
    assert!(started.contains("web.2: starts"), "{started}");
    for key in [A, B, C] {
        host.wait_state(key, "RUNNING");
    }
    one_after_the_other(&host.log()[before..], &["log.3", "db.1", "web.2"]);
}

/// Checks that each of these was begun to be built only when the one before was running.
#[track_caller]
fn one_after_the_other(log: &str, names: &[&str]) {
    let begun = |name: &str| {
        let at = log.find(&format!("starting {name}"));
        at.unwrap_or_else(|| panic!("{name}: {log}"))
    };
    for pair in names.windows(2) {
        let (first, second) = (begun(pair[0]), begun(pair[1]));
        let runs = log[first..].find(" running").map(|at| first + at);
        assert!(
            runs.is_some_and(|runs| runs < second),
            "{} before {}: {log}",
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn what_an_agent_left_half_built_keeps_its_place() {
    let mut host = Host::new();
    host.put(A, &json!({"DisplayName": "web", "After": ["db"]}));
    host.put(
        B,
        &json!({"DisplayName": "db", "ExtraArgs": "sim.create=3 sim.destroy=2"}),
    );
    host.run(&[]);
    host.wait_log("starting db.2");
    host.kill();
    let before = host.log().len();
    host.run(&[]);
    for key in [A, B] {
        host.wait_state(key, "RUNNING");
    }
    one_after_the_other(&host.log()[before..], &["db.2", "web.1"]);
}

#[test]
fn guests_that_reboot_again_and_again_keep_nobody_down() {
    let host = Host::start(&[]);
    for (key, after) in [(A, 2), (B, 3), (C, 4)] {
        let words = format!("lab.action=reboot lab.after={after}");
        host.put(key, &json!({"ExtraArgs": words, "Priority": 1}));
    }
    for key in [A, B, C] {
        host.wait(key, "a restart", |s| s["Restarts"].as_u64() > Some(3));
    }
    host.put(D, &json!({"DisplayName": "low"}));
    host.wait_state(D, "RUNNING");
    assert!(!host.log().contains("low.4 waits"), "{}", host.log());
}

/// `host-stop`, for a thread that outlives the borrow of the host.
fn command(host: &Host) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
    command
        .args(["host-stop", "--defaults"])
        .arg(host.path("xendomains"))
        .arg("--control")
        .arg(host.path("run/control.sock"));
    command
}

#[test]
fn the_next_agent_is_waited_for() {
    let mut host = Host::start(&[]);
    fs::write(host.path("xendomains"), "").unwrap();
    host.put(
        A,
        &json!({"DisplayName": "first", "ExtraArgs": "sim.stop=60"}),
    );
    host.put(B, &json!({"DisplayName": "second", "Priority": 1}));
    for key in [A, B] {
        host.wait_state(key, "RUNNING");
    }
    let mut command = command(&host);
    let stops = std::thread::spawn(move || command.output().unwrap());
    host.wait_state(A, "HALTING");
    host.kill();
    host.run(&[]);
    let output = stops.join().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for key in [A, B] {
        let status = host.wait_state(key, "HALTED");
        assert_eq!(status["HeldUntilBoot"], true, "{said}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_nothing_to_bring_down() {
    let host = Host::start(&[]);
    fs::write(host.path("xendomains"), "").unwrap();
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.put(B, &json!({"OnHostStop": "sleep"}));
    host.wait(B, "refused", |s| s["LastErr"] != "");
    host.put_text(&format!("{C}.json"), "{");
    host.wait(C, "refused", |s| s["LastErr"] != "");
    let said = stops(&host, &[]);
    assert!(said.contains("a.1: HALTED"), "{said}");
    assert!(!said.contains("\n: "), "{said}");
}

#[test]
fn files_say_in_which_order_they_start_with_the_host() {
    let mut host = Host::new();
    let app = |name: &str, words: &str, wishes: Value| {
        let mut config = json!({"DisplayName": name, "ExtraArgs": words});
        let all = config.as_object_mut().unwrap();
        all.extend(wishes.as_object().unwrap().clone());
        config
    };
    let slow = "sim.create=3";
    // The order of the files is another.
    host.put(A, &app("web", slow, json!({"After": ["db", "nobody"]})));
    host.put(B, &app("db", slow, json!({})));
    host.put(C, &app("log", slow, json!({"Priority": 9})));
    host.put(D, &app("bad", "sim.fail-create=9", json!({"Priority": 99})));
    let mut before = 0;
    for boot in 1..=2 {
        host.run(&[]);
        host.wait(A, "its turn", |s| {
            s["StateReason"] == "waits for the start of db.2"
        });
        for key in [A, B, C] {
            let status = host.wait_state(key, "RUNNING");
            assert_eq!(status["StateReason"], "");
        }
        let log = host.log().split_off(before);
        let at = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words}: {log}"));
        if boot == 1 {
            // It is waited for until it has failed for good.
            let tries = log[..at("starting log.3")].matches("starting bad.4");
            assert_eq!(tries.count(), 3, "{log}");
        }
        one_after_the_other(&log, &["log.3", "db.2", "web.1"]);
        before = host.log().len();
        host.xen(&["reboot-host"]);
        host.stop();
    }
}

#[test]
fn those_that_need_each_other_stop_side_by_side() {
    let host = Host::start(&[]);
    fs::write(host.path("xendomains"), "").unwrap();
    host.put(A, &json!({"DisplayName": "a", "After": ["b"]}));
    host.put(
        B,
        &json!({"DisplayName": "b", "After": ["a"], "OnHostStop": "shutdown"}),
    );
    for key in [A, B] {
        host.wait_state(key, "RUNNING");
    }
    let said = stops(&host, &["--save"]);
    assert!(
        said.contains("these need each other, and stop side by side: a.1, b.2"),
        "{said}"
    );
    assert!(
        said.contains("a.1: SAVED") && said.contains("b.2: HALTED"),
        "{said}"
    );
}

#[test]
fn what_a_file_says_wrongly_about_the_host_is_named() {
    let host = Host::start(&[]);
    for (field, value, words) in [
        (
            "OnHostStop",
            json!("sleep"),
            "OnHostStop: expected \"save\" or \"shutdown\", found \"sleep\"",
        ),
        (
            "After",
            json!(["db", ""]),
            "After: the name of domain 2 is empty",
        ),
        ("Priority", json!("high"), "Priority"),
    ] {
        host.put(A, &json!({ field: value }));
        let status = host.wait(A, field, |s| {
            s["LastErr"].as_str().is_some_and(|e| e.contains(words))
        });
        assert_eq!(status["DomainId"], 0);
    }
}
