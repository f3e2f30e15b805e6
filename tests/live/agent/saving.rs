//! Domains that the agent saves and restores, on a real Xen. Their guests never notice.

use std::fs;

use serde_json::json;

use super::host::{App, Host, domid};
use super::orders::{answers, does};
use crate::support::{outsider_is_there, wait_for, xl};

/// The agent saves in the same way in each mode.
#[test]
fn a_guest_goes_on() {
    let mut host = Host::start();
    let app = host.app("saved");
    host.put(&app, "PVH", "", &json!({}));
    let first = host.wait_up(&app);
    // A variable of the shell exists only in the guest's memory.
    host.shell(&app).run("remembered=yes");
    does(&host, &["save"], &app);
    assert_eq!(host.domains(&app), []);
    assert_eq!(host.status(&app).unwrap()["StateName"], "SAVED");
    host.kill();
    host.start_again();
    host.wait_log(" started: ");
    wait_for("the socket", || answers(&host, &app));
    assert_eq!(host.domains(&app), []);
    does(&host, &["restore"], &app);
    let second = host.wait_state(&app, "RUNNING");
    assert_ne!(domid(&second), domid(&first));
    let said = host.shell(&app).run("echo $remembered");
    assert!(said.contains("yes"), "{said}");
    wait_for("no file", || !file(&host, &app).exists());
    assert_eq!(second["LastErr"], "");
    // A restored domain obeys a request to shut down.
    does(&host, &["stop"], &app);
    assert!(!host.log().contains("does not shut down"), "it obeyed");
    host.remove(&app);
    host.wait_gone(&app);
}

fn file(host: &Host, app: &App) -> std::path::PathBuf {
    host.path("state/saved").join(format!("{}.save", app.key))
}

/// A Linux would take minutes to boot in the emulated lab. The tests of `libxl` itself check the memory of one.
#[test]
fn an_hvm_guest_goes_on() {
    let host = Host::start();
    let app = host.app("saved");
    host.put_tiny(&app, "HVM", "", &json!({}));
    let first = host.wait_up(&app);
    does(&host, &["save"], &app);
    assert_eq!(host.domains(&app), []);
    does(&host, &["restore"], &app);
    let second = host.wait_state(&app, "RUNNING");
    assert_ne!(domid(&second), domid(&first));
    let time = || host.outsider(&app).info().unwrap().cpu_time_ns;
    let before = time();
    wait_for("the guest to run", || time() > before);
}

/// xl can read the saved file. Once it has, the file is obsolete, and the agent manages the restored domain.
#[test]
fn xl_restores_what_the_agent_has_saved() {
    if !outsider_is_there() {
        return;
    }
    let host = Host::start();
    let app = host.app("crossed");
    host.put(&app, "PV", "", &json!({}));
    host.wait_up(&app);
    host.shell(&app).run("remembered=yes");
    does(&host, &["save"], &app);
    let copy = host.path("copy.save");
    fs::copy(file(&host, &app), &copy).unwrap();
    println!("{}", xl(&["restore", copy.to_str().unwrap()]));
    let status = host.wait(&app, "a domain that was found", |s| {
        s["StateName"] == "RUNNING"
    });
    assert!(
        status["SavedSince"].as_str().unwrap().starts_with("0001"),
        "{status}"
    );
    let said = host.shell(&app).run("echo $remembered");
    assert!(said.contains("yes"), "{said}");
    wait_for("no file", || !file(&host, &app).exists());
}

/// A guest that does not suspend keeps running, and so does one whose memory cannot be stored.
#[test]
fn a_guest_that_cannot_be_saved_runs_on() {
    let host = Host::start();
    let app = host.app("unsaved");
    host.put(&app, "PV", "", &json!({}));
    let first = host.wait_up(&app);
    fs::create_dir_all(host.path("state")).unwrap();
    fs::write(host.path("state/saved"), "in the way").unwrap();
    let (code, said) = super::orders::verb(&host, &["save"], &app);
    assert!(
        code == 1 && said.contains("it goes on running"),
        "{code}: {said}"
    );
    host.shell(&app).run("true");
    let status = host.status(&app).unwrap();
    assert_eq!(
        (&status["StateName"], domid(&status)),
        (&json!("RUNNING"), domid(&first))
    );
}
