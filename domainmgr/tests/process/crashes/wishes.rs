//! Wishes of files and of operators.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::run::{Run, Then};
use super::scenario::{Scenario, config, content, running};
use crate::common::{A, B};

/// Has the domain shut down, and started again from its images.
pub fn restart(run: &mut Run, more: &Value) {
    let with = |field: &str, value: Value| {
        let mut changed = more.clone();
        changed[field] = value;
        config(&changed)
    };
    run.host.put(A, &with("Activate", json!(false)));
    run.wait_state("HALTED");
    run.until("no copies but the kept one", |host| {
        crate::common::disks::copies(host).len() == 1
    });
    run.host.put(A, &with("ExtraArgs", json!("newer")));
    run.wait_state("RUNNING");
    run.check(1);
    assert_eq!(
        content(&run.host),
        ["aa", "bb", "written"],
        "{:?}",
        run.killed_at
    );
}

#[test]
fn a_restart_by_wish() {
    Scenario::new("restart by wish")
        .explore(|| running(&json!({})), |run| restart(run, &json!({})));
}

/// Another domain can have everything that the removed one had.
#[test]
fn a_key_that_is_removed() {
    Scenario::new("delete").explore(
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            run.host.remove(A);
            run.until("it is gone", |host| !host.status_file(A).exists());
            run.check(0);
            for dir in ["run/cloudinit", "run/xen"] {
                let left = fs::read_dir(run.host.path(dir)).unwrap().count();
                assert_eq!(left, 0, "{dir}: {}", run.said());
            }
            if run.then == Then::Restart {
                let same = json!({"DisplayName": "a", "AppNum": 1});
                run.host.put(B, &config(&same));
                run.until("the other one", |host| {
                    host.status(B).unwrap_or_default()["StateName"] == "RUNNING"
                });
            }
        },
    );
}

/// An operator who was told that a domain is stopped finds it so.
#[test]
fn an_order_that_was_accepted() {
    Scenario::new("stop by hand")
        .then(&[Then::Restart, Then::Again(1)])
        .explore(
            || running(&json!({})),
            |run| {
                run.until("the agent has looked", |host| {
                    host.log().contains("domain 1 found")
                });
                // The command fails if the agent is killed before or meanwhile.
                run.until("the order", |host| host.verb(&["stop", "a.1"]).0 == 0);
                run.until("the hold", |host| {
                    let status = host.status(A).unwrap_or_default();
                    status["StateName"] == "HALTED" && status["Held"] == "stopped"
                });
                run.check(0);
                // The unchanged file is no newer wish.
                std::thread::sleep(Duration::from_secs(20) / run.host.speed);
                run.check(0);
                assert_eq!(content(&run.host), ["written"; 3], "{:?}", run.killed_at);
            },
        );
}
