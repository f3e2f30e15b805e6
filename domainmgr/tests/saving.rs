//! Saving domains and bringing them back by the verbs, with the real program and a simulated Xen.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{A, Host, domid};
use serde_json::json;

fn file(host: &Host) -> std::path::PathBuf {
    host.path(&format!("run/state/saved/{A}.save"))
}

#[test]
fn a_saved_domain_comes_back_when_it_is_asked_for() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let first = host.wait_state(A, "RUNNING");
    host.fails(&["restore", "a.1"], 1, "it is not saved");
    let said = host.does(&["save", "a.1"]);
    assert!(said.contains("SAVED"), "{said}");
    let status = host.status(A).unwrap();
    assert_eq!(status["StateName"], "SAVED");
    assert!(!status["SavedSince"].as_str().unwrap().starts_with("0001"));
    assert!(file(&host).exists());
    assert_eq!(host.domains(), 0);
    host.fails(&["save", "a.1"], 1, "there is no domain");
    // It is remembered, and the file is not taken for what another agent has left.
    host.kill();
    host.run(&[]);
    host.wait_log("domainmgr 0.1.0 started");
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
    host.does(&["restore", "a.1"]);
    let second = host.wait_state(A, "RUNNING");
    assert_ne!(domid(&second), domid(&first));
    assert!(host.log().contains("restored"));
    host.until("no file", || !file(&host).exists());
    // The history tells of it.
    let said = host.does(&["history", "a.1"]);
    assert!(said.contains("SAVED"), "{said}");

    host.does(&["save", "a.1"]);
    host.does(&["start", "--fresh", "a.1"]);
    host.wait_state(A, "RUNNING");
    host.until("no file", || !file(&host).exists());
    host.does(&["save", "a.1"]);
    host.remove(A);
    host.wait_gone(A);
    assert!(!file(&host).exists());
}

#[test]
fn what_cannot_be_written_or_read_harms_nobody() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    let first = host.wait_state(A, "RUNNING");
    fs::write(host.path("run/state/saved"), "in the way").unwrap();
    host.fails(&["save", "a.1"], 1, "it goes on running");
    let status = host.wait_state(A, "RUNNING");
    assert_eq!(
        (domid(&status), &status["Held"]),
        (domid(&first), &json!(""))
    );
    fs::remove_file(host.path("run/state/saved")).unwrap();
    host.does(&["save", "a.1"]);
    // Somebody has tampered with it: what it says is not started, nor is the domain without it.
    fs::write(file(&host), "something else").unwrap();
    host.fails(&["restore", "a.1"], 1, "not what was saved of this domain");
    assert_eq!(host.domains(), 0);
    host.does(&["start", "--fresh", "a.1"]);
    host.wait_state(A, "RUNNING");
}
