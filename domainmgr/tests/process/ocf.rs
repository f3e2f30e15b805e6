//! The resource agent for Pacemaker, with the real program and simulated Xens.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{A, Host, Ongoing, domid, text};
use serde_json::json;

const OK: i32 = 0;
const GENERIC: i32 = 1;
const UNIMPLEMENTED: i32 = 3;
const INSTALLED: i32 = 5;
const CONFIGURED: i32 = 6;
const NOT_RUNNING: i32 = 7;

/// Runs an action with these parameters. Returns the exit code and the output.
fn ocf_with(host: &Host, action: &str, parameters: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
    command
        .args(["ocf", action])
        .env("OCF_RESKEY_name", "a.1")
        .env("OCF_RESKEY_run_dir", host.path("run"))
        .env("OCF_RESKEY_CRM_meta_timeout", "20000");
    for (key, value) in parameters {
        command.env(format!("OCF_RESKEY_{key}"), value);
    }
    let programs = host.path("bin");
    if programs.exists() {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", programs.display()));
    }
    let output = command.output().unwrap();
    let said = text(&[output.stdout, output.stderr].concat());
    (output.status.code().unwrap(), said)
}

#[track_caller]
fn ocf(host: &Host, action: &str, code: i32) -> String {
    let (found, said) = ocf_with(host, action, &[]);
    assert_eq!(found, code, "{action}: {said}\n{}", host.log());
    said
}

/// Puts a `crm_attribute` into the path that says whether the cluster has fencing.
fn fencing(host: &Host, word: &str) {
    let programs = host.path("bin");
    fs::create_dir_all(&programs).unwrap();
    let program = programs.join("crm_attribute");
    // Another test may be forking: a script that is open for writing in its child cannot be run.
    let text = format!("#!/bin/sh\necho {word}\n");
    fs::write(programs.join("new"), text).unwrap();
    fs::set_permissions(programs.join("new"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(programs.join("new"), program).unwrap();
}

fn ready(host: &Host) {
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
}

/// A host whose file does not ask for its domain to run.
fn idle(words: &str) -> Host {
    let host = Host::start(&[]);
    host.put(A, &json!({"Activate": false, "ExtraArgs": words}));
    ready(&host);
    host
}

/// Switches the host off and on.
fn reboot(host: &mut Host) {
    host.xen(&["reboot-host"]);
    host.kill();
    host.run(&[]);
}

#[test]
fn it_describes_itself_and_says_what_is_wrong_with_a_call() {
    let host = Host::new();
    let said = ocf(&host, "meta-data", OK);
    for words in [
        "<resource-agent name=\"Domain\"",
        "require_fencing",
        "migrate_from",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(ocf(&host, "usage", OK).contains("migrate_to"));
    let said = ocf(&host, "promote", UNIMPLEMENTED);
    assert!(said.starts_with("ocf-exit-reason:\"promote\""), "{said}");
    for (key, value) in [
        ("name", ""),
        ("shutdown_timeout", "soon"),
        ("run_dir", "run"),
    ] {
        let (code, said) = ocf_with(&host, "monitor", &[(key, value)]);
        assert_eq!(code, CONFIGURED, "{said}");
        assert!(
            said.starts_with(&format!("ocf-exit-reason:{key}: ")),
            "{said}"
        );
    }
}

#[test]
fn a_domain_is_started_watched_and_stopped_as_often_as_asked() {
    let host = idle("sim.stop=1");
    ocf(&host, "validate-all", OK);
    ocf(&host, "monitor", NOT_RUNNING);
    for _ in 0..2 {
        ocf(&host, "start", OK);
        ocf(&host, "monitor", OK);
    }
    let status = host.status(A).unwrap();
    assert_eq!(
        (&status["Held"], &status["HeldUntilBoot"]),
        (&json!("started"), &json!(true))
    );
    for action in ["reload", "reload-agent", "status"] {
        ocf(&host, action, OK);
    }
    host.does(&["pause", "a.1"]);
    ocf(&host, "monitor", OK);
    for _ in 0..2 {
        ocf(&host, "stop", OK);
        ocf(&host, "monitor", NOT_RUNNING);
    }
    assert_eq!(host.domains(), 0);
    let nobody = [("name", "nobody")];
    for (action, code) in [
        ("monitor", NOT_RUNNING),
        ("stop", OK),
        ("start", INSTALLED),
        ("validate-all", INSTALLED),
    ] {
        assert_eq!(ocf_with(&host, action, &nobody).0, code, "{action}");
    }
}

/// The heart of it: no host starts a domain of the cluster's by itself.
#[test]
fn a_host_that_was_started_again_starts_nothing_before_it_is_told() {
    let mut host = idle("");
    ocf(&host, "start", OK);
    let before = host.wait_state(A, "RUNNING");
    // The end of the agent alone changes nothing.
    host.kill();
    host.run(&[]);
    ready(&host);
    assert_eq!(domid(&host.wait_state(A, "RUNNING")), domid(&before));
    // Nor does a restart by hand make it stay.
    host.does(&["restart", "a.1"]);
    reboot(&mut host);
    ready(&host);
    let status = host.wait_state(A, "HALTED");
    assert_eq!(status["Held"], "");
    ocf(&host, "monitor", NOT_RUNNING);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(host.domains(), 0, "{}", host.log());
    ocf(&host, "start", OK);
    assert_eq!(host.domains(), 1);
}

#[test]
fn a_host_that_goes_down_during_a_start_does_not_go_on_with_it() {
    let mut host = idle("sim.create=100");
    let (code, said) = host.verb(&["start", "a.1", "--until-reboot", "--no-wait"]);
    assert_eq!(code, 0, "{said}");
    host.wait_state(A, "BOOTING");
    reboot(&mut host);
    ready(&host);
    let status = host.wait(A, "its end", |s| s["Jobs"][0]["Failure"] != "");
    assert_eq!(
        status["Jobs"][0]["Failure"],
        "the host was started again before the domain ran"
    );
    assert_eq!(host.domains(), 0);
    ocf(&host, "monitor", NOT_RUNNING);
}

#[test]
fn one_that_was_started_by_hand_is_made_to_end_with_the_host() {
    let mut host = idle("");
    host.does(&["start", "a.1"]);
    // A probe changes nothing.
    ocf(&host, "monitor", OK);
    assert_eq!(host.status(A).unwrap()["HeldUntilBoot"], false);
    let (code, said) = ocf_with(&host, "monitor", &[("CRM_meta_interval", "10000")]);
    assert_eq!(code, OK, "{said}");
    host.wait(A, "the hold", |s| s["HeldUntilBoot"] == true);
    reboot(&mut host);
    ready(&host);
    assert_eq!(host.domains(), 0);
}

#[test]
fn a_host_that_stays_up_after_all_does_not_start_what_the_cluster_decides() {
    let host = idle("");
    let settings = host.path("xendomains");
    fs::write(&settings, "").unwrap();
    for (how, state) in [("--no-save", "HALTED"), ("--save", "SAVED")] {
        ocf(&host, "start", OK);
        let words = ["host-stop", how, "--defaults", settings.to_str().unwrap()];
        host.does(&words);
        host.wait_state(A, state);
        host.does(&["host-start"]);
        ocf(&host, "monitor", NOT_RUNNING);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(host.domains(), 0, "{how}");
    }
    // The saved memory is older than the work that the guest may have done elsewhere.
    ocf(&host, "start", OK);
    assert!(!host.log().contains(" restored"), "{}", host.log());
}

#[test]
fn a_file_that_asks_for_its_domain_to_run_is_refused() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let said = ocf(&host, "start", INSTALLED);
    assert!(said.contains("domainmgr_activate = 0"), "{said}");
    ocf(&host, "validate-all", INSTALLED);
    ocf(&host, "stop", OK);
    ocf(&host, "monitor", NOT_RUNNING);
}

#[test]
fn a_guest_that_ends_is_no_longer_the_agents_to_start() {
    let host = idle("lab.action=poweroff lab.after=10");
    ocf(&host, "start", OK);
    host.wait_state(A, "HALTED");
    assert_eq!(host.status(A).unwrap()["Held"], "started");
    ocf(&host, "monitor", NOT_RUNNING);
    assert_eq!(host.status(A).unwrap()["Held"], "stopped");
}

#[test]
fn an_agent_that_does_not_run_is_waited_for_and_then_told_from_one_that_never_ran() {
    let mut host = idle("");
    ocf(&host, "start", OK);
    host.kill();
    let soon = [("CRM_meta_timeout", "2000")];
    for action in ["monitor", "stop", "start"] {
        let begin = Instant::now();
        let (code, said) = ocf_with(&host, action, &soon);
        assert!(
            code == GENERIC && said.contains("no agent listens"),
            "{action}: {said}"
        );
        assert!(begin.elapsed() < Duration::from_secs(2), "{action}");
    }
    // The next one is there in time.
    let asked = std::thread::scope(|scope| {
        let asks = scope.spawn(|| ocf_with(&host, "monitor", &[]));
        std::thread::sleep(Duration::from_millis(300));
        let agent = host
            .command(&[])
            .stderr(fs::File::create(host.path("log2")).unwrap())
            .spawn();
        let _agent = Ongoing(agent.unwrap());
        asks.join().unwrap()
    });
    assert_eq!(asked.0, OK, "{}", asked.1);
    // After a start of the host, its run directory is empty.
    let fresh = Host::new();
    ocf(&fresh, "monitor", NOT_RUNNING);
    ocf(&fresh, "stop", OK);
    ocf(&fresh, "start", INSTALLED);
}

#[test]
fn a_guest_that_does_not_obey_is_destroyed_before_pacemaker_loses_patience() {
    let mut host = Host::new();
    host.speed = 1;
    host.run(&[]);
    host.put(A, &json!({"Activate": false, "ExtraArgs": "sim.deaf"}));
    ready(&host);
    ocf(&host, "start", OK);
    let begin = Instant::now();
    let (code, said) = ocf_with(&host, "stop", &[("CRM_meta_timeout", "6000")]);
    assert_eq!(code, OK, "{said}");
    assert!(begin.elapsed() < Duration::from_secs(6));
    assert_eq!(host.domains(), 0);
    ocf(&host, "start", OK);
    let begin = Instant::now();
    let (code, said) = ocf_with(&host, "stop", &[("shutdown_timeout", "1")]);
    assert_eq!(code, OK, "{said}");
    assert!(begin.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_start_that_takes_too_long_is_given_up() {
    let mut host = Host::new();
    host.speed = 1;
    host.run(&[]);
    host.put(A, &json!({"Activate": false, "ExtraArgs": "sim.create=60"}));
    ready(&host);
    let (code, said) = ocf_with(&host, "start", &[("CRM_meta_timeout", "3000")]);
    assert!(
        code == GENERIC && said.contains("it was given up"),
        "{said}"
    );
    ocf(&host, "stop", OK);
    host.until("nothing is left", || host.domains() == 0);
    host.put(A, &json!({"Activate": false, "Kernel": "/no/such"}));
    host.wait(A, "the file", |s| s["UUIDandVersion"]["Version"] == "1");
    let (code, said) = ocf_with(&host, "start", &[]);
    assert!(code == GENERIC && said.contains("/no/such"), "{said}");
}

#[test]
fn without_fencing_nothing_is_started() {
    let host = idle("");
    fencing(&host, "false");
    let said = ocf(&host, "start", INSTALLED);
    assert!(said.contains("the cluster has no fencing"), "{said}");
    assert_eq!(host.domains(), 0);
    let (code, said) = ocf_with(&host, "start", &[("require_fencing", "false")]);
    assert_eq!(code, OK, "{said}");
    ocf(&host, "stop", OK);
    fencing(&host, "true");
    ocf(&host, "start", OK);
}

/// Returns how many copies of the guest run.
fn running(hosts: &[&Host]) -> usize {
    let lists = hosts.iter().map(|host| host.xen(&["list"]));
    lists.map(|list| list.matches("Running").count()).sum()
}

/// The shell command that runs a command on the other host.
fn there(target: &Host) -> String {
    let program = env!("CARGO_BIN_EXE_domainmgr");
    let socket = target.path("run/control.sock");
    format!("{program} \"$@\" --control {}", socket.display())
}

/// A way to the other host that works.
fn via(target: &Host) -> String {
    format!("f() {{ set -- $2; shift; exec {}; }}; f", there(target))
}

/// A way on which the last word of a migration is lost, and on which its outcome can be asked for once this file is there.
fn lossy(target: &Host, bridge: &str) -> String {
    format!(
        "f() {{ case $2 in *--outcome*) test -e {bridge} || {{ echo no route >&2; exit 1; }}; set -- $2; shift; \
         {there};; *) set -- $2; shift; {there} | sed -u 3q;; esac; }}; f",
        there = there(target)
    )
}

fn migrate_to(host: &Host, via: &str) -> (i32, String) {
    let parameters = [("CRM_meta_migrate_target", "beta"), ("via", via)];
    ocf_with(host, "migrate_to", &parameters)
}

fn two() -> (Host, Host) {
    let (alpha, beta) = (idle(""), idle(""));
    for host in [&alpha, &beta] {
        fencing(host, "true");
    }
    // Both describe the same domain, from the same storage.
    beta.put(
        A,
        &json!({"Activate": false, "Kernel": alpha.path("kernel")}),
    );
    beta.wait(A, "the file", |s| s["LastErr"] == "");
    ocf(&alpha, "start", OK);
    (alpha, beta)
}

#[test]
fn a_guest_migrates_and_its_new_host_does_not_start_it_again_either() {
    let (alpha, mut beta) = two();
    let (code, said) = migrate_to(&alpha, &via(&beta));
    assert_eq!(code, OK, "{said}\n{}\n{}", alpha.log(), beta.log());
    ocf(&beta, "migrate_from", OK);
    ocf(&beta, "monitor", OK);
    ocf(&alpha, "monitor", NOT_RUNNING);
    ocf(&alpha, "migrate_from", GENERIC);
    assert_eq!(running(&[&alpha, &beta]), 1);
    assert_eq!(beta.status(A).unwrap()["HeldUntilBoot"], true);
    reboot(&mut beta);
    ready(&beta);
    beta.wait_state(A, "HALTED");
    ocf(&beta, "monitor", NOT_RUNNING);
    assert_eq!(running(&[&alpha, &beta]), 0);
    // Its first host knows that it has gone. Only a cluster with fencing knows better.
    for word in ["false", ""] {
        fencing(&alpha, word);
        let (code, said) = ocf_with(&alpha, "start", &[("require_fencing", "false")]);
        assert!(
            code == GENERIC && said.contains("migrated to root@beta"),
            "{said}"
        );
    }
    fencing(&alpha, "true");
    ocf(&alpha, "start", OK);
    assert_eq!(running(&[&alpha, &beta]), 1);
}

#[test]
fn a_guest_that_no_file_describes_is_forgotten_with_its_host() {
    let (alpha, beta) = (idle(""), Host::start(&[]));
    let mut beta = beta;
    beta.until("the socket", || beta.verb(&["jobs"]).0 == 0);
    ocf(&alpha, "start", OK);
    let (code, said) = migrate_to(&alpha, &via(&beta));
    assert_eq!(code, OK, "{said}");
    ocf(&beta, "monitor", OK);
    reboot(&mut beta);
    beta.until("the socket", || beta.verb(&["jobs"]).0 == 0);
    beta.wait_gone(A);
    ocf(&beta, "monitor", NOT_RUNNING);
    assert_eq!(running(&[&alpha, &beta]), 0);
}

#[test]
fn a_migration_that_fails_leaves_the_guest_where_it_is() {
    let (alpha, beta) = two();
    let (code, said) = migrate_to(&alpha, "f() { echo no route to host >&2; exit 255; }; f");
    assert!(
        code == GENERIC && said.contains("no route to host"),
        "{said}"
    );
    ocf(&alpha, "monitor", OK);
    // One that takes too long is given up in time.
    let begin = Instant::now();
    let slow = [
        ("CRM_meta_migrate_target", "beta"),
        ("CRM_meta_timeout", "10000"),
        ("via", "f() { exec sleep 30 2>/dev/null; }; f"),
    ];
    let (code, said) = ocf_with(&alpha, "migrate_to", &slow);
    assert!(code == GENERIC && said.contains("goes on"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{said}");
    ocf(&alpha, "monitor", OK);
    assert_eq!(ocf_with(&alpha, "migrate_to", &[]).0, CONFIGURED);
    ocf(&beta, "stop", OK);
    ocf(&alpha, "stop", OK);
    let (code, _) = migrate_to(&alpha, &via(&beta));
    assert_eq!(code, NOT_RUNNING);
}

/// The source may be switched off, which ends no connection: what waits for it must not arrive later, nor stand in the way.
#[test]
fn a_stop_ends_a_migration_to_this_host_that_has_come_to_a_halt() {
    let (alpha, beta) = two();
    let receive = format!(
        "f() {{ set -- $2; shift; {{ sed -u 2q; exec sleep 8; }} | {}; }}; f",
        there(&beta)
    );
    for action in ["stop", "start"] {
        std::thread::scope(|scope| {
            let moves = scope.spawn(|| migrate_to(&alpha, &receive));
            let comes = |job: &serde_json::Value| {
                job["Verb"] == "receive" && job["Ended"] == "0001-01-01T00:00:00Z"
            };
            beta.wait(A, "its coming", |s| {
                s["Jobs"].as_array().unwrap().iter().any(comes)
            });
            if action == "stop" {
                ocf(&beta, "stop", OK);
                assert!(
                    !beta.status(A).unwrap()["Jobs"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(comes)
                );
            } else {
                // The host that it was to come from is down.
                alpha.xen(&["destroy", "a.1"]);
                ocf(&beta, "start", OK);
            }
            assert_ne!(moves.join().unwrap().0, OK);
        });
        assert_eq!(running(&[&alpha, &beta]), 1, "{action}");
    }
}

/// The guest runs at beta, and alpha does not know.
fn undecided(bridge: &str) -> (Host, Host) {
    let (alpha, beta) = two();
    let (code, said) = migrate_to(&alpha, &lossy(&beta, alpha.path(bridge).to_str().unwrap()));
    assert_eq!(code, GENERIC, "{said}");
    beta.wait_state(A, "RUNNING");
    assert_eq!((running(&[&alpha, &beta]), alpha.domains()), (1, 1));
    (alpha, beta)
}

#[test]
fn a_domain_in_the_middle_of_a_failed_migration_is_reported_as_what_it_is() {
    let (alpha, beta) = undecided("bridge");
    let said = ocf(&alpha, "monitor", GENERIC);
    assert!(
        said.contains("suspended in the middle of a failed migration")
            && said.contains("`domainmgr migrate --resolve a.1`"),
        "{said}"
    );
    ocf(&alpha, "start", GENERIC);
    // Without fencing nobody knows whether it runs there: it stays, and Pacemaker is told.
    fencing(&alpha, "false");
    let said = ocf(&alpha, "stop", GENERIC);
    assert!(
        said.contains("no route") && said.contains("without fencing"),
        "{said}"
    );
    assert_eq!(alpha.domains(), 1);
    // With fencing the other copy counts, whatever it is.
    fencing(&alpha, "true");
    ocf(&alpha, "stop", OK);
    ocf(&alpha, "monitor", NOT_RUNNING);
    assert_eq!((running(&[&alpha, &beta]), alpha.domains()), (1, 0));
}

#[test]
fn a_stop_asks_the_other_host_first() {
    let (alpha, beta) = undecided("bridge");
    fencing(&alpha, "false");
    fs::write(alpha.path("bridge"), "").unwrap();
    ocf(&alpha, "stop", OK);
    assert_eq!((running(&[&alpha, &beta]), alpha.domains()), (1, 0));
    assert_eq!(alpha.status(A).unwrap()["MovedTo"], "root@beta");
}

#[test]
fn one_that_has_never_arrived_is_shut_down_where_it_is() {
    let (alpha, beta) = two();
    fencing(&alpha, "false");
    let bridge = alpha.path("bridge");
    let fake = format!(
        "f() {{ case $2 in *--outcome*) test -e {} || exit 1; set -- $2; shift; {};; *) read q; echo ready; echo simulated receiver; \
         read a; read b; echo ready; read c;; esac; }}; f",
        bridge.display(),
        there(&beta)
    );
    assert_eq!(migrate_to(&alpha, &fake).0, GENERIC);
    ocf(&alpha, "monitor", GENERIC);
    fs::write(bridge, "").unwrap();
    ocf(&alpha, "stop", OK);
    assert_eq!((alpha.domains(), beta.domains()), (0, 0));
    assert_eq!(alpha.status(A).unwrap()["MovedTo"], "");
    assert!(alpha.log().contains("does not run there, and never will"));
}

#[test]
fn a_monitor_costs_one_message() {
    let host = Host::new();
    let socket = UnixListener::bind(host.path("run/control.sock")).unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while !bytes.ends_with(&[0]) {
            let read = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..read]);
        }
        let domain = json!({"uuid": A, "name": "a.1", "displayName": "a", "state": "RUNNING", "mode": "PV", "reason": "", "error": "",
            "memory": 0, "restarts": 0});
        let reply = json!({"parameters": {"domain": domain, "status": {"StateName": "RUNNING"}}});
        stream.write_all(format!("{reply}\0").as_bytes()).unwrap();
        stream.read_to_end(&mut bytes).unwrap();
        socket.set_nonblocking(true).unwrap();
        let again = socket.accept().is_ok();
        (bytes.iter().filter(|byte| **byte == 0).count(), again)
    });
    ocf(&host, "monitor", OK);
    assert_eq!(heard.join().unwrap(), (1, false));
}
