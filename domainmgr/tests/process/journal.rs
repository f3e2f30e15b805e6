//! The journal as a file: damaged, of another version, not there yet; with the real program and a simulated Xen.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::common::disks::{HASH, copies, disks, image};
use crate::common::{A, B, Host, domid};
use rusqlite::Connection;
use serde_json::json;

const JOURNAL: &str = "run/state/journal.db";

#[test]
fn it_is_for_nobody_else_and_keeps_no_secret() {
    let mut host = Host::start(&[]);
    let secret =
        json!({"EnableVnc": true, "VncPasswd": "hunter2", "CloudInitUserData": "aHVudGVyMg=="});
    host.put(A, &secret);
    host.wait_state(A, "RUNNING");
    let mode = |name: &str| fs::metadata(host.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("run/state"), mode(JOURNAL)), (0o700, 0o600));
    host.remove(A);
    host.wait_gone(A);
    host.stop();
    for file in fs::read_dir(host.path("run/state")).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read(&file).unwrap();
        let found = [&b"hunter2"[..], b"aHVudGVyMg=="]
            .iter()
            .any(|s| text.windows(s.len()).any(|w| w == *s));
        assert!(!found, "{}", file.display());
    }
}

#[test]
fn with_a_damaged_one_nothing_is_done_before_an_operator_says_so() {
    let mut host = Host::start(&["--config", "timer.gc.vdisk:60"]);
    image(&host, HASH, b"image");
    host.put(A, &disks(&json!({"Preserve": true})));
    host.put(B, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    let other = host.wait_state(B, "RUNNING");
    host.kill();
    host.xen(&["destroy", &domid(&other).to_string()]);
    // The log beside it would put right what is written here.
    fs::remove_file(host.path("run/state/journal.db-wal")).unwrap();
    fs::write(host.path(JOURNAL), vec![b'x'; 8192]).unwrap();
    host.run(&["--config", "timer.gc.vdisk:60"]);
    let said = host.wait(A, "the reason", |s| {
        s["LastErr"].as_str().unwrap().contains("--forget")
    });
    let words = format!("{}: the journal is damaged: ", host.path(JOURNAL).display());
    assert!(
        said["LastErr"].as_str().unwrap().starts_with(&words),
        "{said}"
    );
    let adopted = host.wait_state(A, "RUNNING");
    assert_eq!(domid(&adopted), domid(&up));
    // Neither built nor brought down nor removed.
    host.remove(A);
    std::thread::sleep(Duration::from_secs(120) / host.speed);
    assert_eq!(host.domains(), 1, "{}", host.log());
    assert_eq!(copies(&host).len(), 1);
    assert!(host.status_file(A).exists());
    host.put(A, &disks(&json!({"Preserve": true})));
    host.stop();
    host.run(&["--forget"]);
    host.wait_state(B, "RUNNING");
    let kept = host.wait_state(A, "RUNNING");
    assert_eq!((domid(&kept), &kept["LastErr"]), (domid(&up), &json!("")));
    let aside = fs::read_dir(host.path("run/state")).unwrap();
    let aside = aside
        .filter_map(|e| e.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("journal.db.damaged-"));
    assert_eq!(aside.count(), 1);
}

#[test]
fn one_of_a_newer_agent_is_refused() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.stop();
    let journal = Connection::open(host.path(JOURNAL)).unwrap();
    journal.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(journal);
    let out = host.command(&[]).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = crate::common::text(&out.stderr);
    let words = format!(
        "{}: written by a newer domainmgr (schema 7, this one knows 3): start that one, or restore the copy it has made \
         before (journal.db.schema-3)",
        host.path(JOURNAL).display()
    );
    assert!(said.contains(&words), "{said}");
    assert_eq!(host.domains(), 1);
}

/// An agent of before the journal is replaced: its statuses are all there is.
#[test]
fn an_agent_without_one_is_succeeded_once() {
    const C: &str = "cccccccc-0000-4000-8000-000000000003";
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.put(B, &json!({}));
    host.put(C, &json!({}));
    let [a, b, c] = [A, B, C].map(|key| host.wait_state(key, "RUNNING"));
    host.xen(&["destroy", &domid(&b).to_string()]);
    host.wait(B, "it is gone", |s| s["Vanished"] == true);
    host.stop();
    fs::remove_dir_all(host.path("run/state")).unwrap();
    // An unreadable status tells nothing about the domain, which in fact runs.
    fs::write(host.status_file(C), "{").unwrap();
    host.run(&[]);
    host.wait_log("3 domain(s) taken over from the DomainStatus of an agent without a journal");
    host.wait_log(&format!("domain {} found", domid(&a)));
    host.until("all to be shown", || {
        fs::read(host.status_file(C)).unwrap_or_default().len() > 1
    });
    let kept = host.wait_state(A, "RUNNING");
    assert_eq!(
        (domid(&kept), &kept["BootTime"]),
        (domid(&a), &a["BootTime"])
    );
    assert_eq!(domid(&host.wait_state(C, "RUNNING")), domid(&c));
    assert_eq!(host.wait_state(B, "HALTED")["Vanished"], true);
    host.stop();
    // From now on they are an output only.
    let lie = host.status(B).unwrap().to_string();
    fs::write(
        host.status_file(B),
        lie.replace("\"Vanished\":true", "\"Vanished\":false"),
    )
    .unwrap();
    host.run(&[]);
    host.wait(B, "the truth", |s| s["Vanished"] == true);
    std::thread::sleep(Duration::from_secs(40) / host.speed);
    assert_eq!(host.domains(), 2);
}

/// The file of the journal may not grow any more: as on a full file system, nothing is begun that could be forgotten.
#[test]
fn while_it_cannot_be_written_nothing_is_begun() {
    let mut host = Host::new();
    host.log_level = Some("warn");
    host.run_after("trap '' XFSZ; ulimit -S -f 256", &[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let full = |s: &serde_json::Value| {
        let said = s["LastErr"].as_str().unwrap();
        said.starts_with("nothing is done until the journal can be written: ")
    };
    for version in 2.. {
        assert!(version < 500, "it never is full");
        let version = version.to_string();
        host.put(
            A,
            &json!({"UUIDandVersion": {"UUID": A, "Version": version}}),
        );
        let seen = host.wait(A, "the version, or trouble", |s| {
            full(s) || s["UUIDandVersion"]["Version"] == version
        });
        if full(&seen) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    host.put(A, &json!({"Activate": false}));
    std::thread::sleep(Duration::from_secs(60) / host.speed);
    assert_eq!(host.domains(), 1, "{}", host.log());
    assert_eq!(host.status(A).unwrap()["StateName"], "RUNNING");
    host.limit("--fsize=unlimited");
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["LastErr"], "");
    assert_eq!(host.domains(), 0);
    host.stop();
    host.run(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
}
