//! Domains that the agent saves and restores, on a real Xen. Their guests never notice.

use std::fs;

use libxl::xenstore::Xenstore;
use serde_json::json;

use super::host::{App, Host, domid};
use super::orders::{answers, call, does};
use crate::support::{console, outsider_is_there, uptimes, wait_for, xl};

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

/// Saved by one, and restored by the other, with files that people name. The guest goes on each time.
fn crosses(mode: &str) {
    if !outsider_is_there() {
        return;
    }
    let host = Host::start();
    let app = host.app("both");
    let shell = mode != "HVM";
    if shell {
        host.put(&app, mode, "", &json!({}));
    } else {
        host.put_tiny(&app, mode, "", &json!({}));
    }
    host.wait_up(&app);
    if shell {
        host.shell(&app).run("remembered=yes");
    }
    let runs = |what: &str| {
        let status = host.wait(&app, what, |s| {
            s["StateName"] == "RUNNING" && s["SavedSince"].as_str().unwrap().starts_with("0001")
        });
        if shell {
            let said = host.shell(&app).run("echo $remembered");
            assert!(said.contains("yes"), "{what}: {said}");
        } else {
            let time = || host.outsider(&app).info().unwrap().cpu_time_ns;
            let before = time();
            wait_for("the guest to run", || time() > before);
        }
        assert_eq!(status["LastErr"], "", "{what}");
    };
    let restores = |path: &str| {
        let (code, said) = call(&host, &["restore", path]);
        assert_eq!(code, 0, "{said}");
    };
    let path = |name: &str| host.path(name).to_str().unwrap().to_owned();

    let ours = path("ours.save");
    does(&host, &["save", &ours], &app);
    assert_eq!(host.domains(&app), []);
    assert!(!file(&host, &app).exists());
    println!("{}", xl(&["restore", &ours]));
    runs("what the agent has saved and xl has restored");

    let theirs = path("theirs.save");
    println!("{}", xl(&["save", &app.name(), &theirs]));
    host.wait(&app, "that it is gone", |s| s["Vanished"] == true);
    let (code, said) = call(&host, &["start", &app.name()]);
    assert!(
        code == 1 && said.contains("may live on elsewhere"),
        "{said}"
    );
    restores(&theirs);
    runs("what xl has saved and the agent has restored");

    does(&host, &["save", &ours], &app);
    does(&host, &["start"], &app);
    runs("what the agent has saved and restored");
    assert!(
        fs::metadata(&ours).is_ok(),
        "it is not the agent's to remove"
    );
    // Of another domain, or of none.
    fs::write(path("none.save"), "nothing").unwrap();
    let (code, said) = call(&host, &["restore", &path("none.save")]);
    assert!(code == 1 && said.contains("none.save"), "{code}: {said}");
    runs("nothing has happened");
}

#[test]
fn a_pv_guest_crosses_between_the_agent_and_xl() {
    crosses("PV");
}

#[test]
fn a_pvh_guest_crosses_between_the_agent_and_xl() {
    crosses("PVH");
}

#[test]
fn an_hvm_guest_crosses_between_the_agent_and_xl() {
    crosses("HVM");
}

/// A dump is an ELF file, and its guest does not notice.
#[test]
fn the_memory_of_a_guest_is_dumped() {
    let host = Host::start();
    let app = host.app("dumped");
    host.put_tiny(&app, "PV", "", &json!({}));
    let first = host.wait_up(&app);
    let path = host.path("a.core");
    does(&host, &["dump-core", path.to_str().unwrap()], &app);
    let dump = fs::read(&path).unwrap();
    assert!(dump.starts_with(b"\x7fELF") && dump.len() > 4 << 20);
    does(&host, &["dump-core"], &app);
    let own = host.path("dump").join(&app.key);
    assert!(fs::metadata(own).unwrap().len() > 4 << 20);
    let status = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&status), domid(&first));
    assert_eq!(host.status(&app).unwrap()["Jobs"][0]["Failure"], "");
}

/// A start that is cancelled leaves nothing, and a save lets its guest go on.
#[test]
fn what_is_cancelled_is_undone() {
    let host = Host::start();
    let app = host.app("cancelled");
    host.put(&app, "PVH", "", &json!({"Activate": false}));
    host.wait(&app, "a status", |_| true);
    let cancels = |verb: &str| {
        does(&host, &[verb, "--no-wait"], &app);
        let status = host.status(&app).unwrap();
        let jobs = status["Jobs"].as_array().unwrap();
        let job = jobs.last().unwrap()["Id"].to_string();
        let (code, said) = call(&host, &["cancel", &job]);
        assert!(code == 0 && said.contains("is cancelled"), "{code}: {said}");
    };
    cancels("start");
    let down = host.wait(&app, "that it is down", |s| s["DomainId"] == 0);
    assert_eq!((&down["Held"], &down["LastErr"]), (&json!(""), &json!("")));
    wait_for("no domain", || host.domains(&app).is_empty());
    does(&host, &["start"], &app);
    let first = host.wait_up(&app);
    host.shell(&app).run("remembered=yes");
    cancels("save");
    let status = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&status), domid(&first));
    let said = host.shell(&app).run("echo $remembered");
    assert!(said.contains("yes"), "{said}");
    assert!(!file(&host, &app).exists());
    does(&host, &["save"], &app);
    assert_eq!(host.domains(&app), []);
}

/// The agent is killed while it saves a guest that is still booting. The next agent takes the request back, so that the
/// guest does not suspend for nobody when its drivers come up.
#[test]
fn a_guest_that_boots_hears_nothing_of_a_save_whose_agent_was_killed() {
    let mut host = Host::start();
    let app = host.app("booting");
    host.put_tiny(&app, "PV", "lab.deaf=30 lab.tick=1", &json!({}));
    let first = host.wait_state(&app, "RUNNING");
    does(&host, &["save", "--no-wait"], &app);
    let request = format!("/local/domain/{}/control/shutdown", domid(&first));
    let store = Xenstore::open().unwrap();
    let asked = || store.read(&request).unwrap() == Some("suspend".to_owned());
    wait_for("the request", asked);
    host.kill();
    assert!(asked(), "it stands while nobody is there");
    host.start_again();
    wait_for("no request", || !asked());
    let uptime = || uptimes(&app.name()).last().copied().unwrap_or_default();
    wait_for("the drivers to be up", || uptime() > 35_000.0);
    let status = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&status), domid(&first));
    does(&host, &["stop"], &app);
    let said = console(&app.name());
    assert!(said.contains("obeys poweroff"), "{said}");
    assert!(!said.contains("obeys suspend"), "{said}");
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
