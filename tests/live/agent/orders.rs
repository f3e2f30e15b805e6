//! An operator's commands, on a real Xen.

use std::process::Command;

use libxl::{DomId, DomainState, Limits};
use serde_json::json;

use super::disks::{MOUNT, image, put};
use super::host::{App, Host, domid};
use crate::support::wait_for;

/// Runs `domainmgr VERB NAME`. Returns the exit code and the output.
pub(super) fn verb(host: &Host, words: &[&str], app: &App) -> (i32, String) {
    let name = app.name();
    let words: Vec<&str> = words.iter().copied().chain([name.as_str()]).collect();
    call(host, &words)
}

/// Runs a verb. Returns the exit code and the output.
pub(crate) fn call(host: &Host, words: &[&str]) -> (i32, String) {
    let program = std::env::current_exe().unwrap().with_file_name("domainmgr");
    let output = Command::new(program)
        .args(words)
        .arg("--control")
        .arg(host.path("run/control.sock"))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code().unwrap(), text)
}

#[track_caller]
pub(super) fn does(host: &Host, words: &[&str], app: &App) {
    let (code, text) = verb(host, words, app);
    assert_eq!(code, 0, "{words:?}: {text}");
}

/// Returns whether the agent already knows the domain.
pub(super) fn answers(host: &Host, app: &App) -> bool {
    verb(host, &["show"], app).0 == 0
}

/// The agent obeys in the same way in each mode.
#[test]
fn a_domain_obeys() {
    let mut host = Host::start();
    let app = host.app("orders");
    host.put(&app, "PVH", "", &json!({}));
    let first = host.wait_up(&app);
    does(&host, &["stop"], &app);
    assert_eq!(host.domains(&app), []);
    host.kill();
    host.start_again();
    host.wait_log(" started: ");
    // The new agent looks at everything, and leaves this domain down.
    let down = host.wait(&app, "its status", |s| s["Held"] == "stopped");
    assert_eq!(down["StateName"], "HALTED");
    wait_for("the socket", || answers(&host, &app));
    assert_eq!(host.domains(&app), []);
    does(&host, &["start"], &app);
    let second = host.wait_state(&app, "RUNNING");
    assert_ne!(domid(&second), domid(&first));
    // The guest is up when its shell answers. In the emulated lab, a guest that is paused early in its boot does not
    // always come up.
    host.shell(&app).run("true");
    does(&host, &["pause"], &app);
    let id = domid(&second);
    assert_eq!(host.state(&app, id), Some(DomainState::Paused));
    assert_eq!(host.status(&app).unwrap()["StateReason"], "paused by root");
    does(&host, &["unpause"], &app);
    assert_ne!(host.state(&app, id), Some(DomainState::Paused));
    host.shell(&app).run("true");
    does(&host, &["restart"], &app);
    let third = host.wait_state(&app, "RUNNING");
    assert_ne!(domid(&third), id);
    assert_eq!(host.domains(&app), [DomId(domid(&third))]);
    does(&host, &["stop", "--destroy"], &app);
    assert_eq!(host.domains(&app), []);
    host.remove(&app);
    host.wait_gone(&app);
}

#[test]
fn what_a_guest_has_written_stays_over_a_stop_by_hand() {
    let host = Host::start();
    image(&host);
    let app = host.app("written");
    let disk = json!({"ImageSha256": "c0ffee", "Format": "raw"});
    put(&host, &app, &disk, &json!({}));
    host.wait_up(&app);
    let mut shell = host.shell(&app);
    shell.run(&format!(
        "{MOUNT} && echo by the guest >/mnt/answer && umount /mnt && sync"
    ));
    does(&host, &["stop"], &app);
    does(&host, &["start"], &app);
    host.shell(&app).run("true");
    does(&host, &["restart"], &app);
    let mut shell = host.shell(&app);
    let said = shell.run(&format!("{MOUNT} && cat /mnt/answer && umount /mnt"));
    assert!(said.contains("by the guest"), "{said}");
    host.remove(&app);
    host.wait_gone(&app);
}

/// The domain belongs to the other toolstack until this toolstack has resumed it.
#[test]
fn a_suspended_domain_is_left_to_whoever_suspended_it() {
    let host = Host::start();
    let app = host.app("theirs");
    host.put_tiny(&app, "PVH", "", &json!({}));
    let up = host.wait_up(&app);
    let theirs = host.outsider(&app);
    let suspended = theirs.suspend_only(&Limits::none()).unwrap();
    host.wait_state(&app, "SUSPENDED");
    for words in ["start", "restart", "pause", "unpause"] {
        let (code, text) = verb(&host, &[words], &app);
        assert!(
            code == 1 && text.contains("is suspended"),
            "{words}: {code}: {text}"
        );
    }
    suspended.resume().unwrap();
    let back = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&back), domid(&up));
    does(&host, &["stop"], &app);
    assert_eq!(host.domains(&app), []);
}

/// Both files are there when the agent starts, as after a boot of the host.
#[test]
fn one_that_needs_another_starts_after_it() {
    let mut host = Host::start();
    let (web, db) = (host.app("web"), host.app("db"));
    host.kill();
    host.put_tiny(
        &web,
        "PVH",
        "",
        &json!({"After": [db.name()], "Priority": 5}),
    );
    host.put_tiny(&db, "PV", "", &json!({}));
    host.start_again();
    let [first, second] = [&db, &web].map(|app| domid(&host.wait_state(app, "RUNNING")));
    let log = host.log();
    let waits = format!("waits for the start of {}", db.name());
    let (Some(waited), Some(ran), Some(began)) = (
        log.find(&waits),
        log.find(&format!("domain {first} running")),
        log.find(&format!("starting {}", web.name())),
    ) else {
        panic!("{log}");
    };
    assert!(waited < ran && ran < began && first < second, "{log}");
}
