//! Saving domains and bringing them back by the verbs, with the real program and a simulated Xen.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{A, Host, domainmgr, domid, text};
use serde_json::json;

fn verb(host: &Host, words: &[&str]) -> (i32, String) {
    let control = host.path("run/control.sock");
    let words: Vec<&str> = words.iter().copied().chain(["--control"]).collect();
    let out = domainmgr(&words, &[&control]);
    let said = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap(), text(&said))
}

#[track_caller]
fn does(host: &Host, words: &[&str]) -> String {
    let (code, said) = verb(host, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    said
}

#[track_caller]
fn fails(host: &Host, words: &[&str], reason: &str) {
    let (code, said) = verb(host, words);
    assert!(
        code == 1 && said.contains(reason),
        "{words:?}: {code}: {said}"
    );
}

fn file(host: &Host) -> std::path::PathBuf {
    host.path(&format!("run/state/saved/{A}.save"))
}

#[test]
fn a_saved_domain_comes_back_when_it_is_asked_for() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let first = host.wait_state(A, "RUNNING");
    fails(&host, &["restore", "a.1"], "it is not saved");
    let said = does(&host, &["save", "a.1"]);
    assert!(said.contains("SAVED"), "{said}");
    let status = host.status(A).unwrap();
    assert_eq!(status["StateName"], "SAVED");
    assert!(!status["SavedSince"].as_str().unwrap().starts_with("0001"));
    assert!(file(&host).exists());
    assert_eq!(host.domains(), 0);
    fails(&host, &["save", "a.1"], "there is no domain");
    // It is remembered, and the file is not taken for what another agent has left.
    host.kill();
    host.run(&[]);
    host.wait_log("domainmgr 0.1.0 started");
    host.until("the socket", || verb(&host, &["show", "a.1"]).0 == 0);
    does(&host, &["restore", "a.1"]);
    let second = host.wait_state(A, "RUNNING");
    assert_ne!(domid(&second), domid(&first));
    assert!(host.log().contains("restored"));
    host.until("no file", || !file(&host).exists());
    // The history tells of it.
    let said = does(&host, &["history", "a.1"]);
    assert!(said.contains("SAVED"), "{said}");

    does(&host, &["save", "a.1"]);
    does(&host, &["start", "--fresh", "a.1"]);
    host.wait_state(A, "RUNNING");
    host.until("no file", || !file(&host).exists());
    does(&host, &["save", "a.1"]);
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
    fails(&host, &["save", "a.1"], "it goes on running");
    let status = host.wait_state(A, "RUNNING");
    assert_eq!(
        (domid(&status), &status["Held"]),
        (domid(&first), &json!(""))
    );
    fs::remove_file(host.path("run/state/saved")).unwrap();
    does(&host, &["save", "a.1"]);
    // Somebody has tampered with it: what it says is not started, nor is the domain without it.
    fs::write(file(&host), "something else").unwrap();
    fails(
        &host,
        &["restore", "a.1"],
        "not what was saved of this domain",
    );
    assert_eq!(host.domains(), 0);
    does(&host, &["start", "--fresh", "a.1"]);
    host.wait_state(A, "RUNNING");
}
