//! Domains that are saved and restored by the agent, on a real Xen: their guests never notice.

use std::fs;

use serde_json::json;

use super::host::{App, Host, domid};
use super::orders::{answers, does};
use crate::support::{outsider_is_there, wait_for, xl};

fn goes_on_where_it_was(mode: &str) {
    let mut host = Host::start();
    let app = host.app("saved");
    host.put(&app, mode, "", &json!({}));
    let first = host.wait_up(&app);
    // A variable of its shell is in the guest's memory, and nowhere else.
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
    // A restored domain can be asked to go, as any other.
    does(&host, &["stop"], &app);
    assert!(!host.log().contains("does not shut down"), "it obeyed");
    host.remove(&app);
    host.wait_gone(&app);
}

fn file(host: &Host, app: &App) -> std::path::PathBuf {
    host.path("state/saved").join(format!("{}.save", app.key))
}

#[test]
fn a_pv_guest_goes_on() {
    goes_on_where_it_was("PV");
}

#[test]
fn a_pvh_guest_goes_on() {
    goes_on_where_it_was("PVH");
}

/// A Linux would take minutes to boot in the emulated lab: what its memory is like is tried with `libxl` itself.
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

/// The file is one that xl reads. Once xl has, it is worth nothing, and the agent looks after what came of it.
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

/// A guest that does not suspend runs on, and so does one whose memory finds no room.
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
