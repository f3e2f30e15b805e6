//! The command line.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{A, B, Host, Ongoing, domainmgr, text};
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
        assert!(text(&out.stdout).contains("domainmgr"), "{shell}");
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

/// Returns what bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(domainmgr completions bash); COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; \
         _clap_complete_domainmgr domainmgr {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        quoted.last().unwrap()
    );
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_domainmgr"));
    let path = std::env::var("PATH").unwrap();
    let out = std::process::Command::new("bash")
        .args(["-c", &script])
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .output()
        .unwrap();
    assert!(out.stderr.is_empty(), "{}", text(&out.stderr));
    let all = text(&out.stdout);
    all.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn the_shell_completes_words_names_jobs_and_files() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let socket = host.path("run/control.sock");
    let socket = socket.to_str().unwrap();
    let at = |verb, last| offered(&["domainmgr", verb, "--control", socket, last]);
    assert!(offered(&["domainmgr", "host-st"]).contains(&"host-stop".to_owned()));
    assert!(offered(&["domainmgr", "run", "--config-d"]).contains(&"--config-dir".to_owned()));
    for verb in ["stop", "show", "wait", "save", "attach", "history"] {
        assert_eq!(at(verb, "a"), ["a.1"], "{verb}");
    }
    let file = host.path("kernel");
    let typed = file.to_str().unwrap().strip_suffix("nel").unwrap();
    assert_eq!(at("restore", typed), [file.to_str().unwrap()]);
    host.put(
        B,
        &json!({"Activate": false, "ExtraArgs": "sim.create=2000"}),
    );
    let begin = std::time::Instant::now();
    while host.verb(&["start", "b.2", "--no-wait"]).0 != 0 {
        assert!(begin.elapsed().as_secs() < 60, "{}", host.log());
    }
    let found = at("cancel", "");
    assert!(found[0].parse::<u64>().is_ok(), "{found:?}");
    // Without an agent, nothing is offered, and nothing is said.
    let nobody = host.path("nobody");
    let words = [
        "domainmgr",
        "stop",
        "--control",
        nobody.to_str().unwrap(),
        "a",
    ];
    assert_eq!(offered(&words), [""]);
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

    let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
    command
        .args(["status", "--watch", "--status-dir"])
        .arg(&dir);
    let (watches, lines) = Ongoing::start(&mut command);
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|l| l.starts_with("a.1   RUNNING")));
    host.put(B, &json!({}));
    assert!(lines.any(|l| l.starts_with("b.2   RUNNING")));
    watches.kill();

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
    let agent = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(["run", "--simulate"])
        .env("XDG_RUNTIME_DIR", home.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let agent = Ongoing(agent);
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
    agent.kill();
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
        let said = crate::common::text(&out.stderr);
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
