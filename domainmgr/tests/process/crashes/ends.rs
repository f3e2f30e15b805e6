//! Guests that end, and what is done about it.

use serde_json::json;

use super::run::Then;
use super::scenario::{Scenario, content, running};
use crate::common::A;

#[test]
fn a_reboot_of_the_guest() {
    Scenario::new("reboot of the guest").explore(
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            // A guest whose agent is dead reboots as well.
            run.end("1");
            run.until("a restart", |host| {
                let status = host.status(A).unwrap_or_default();
                status["StateName"] == "RUNNING" && status["Restarts"] == 1
            });
            run.check(1);
            assert_eq!(content(&run.host), ["written"; 3], "{:?}", run.killed_at);
        },
    );
}

#[test]
fn an_end_that_the_policy_leaves_as_it_is() {
    Scenario::new("poweroff").explore(
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            run.end("0");
            run.wait_state("HALTED");
            run.check(0);
            let status = run.host.status(A).unwrap();
            assert_eq!(status["ShutdownReason"], "poweroff", "{:?}", run.killed_at);
        },
    );
}

#[test]
fn a_crash_that_is_kept_under_another_name() {
    // A domain that is kept keeps its adapters: that is refused.
    let with = json!({"OnCrash": "rename-restart", "IoAdapterList": []});
    Scenario::new("rename-restart").explore(
        || running(&with),
        |run| {
            run.wait_state("RUNNING");
            run.end("3");
            run.until("another domain", |host| {
                let status = host.status(A).unwrap_or_default();
                status["StateName"] == "RUNNING" && status["DomainId"] != 1
            });
            run.check(2);
            let status = run.host.status(A).unwrap();
            let kept = status["Preserved"].as_array().unwrap();
            assert_eq!(kept.len(), 1, "{:?}", run.killed_at);
            let name = kept[0]["DomainName"].as_str().unwrap();
            assert_eq!(name.matches('-').count(), 1, "renamed once: {name}");
        },
    );
}

/// A domain that crashed stays as it is, with its disks, until nobody wants it any more.
#[test]
fn a_crash_that_is_preserved() {
    let with = json!({"OnCrash": "preserve", "IoAdapterList": []});
    let then = [Then::Restart, Then::Again(1)];
    Scenario::new("preserve").then(&then).explore(
        || running(&with),
        |run| {
            run.wait_state("RUNNING");
            run.end("3");
            let kept = run.wait_state("PRESERVED");
            assert_eq!(kept["DomainId"], 1, "{}", run.said());
            run.check(1);
            let list = run.list().unwrap_or_default();
            assert!(
                list.starts_with("1 ") && list.contains("Shutdown"),
                "{list}"
            );
            assert_eq!(content(&run.host), ["written"; 3], "{:?}", run.killed_at);
            run.host.remove(A);
            run.until("it is gone", |host| !host.status_file(A).exists());
            run.check(0);
        },
    );
}
