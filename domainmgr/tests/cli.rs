//! The command line.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{A, B, Host, domainmgr, text};
use serde_json::json;

#[test]
fn help_names_everything() {
    let out = text(&domainmgr(&["--help"], &[]).stdout);
    for word in [
        "run",
        "status",
        "check",
        "console",
        "resume",
        "completions",
        "man",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(!out.contains("simulated"), "{out}");
    let out = text(&domainmgr(&["run", "--help"], &[]).stdout);
    for word in [
        "--config-dir",
        "--status-dir",
        "--run-dir",
        "--image-dir",
        "--adapters",
        "--network-status",
        "--global-config",
        "timer.boot.retry",
        "domain.poweroff.policy",
        "--simulate",
        "HUP",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
}

#[test]
fn versions_without_xen() {
    let out = domainmgr(&["--version"], &[]);
    assert!(out.status.success());
    let out = text(&out.stdout);
    assert!(
        out.starts_with(concat!("domainmgr ", env!("CARGO_PKG_VERSION"))),
        "{out}"
    );
}

#[test]
fn completions_and_man() {
    for shell in ["bash", "zsh", "fish"] {
        let out = domainmgr(&["completions", shell], &[]);
        assert!(text(&out.stdout).contains("config-dir"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(
        domainmgr(&["man", "--directory"], &[dir.path()])
            .status
            .success()
    );
    for page in ["domainmgr.1", "domainmgr-run.1", "domainmgr-host-stop.1"] {
        let page = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
    let refused = domainmgr(&["man", "--directory", "/no/dir"], &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("/no/dir: No such file"));
    let out = text(&domainmgr(&["man"], &[]).stdout);
    assert!(
        out.contains(".TH domainmgr") && out.contains("simulate\\-speed"),
        "{out}"
    );
}

#[test]
fn status_as_table_json_and_live() {
    let host = Host::start(&[]);
    let dir = host.path("run/DomainStatus");
    host.put(A, &json!({"VirtualizationMode": "PVH"}));
    host.wait_state(A, "RUNNING");
    let out = text(&domainmgr(&["status", "--status-dir"], &[&dir]).stdout);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("NAME  STATE    DOMID  MODE"), "{out}");
    assert!(lines[1].starts_with("a.1   RUNNING  1      PVH"), "{out}");
    let out = text(&domainmgr(&["status", "--json", "--status-dir"], &[&dir]).stdout);
    let parsed: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(parsed["DomainName"], "a.1");

    let mut watching = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(["status", "--watch", "--status-dir"])
        .arg(&dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|l| l.starts_with("a.1   RUNNING")));
    host.put(B, &json!({}));
    assert!(lines.any(|l| l.starts_with("b.2   RUNNING")));
    watching.kill().unwrap();
    watching.wait().unwrap();

    let out = domainmgr(&["status", "--status-dir"], &[&host.path("nothing")]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("nothing: No such file or directory"));
}

#[test]
fn console_of_what_is_not_there() {
    let host = Host::start(&[]);
    let dir = host.path("run/DomainStatus");
    let out = domainmgr(&["console", "web.1", "--status-dir"], &[&dir]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        text(&out.stderr),
        "domainmgr: web.1: no such domain; `domainmgr status` lists them\n"
    );
    host.put(A, &json!({"Activate": false}));
    host.wait(A, "settled", |s| s["PendingAdd"] == false);
    let out = domainmgr(&["console", "a.1", "--status-dir"], &[&dir]);
    assert_eq!(
        text(&out.stderr),
        "domainmgr: a.1: not running (INSTALLED)\n"
    );
}

#[test]
fn settings_are_checked_at_the_start() {
    let host = Host::new();
    let out = host
        .command(&["--config", "timer.boot.retry:soon"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let error = text(&out.stderr);
    assert!(
        error.contains(
            "domainmgr: --config timer.boot.retry: expected a number of seconds, found \"soon\""
        ),
        "{error}"
    );
    let mut host = Host::new();
    host.run(&[
        "--config",
        "timer.gc.nothing:1",
        "--config",
        "timer.boot.retry:3",
    ]);
    host.wait_log("--config timer.gc.nothing: no such setting");
    host.wait_log("--config timer.boot.retry: 3 is below the least, 10; using 10");
    assert!(host.is_running());
}

#[test]
fn how_much_is_logged_can_be_changed_while_it_runs() {
    let mut host = Host::new();
    host.log_level = None;
    host.run(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    assert!(!host.log().contains(" DEBUG "), "{}", host.log());
    let dir = host.path("run/GlobalConfig");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("global.json"), r#"{"DefaultLogLevel": "debug"}"#).unwrap();
    host.signal("-HUP");
    host.wait_log("settings changed");
    host.put(A, &json!({"Activate": false}));
    host.wait_state(A, "HALTED");
    host.wait_log(" DEBUG ");
}

#[test]
fn json_logs_have_the_key() {
    let host = Host::start(&["--log-format", "json"]);
    host.put(A, &json!({}));
    host.wait_log("domain 1 running");
    let log = host.log();
    let about: Vec<serde_json::Value> = log
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .filter(|l: &serde_json::Value| l["key"] == A)
        .collect();
    assert!(
        about.iter().any(|l| l["msg"] == "domain 1 running"),
        "{log}"
    );
}

#[test]
fn a_simulation_needs_neither_root_nor_directories() {
    let home = tempfile::tempdir().unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(["run", "--simulate"])
        .env("XDG_RUNTIME_DIR", home.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let dir = home.path().join("domainmgr-simulated/DomainStatus");
    for _ in 0..3000 {
        if dir.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let out = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(["status", "--simulate"])
        .env("XDG_RUNTIME_DIR", home.path())
        .output()
        .unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(
        text(&out.stdout).starts_with("NAME"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let host = Host::new();
    host.put(A, &json!({}));
    let config = host.path("config");
    let config = config.to_str().unwrap();
    for args in [
        &["check", config][..],
        &["--version"],
        &["completions", "bash"],
        &["man"],
    ] {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(reader);
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_domainmgr"))
            .args(args)
            .stdout(std::os::fd::OwnedFd::from(writer))
            .output()
            .unwrap();
        let said = common::text(&out.stderr);
        assert!(out.status.success() && said.is_empty(), "{args:?}: {said}");
    }
}

#[test]
fn status_says_what_makes_it_less_than_the_truth() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let dir = host.path("run/DomainStatus");
    let show = |more: &[&str]| {
        let mut words = vec!["status", "--status-dir", dir.to_str().unwrap()];
        words.extend(more);
        let out = domainmgr(&words, &[]);
        assert!(out.status.success());
        (text(&out.stdout), text(&out.stderr))
    };
    let (out, err) = show(&[]);
    assert!(out.contains("RUNNING"), "{out}");
    assert_eq!(err, "");
    host.kill();
    let (_, err) = show(&[]);
    let said = format!("no agent runs with {}", host.path("run").display());
    assert!(err.contains(&said), "{err}");
    fs::write(dir.join(format!("{B}.json")), "{\"AppNum\": 7").unwrap();
    let (out, err) = show(&[]);
    let row = out.lines().find(|line| line.starts_with(B)).unwrap();
    assert!(row.contains("UNREADABLE"), "{row}");
    assert!(err.contains(&format!("{B}.json: ")), "{err}");
    let (out, err) = show(&["--json"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(err.contains(&format!("{B}.json: ")), "{err}");
}
