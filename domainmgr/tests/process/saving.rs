//! Saving domains and bringing them back by the verbs, with the real program and a simulated Xen.

use std::fs;
use std::process::Command;

use crate::common::{A, B, Host, domid};
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
    host.fails(&["save", "a.1"], 1, "it is saved already");
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
    assert!(said.contains("save by root, job "), "{said}");

    host.does(&["save", "a.1"]);
    host.does(&["start", "--fresh", "a.1"]);
    host.wait_state(A, "RUNNING");
    host.until("no file", || !file(&host).exists());
    host.does(&["save", "a.1"]);
    host.remove(A);
    host.wait_gone(A);
    assert!(!file(&host).exists());
}

/// The end of an order is told once, also if the agent has ended first.
#[test]
fn the_history_tells_of_a_save_that_has_ended_with_the_agent() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.deaf=300"}));
    host.wait_state(A, "RUNNING");
    host.does(&["save", "a.1", "--no-wait"]);
    host.wait(A, "the save", |s| {
        s["StateReason"].as_str().unwrap().contains("being saved")
    });
    for _ in 0..2 {
        host.kill();
        host.run(&[]);
        host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
    }
    let said = host.does(&["history", "a.1"]);
    let ends = said.matches("the agent ended while it was saved");
    assert_eq!(ends.count(), 1, "{said}");
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

#[test]
fn a_file_of_ones_own_is_written_read_and_left_alone() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let path = host.path("mine.save");
    let name = path.to_str().unwrap();
    fs::write(&path, "an older one").unwrap();
    host.does(&["save", "a.1", name]);
    assert!(fs::read_to_string(&path).unwrap().contains(A));
    assert!(!file(&host).exists());
    let status = host.status(A).unwrap();
    assert_eq!(status["SavedIn"], name);
    // The very file, as `xl restore` would be given it.
    let said = host.does(&["restore", name]);
    assert!(said.contains("a.1: RUNNING"), "{said}");
    host.wait_state(A, "RUNNING");
    host.does(&["save", "a.1", name]);
    let other = host.path("other.save");
    fs::write(&other, format!("simulated memory of {A}\n")).unwrap();
    host.fails(
        &["restore", other.to_str().unwrap()],
        1,
        "it is saved elsewhere already",
    );
    // The next agent knows where it is.
    host.kill();
    host.run(&[]);
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
    host.does(&["start", "a.1"]);
    host.wait_state(A, "RUNNING");
    assert!(host.log().contains("restored") && path.exists());
    assert_eq!(
        host.status(A).unwrap()["SavedSince"],
        "0001-01-01T00:00:00Z"
    );
    // A file that the agent does not know: it says whose it is.
    host.fails(&["restore", name], 1, "there is a domain: stop it first");
    host.does(&["stop", "a.1"]);
    let elsewhere = host.path("else.save");
    fs::rename(&path, &elsewhere).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    let renamed = host.path("mine.save");
    fs::copy(elsewhere, &renamed).unwrap();
    let modified = fs::File::open(&renamed).unwrap();
    modified.set_modified(std::time::UNIX_EPOCH).unwrap();
    host.fails(&["restore", name], 1, "gone on from there before");
    host.fails(&["restore", elsewhere, elsewhere], 2, "named twice");
    let said = host.does(&["restore", "a.1", elsewhere]);
    assert!(said.contains("RUNNING"), "{said}");
    host.wait_state(A, "RUNNING");
    assert_eq!(host.domains(), 1);
    // One that was written anew, and one whose disks have been put back.
    host.does(&["save", "a.1", name]);
    host.does(&["restore", name]);
    host.does(&["stop", "a.1"]);
    host.fails(&["restore", name], 1, "gone on from there before");
    host.does(&["restore", name, "--anyway"]);
    host.wait_state(A, "RUNNING");
    // Whatever file it has gone on from since.
    let second = host.path("second.save");
    let second = second.to_str().unwrap();
    host.does(&["save", "a.1", second]);
    host.does(&["restore", second]);
    host.does(&["stop", "a.1"]);
    for file in [name, second] {
        host.fails(&["restore", file], 1, "gone on from there before");
    }
}

#[test]
fn files_that_cannot_be_are_refused_and_nothing_changes() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    let first = host.wait_state(A, "RUNNING");
    let dir = host.path("");
    let dir = dir.to_str().unwrap();
    let none = format!("{dir}/none/a.save");
    host.fails(&["save", "a.1", "/dev/null"], 1, "not a plain file");
    host.fails(&["save", "a.1", &none], 1, "No such file");
    host.fails(&["dump-core", "a.1", dir], 1, "not a plain file");
    host.fails(&["save", "a.1", "b", "./x"], 2, "NAME FILE");
    host.fails(&["save", "./x"], 2, "NAME FILE");
    host.fails(&["restore", &none], 1, "No such file");
    let other = format!("{dir}/other.save");
    fs::write(&other, "something else").unwrap();
    host.fails(&["restore", &other], 1, "not the file of a saved domain");
    fs::write(&other, format!("simulated memory of {B}\n")).unwrap();
    host.fails(&["restore", &other], 3, "no such domain");
    let status = host.wait_state(A, "RUNNING");
    assert_eq!(
        (domid(&status), &status["Held"]),
        (domid(&first), &json!(""))
    );
    // Whoever is not root might have the agent overwrite or read what is not theirs.
    let mut host = Host::new();
    host.run(&["--control-group", "65534"]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let nobody = host.nobody();
    for (line, code, said) in [
        (
            &["dump-core", "a.1", "/etc/passwd"][..],
            1,
            "only root may name a file",
        ),
        (
            &["save", "a.1", "/etc/passwd"],
            1,
            "only root may name a file",
        ),
        (&["restore", "/etc/shadow"], 1, "only root may name a file"),
        (&["pause", "a.1"], 0, "PAUSED"),
    ] {
        let (ended, text) = nobody(line);
        assert!(
            ended == Some(code) && text.contains(said),
            "{line:?}: {text}"
        );
    }
}

#[test]
fn a_core_dump_is_whole_or_the_older_one_stays() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    let first = host.wait_state(A, "RUNNING");
    host.does(&["dump-core", "a.1"]);
    let own = host.path("run/dump").join(A);
    assert_eq!(fs::read_to_string(&own).unwrap(), "simulated core dump\n");
    let path = host.path("mine.core");
    host.does(&["dump-core", "a.1", path.to_str().unwrap()]);
    assert!(path.exists());
    let status = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&status), domid(&first));
    // At the place where it is written first, there is something that cannot be removed.
    let part = host.path(".mine.core.part");
    fs::create_dir(&part).unwrap();
    fs::write(&path, "older").unwrap();
    host.fails(&["dump-core", "a.1", path.to_str().unwrap()], 1, ".part");
    assert_eq!(fs::read_to_string(&path).unwrap(), "older");
    host.does(&["pause", "a.1"]);
    fs::remove_dir(&part).unwrap();
    host.does(&["dump-core", "a.1", path.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "simulated core dump\n");
    host.does(&["stop", "--destroy", "a.1"]);
    host.fails(&["dump-core", "a.1"], 1, "there is no domain");
}

/// Files that a domain is saved in, and the agent's own, are not replaced; only plain files are read.
#[test]
fn no_file_of_others_is_replaced() {
    let host = Host::start(&[]);
    for key in [A, B] {
        host.put(key, &json!({}));
        host.wait_state(key, "RUNNING");
    }
    let at = |name: &str| host.path(name).to_str().unwrap().to_owned();
    host.does(&["save", "a.1", &at("mine")]);
    host.fails(&["save", "b.2", &at("mine")], 1, "a.1 is saved in it");
    host.fails(&["dump-core", "b.2", &at("mine")], 1, "a.1 is saved in it");
    host.does(&["restore", "a.1"]);
    host.does(&["save", "a.1"]);
    for own in [
        format!("run/state/saved/{A}.save"),
        "run/state/journal.db".to_owned(),
    ] {
        host.fails(&["save", "b.2", &at(&own)], 1, "the agent's own");
    }
    host.does(&["restore", "a.1"]);
    host.wait_state(B, "RUNNING");
    let fifo = at("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for odd in [fifo.as_str(), "/dev/zero"] {
        host.fails(&["restore", odd], 1, "not a plain file");
        host.fails(&["save", "b.2", odd], 1, "not a plain file");
    }
    // One of several is misspelt: nothing is begun for the others.
    host.fails(
        &["save", "b.2", "b.save"],
        3,
        "if it is a file, write ./b.save",
    );
    assert_eq!(host.status(B).unwrap()["StateName"], "RUNNING");
}

/// The first save counts, whatever comes meanwhile.
#[test]
fn what_comes_during_a_save_finds_the_domain_saved() {
    let host = Host::start_slowly(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| host.verb(&["save", "a.1"]));
        host.until("the save", || {
            let reason = host.status(A).unwrap()["StateReason"].clone();
            reason
                .as_str()
                .is_some_and(|why| why.contains("being saved"))
        });
        let (code, said) = host.verb(&["save", "a.1"]);
        assert_eq!(code, 1, "{said}");
        let (code, said) = first.join().unwrap();
        assert_eq!(code, 0, "{said}");
    });
    assert_eq!(host.status(A).unwrap()["StateName"], "SAVED");
    host.does(&["start", "a.1"]);
    assert_eq!(host.log().matches(" created").count(), 1);
}
