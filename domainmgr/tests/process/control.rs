//! The control socket and the verbs, with the real program and a simulated Xen.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::{A, B, Host, Ongoing};
use serde_json::{Value, json};

/// A timeout that no test reaches.
const LONG: Duration = Duration::from_secs(60);

fn verb(host: &Host, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(words)
        .arg("--control")
        .arg(host.path("run/control.sock"))
        .output()
        .unwrap()
}

fn words(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap(), text)
}

#[track_caller]
fn does(host: &Host, line: &[&str]) -> String {
    let (code, text) = words(&verb(host, line));
    assert_eq!(code, 0, "{line:?}: {text}");
    text
}

#[track_caller]
fn fails(host: &Host, line: &[&str], code: i32, reason: &str) {
    let (found, text) = words(&verb(host, line));
    assert!(
        found == code && text.contains(reason),
        "{line:?}: {found}: {text}"
    );
}

/// A client that is not ours.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(host: &Host) -> Self {
        let stream = UnixStream::connect(host.path("run/control.sock")).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, request: &Value) {
        let text = format!("{request}\0");
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn next(&mut self) -> Value {
        let mut reply = Vec::new();
        self.0.read_until(0, &mut reply).unwrap();
        assert_eq!(reply.pop(), Some(0), "the agent has closed the connection");
        serde_json::from_slice(&reply).unwrap()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let method = if method.contains('.') {
            method.to_owned()
        } else {
            format!("xen.domainmgr.{method}")
        };
        self.send(&json!({"method": method, "parameters": parameters}));
        self.next()
    }
}

/// A host whose agent listens.
fn host() -> Host {
    let host = Host::start(&[]);
    listens(&host);
    host
}

fn listens(host: &Host) {
    host.until("the socket", || {
        UnixStream::connect(host.path("run/control.sock")).is_ok()
    });
}

fn started(host: &Host, changes: &Value) -> Value {
    host.put(A, changes);
    host.wait_state(A, "RUNNING")
}

#[test]
fn verbs_do_what_they_say_and_wait_for_it() {
    let mut host = host();
    let first = started(&host, &json!({}));
    assert!(does(&host, &["stop", "a.1"]).contains("a.1: HALTED\n"));
    let halted = host.status(A).unwrap();
    assert_eq!(
        (&halted["StateName"], &halted["Held"]),
        (&json!("HALTED"), &json!("stopped"))
    );
    let remark = does(&host, &["show", "a"]);
    assert!(
        remark.contains("Held                     stopped"),
        "{remark}"
    );
    // Over kill -9.
    host.kill();
    host.run(&[]);
    host.wait_log("started: ");
    listens(&host);
    assert!(does(&host, &["wait", "a", "halted"]).contains("HALTED"));
    fails(&host, &["wait", "a", "HALT"], 2, "HALTED");
    assert!(does(&host, &["start", A]).contains("RUNNING, domain "));
    let second = host.status(A).unwrap();
    assert_ne!(second["DomainId"], first["DomainId"]);
    let number = second["DomainId"].to_string();
    does(&host, &["pause", &number]);
    assert_eq!(host.status(A).unwrap()["StateName"], "PAUSED");
    fails(&host, &["pause", "a"], 1, "a: it is paused already");
    does(&host, &["unpause", &number]);
    does(&host, &["restart", "a"]);
    assert_ne!(host.status(A).unwrap()["DomainId"], second["DomainId"]);
    // A newer DomainConfig takes back what was asked for by hand.
    does(&host, &["stop", "a", "--destroy"]);
    host.put(A, &json!({"ExtraArgs": "newer"}));
    does(&host, &["wait", "a", "RUNNING", "--timeout", "60"]);
    host.remove(A);
    does(&host, &["wait", "a", "gone", "--timeout", "60"]);
    host.stop();
    assert!(!host.path("run/control.sock").exists());
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let mut host = host();
    started(&host, &json!({}));
    host.put(B, &json!({"DisplayName": "a"}));
    host.wait_state(B, "RUNNING");
    fails(&host, &["stop", "nobody"], 3, "nobody: no such domain");
    fails(&host, &["show", "nobody"], 3, "nobody: no such domain");
    fails(
        &host,
        &["stop", "a"],
        1,
        &format!("a: there are several; say which by its full name or uuid: {A}, {B}"),
    );
    fails(&host, &["unpause", "a.1"], 1, "a.1: it is not paused");
    fails(
        &host,
        &["wait", "a.1", "HALTED", "--timeout", "1"],
        5,
        "a.1: timed out: it is RUNNING",
    );
    let now = ["wait", "a.1", "HALTED", "--timeout", "0"];
    fails(&host, &now, 5, "a.1: timed out: it is RUNNING");
    fails(&host, &["stop"], 2, "NAME");
    // Each is dealt with; the code is the one that all failures have.
    fails(&host, &["stop", "a.1", "nobody"], 3, "a.1: HALTED");
    fails(&host, &["start", "a.1", "nobody", "a"], 1, "a.1: RUNNING");
    let reply = does(&host, &["pause", "a.1", "--json"]);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(
        (&reply["done"], &reply["domain"]["state"]),
        (&json!(true), &json!("PAUSED"))
    );
    let (code, text) = words(&verb(&host, &["pause", "nobody", "--json"]));
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &reply["exit"]), (3, &json!(3)));
    host.stop();
    fails(&host, &["stop", "a.1"], 4, "no agent listens at");
}

#[test]
fn a_start_that_fails_says_why_and_what_was_taken_away_is_not_started_by_mistake() {
    let host = host();
    host.put(A, &json!({"Activate": false, "Kernel": "/no/kernel"}));
    host.wait(A, "a status", |_| true);
    fails(&host, &["start", "a"], 1, "/no/kernel: No such file");
    let up = started(&host, &json!({}));
    let number = up["DomainId"].to_string();
    let done = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(["simulated", "--speed", "20", "--state"])
        .arg(host.path("xen.json"))
        .args(["destroy", &number])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    host.wait(A, "its end", |s| s["Vanished"] == true);
    fails(&host, &["start", "a"], 1, "it may live on elsewhere");
    does(&host, &["start", "a", "--anyway"]);
}

#[test]
fn whoever_watches_hears_of_everything() {
    let host = host();
    let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
    command
        .args(["watch", "--control"])
        .arg(host.path("run/control.sock"));
    let (mut watches, mut lines) = Ongoing::start(&mut command);
    // A client that hears of this one hears of the next.
    host.put(B, &json!({}));
    let known = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("b.2: ")));
    assert!(known.is_some());
    started(&host, &json!({}));
    host.remove(A);
    host.wait_gone(A);
    let mut heard = Vec::new();
    for line in &mut lines {
        heard.push(line.unwrap());
        if heard.last().unwrap().ends_with(": gone") {
            break;
        }
    }
    for wanted in [
        "a.1: BOOTING",
        "a.1: RUNNING, domain ",
        "HALTING",
        &format!("{A}: gone"),
    ] {
        assert!(
            heard.iter().any(|line| line.contains(wanted)),
            "{wanted}: {heard:#?}"
        );
    }
    // The reader has gone, which disturbs nobody.
    drop(lines);
    started(&host, &json!({}));
    host.until("its end", || watches.0.try_wait().unwrap().is_some());
}

/// Number of clients beside the one that asks.
fn clients(host: &Host) -> u64 {
    let said = does(host, &["status", "--agent", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    said["clients"].as_u64().unwrap() - 1
}

/// Whoever waits or watches goes on with the next agent.
#[test]
fn waiting_outlives_the_agent() {
    let mut host = host();
    started(&host, &json!({}));
    let socket = host.path("run/control.sock");
    let client = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
        command.args(words).arg("--control").arg(&socket);
        Ongoing::start(&mut command)
    };
    let (mut waits, mut said) = client(&["wait", "a.1", "HALTED", "--timeout", "120"]);
    let (watches, mut lines) = client(&["watch", "a.1"]);
    let mut hears = |text: &str| {
        let heard = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        assert!(heard.is_some(), "{text}");
    };
    hears("a.1: RUNNING");
    host.until("both have come", || clients(&host) == 2);
    host.kill();
    host.run(&[]);
    hears("a.1: RUNNING");
    does(&host, &["stop", "a.1"]);
    hears("a.1: HALTED");
    let said = said.next().unwrap().unwrap();
    assert!(said.contains("a.1: HALTED"), "{said}");
    assert!(waits.0.wait().unwrap().success());
    watches.kill();
    // Whoever waits for a number waits for its domain, which has another number afterwards.
    let number = host.wait_state(A, "HALTED")["DomainId"].to_string();
    assert_eq!(number, "0");
    does(&host, &["start", "a.1"]);
    let number = host.status(A).unwrap()["DomainId"].to_string();
    let (mut waits, _) = client(&["wait", &number, "HALTED", "--timeout", "120"]);
    host.until("it has come", || clients(&host) == 1);
    host.kill();
    host.xen(&["destroy", &number]);
    host.run(&[]);
    assert!(waits.0.wait().unwrap().success());
}

/// Any varlink client can ask for the description of the service.
#[test]
fn the_service_describes_itself_and_refuses_what_it_does_not_know() {
    let host = host();
    started(&host, &json!({}));
    let mut client = Client::connect(&host);
    let info = client.call("org.varlink.service.GetInfo", &json!({}));
    assert_eq!(
        info["parameters"]["interfaces"],
        json!(["org.varlink.service", "xen.domainmgr"])
    );
    let asked = json!({"interface": "xen.domainmgr"});
    let described = client.call("org.varlink.service.GetInterfaceDescription", &asked);
    let text = described["parameters"]["description"].as_str().unwrap();
    // Each method and each error that the description names exists.
    for line in text.lines().filter_map(|l| l.strip_prefix("method ")) {
        let method = line.split('(').next().unwrap();
        let none = match method {
            "Cancel" => json!({"job": 4711}),
            "Receive" | "Received" | "Outcome" | "MayCome" => json!({}),
            _ => json!({"name": "nobody"}),
        };
        let reply = client.call(method, &none);
        let error = reply["error"].as_str().unwrap_or_default();
        // Some methods need more parameters.
        let missing = reply["parameters"]["parameter"]
            .as_str()
            .unwrap_or_default();
        let known = ["List", "Agent", "Metrics"].contains(&method)
            || ["xen.domainmgr.NoSuchDomain", "xen.domainmgr.NoSuchJob"].contains(&error)
            || missing.starts_with("missing field");
        assert!(known, "{method}: {reply}");
    }
    for (method, parameters, error, parameter) in [
        (
            "Fly",
            json!({}),
            "org.varlink.service.MethodNotFound",
            "Fly",
        ),
        (
            "Stop",
            json!({}),
            "org.varlink.service.InvalidParameter",
            "missing field `name`",
        ),
        (
            "Stop",
            json!({"name": 1}),
            "org.varlink.service.InvalidParameter",
            "name",
        ),
        (
            "Stop",
            json!({"name": "a", "anyway": true}),
            "org.varlink.service.InvalidParameter",
            "anyway",
        ),
        (
            "Pause",
            json!({"name": "a", "destroy": true}),
            "org.varlink.service.InvalidParameter",
            "destroy",
        ),
        (
            "Stop",
            json!({"name": "a", "x": 1}),
            "org.varlink.service.InvalidParameter",
            "x",
        ),
        (
            "xen.other.Stop",
            json!({}),
            "org.varlink.service.InterfaceNotFound",
            "xen.other",
        ),
    ] {
        let reply = client.call(method, &parameters);
        assert_eq!(reply["error"], error, "{method} {parameters}: {reply}");
        assert!(
            reply["parameters"].to_string().contains(parameter),
            "{reply}"
        );
    }
    let listed = client.call("List", &json!({}));
    assert_eq!(listed["parameters"]["domains"][0]["state"], "RUNNING");
    // Without `more`, a verb is answered when it is accepted.
    let stopped = client.call("Stop", &json!({"name": "a"}));
    assert_eq!(stopped["parameters"]["done"], false);
    host.wait_state(A, "HALTED");
    // Without a reply.
    client.send(
        &json!({"method": "xen.domainmgr.Start", "parameters": {"name": "a"}, "oneway": true}),
    );
    host.wait_state(A, "RUNNING");
    assert_eq!(
        client.call("List", &json!({}))["parameters"]["domains"][0]["state"],
        "RUNNING"
    );
}

#[test]
fn no_secret_crosses_the_socket() {
    let host = host();
    let secrets = json!({
        "EnableVnc": true, "VncPasswd": "pssst-vnc", "CloudInitUserData": "cHNzc3QtY2xvdWQ=",
        "VirtualizationMode": 1,
    });
    started(&host, &secrets);
    let mut client = Client::connect(&host);
    for (method, parameters) in [
        ("Show", json!({"name": "a"})),
        ("List", json!({})),
        ("Watch", json!({})),
    ] {
        let reply = client.call(method, &parameters).to_string();
        assert!(reply.contains("RUNNING"), "{reply}");
        assert!(
            !reply.contains("pssst") && !reply.contains("cHNzc3"),
            "{reply}"
        );
    }
}

/// Two hundred hostile clients, and one that behaves.
#[test]
fn hostile_clients_delay_nobody() {
    let mut host = host();
    started(&host, &json!({}));
    let mut hostile = Vec::new();
    for n in 0..200 {
        let Ok(mut stream) = UnixStream::connect(host.path("run/control.sock")) else {
            panic!("client {n} cannot connect");
        };
        // An error of a hostile client does not matter.
        let _ = match n % 5 {
            0 => Ok(()),
            1 => stream.write_all(b"{\"method\":\"xen.domainmgr.Li"),
            2 => stream.write_all(b"\0\0garbage\0{}\0[]\0\xff\0"),
            3 => stream.write_all(&vec![b'x'; 200 << 10]),
            _ => stream.write_all(b"{\"method\":\"xen.domainmgr.Watch\",\"more\":true}\0"),
        };
        hostile.push(stream);
    }
    let begin = Instant::now();
    assert!(does(&host, &["stop", "a"]).contains("HALTED"));
    assert!(does(&host, &["start", "a"]).contains("RUNNING"));
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    let threads = fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap();
    assert!(threads.count() < 100);
    // Watchers above the limit of clients get an error.
    let mut told = 0;
    for _ in 0..80 {
        let mut client = Client::connect(&host);
        client
            .0
            .get_mut()
            .write_all(b"{\"method\":\"xen.domainmgr.Watch\",\"more\":true}\0")
            .unwrap_or_default();
        let reply = client.next();
        told += u32::from(reply["error"] == "xen.domainmgr.TooManyClients");
        hostile.push(client.0.into_inner());
    }
    assert!(told > 0, "80 watch at once");
    drop(hostile);
    host.until("room again", || {
        verb(&host, &["show", "a"]).status.success()
    });
    assert!(host.is_running());
    host.stop();
}

#[test]
fn a_client_that_reads_nothing_is_dropped_and_keeps_nobody_waiting() {
    let host = host();
    let mut deaf = Client::connect(&host);
    deaf.send(&json!({"method": "xen.domainmgr.Watch", "more": true, "parameters": {}}));
    started(
        &host,
        &json!({"ExtraArgs": "lab.action=reboot lab.after=1"}),
    );
    host.wait(A, "restarts", |s| s["Restarts"].as_u64() > Some(3));
    let first = deaf.next();
    assert_eq!(first["continues"], true, "{first}");
}

#[test]
fn the_socket_is_its_owners_and_is_not_taken_from_another() {
    let mut host = Host::new();
    let socket = host.path("run/control.sock");
    // A socket left by an agent that was killed is replaced.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    host.run(&[]);
    host.wait_log("started: ");
    host.until("the socket", || UnixStream::connect(&socket).is_ok());
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut second = Host::new();
    let text = socket.to_str().unwrap().to_owned();
    second.run(&["--control", &text]);
    assert!(!second.wait_end().success());
    let log = second.log();
    assert!(
        log.contains(&format!("--control {text}: another program listens there")),
        "{log}"
    );
    let file = second.path("file");
    fs::write(&file, "precious").unwrap();
    let text = file.to_str().unwrap().to_owned();
    second.run(&["--control", &text]);
    assert!(!second.wait_end().success());
    assert!(second.log().contains("there is a file that is no socket"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    second.run(&["--control-group", "no such group"]);
    assert!(!second.wait_end().success());
    assert!(
        second
            .log()
            .contains("--control-group no such group: there is no such group")
    );
    // The default one is not worth an agent.
    fs::write(second.path("run/control.sock"), "").unwrap();
    second.run(&[]);
    second.wait_log("there is no control socket: ");
    second.put(A, &json!({}));
    second.wait_state(A, "RUNNING");
}

#[test]
fn a_group_may_be_let_in() {
    let mut host = Host::new();
    fs::set_permissions(host.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
    let group = rustix::process::getgid().as_raw().to_string();
    host.run(&["--control-group", &group]);
    let socket = host.path("run/control.sock");
    host.until("the socket", || UnixStream::connect(&socket).is_ok());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    host.until("its mode", || mode(&socket) == 0o660);
    assert_eq!(mode(&host.path("run")), 0o710);
}

#[test]
fn an_order_outlives_the_client_that_gave_it() {
    let host = host();
    started(&host, &json!({"ExtraArgs": "sim.stop=8"}));
    let mut client = Client::connect(&host);
    client
        .send(&json!({"method": "xen.domainmgr.Stop", "more": true, "parameters": {"name": "a"}}));
    assert_eq!(client.next()["parameters"]["done"], false);
    drop(client);
    host.wait_state(A, "HALTED");
    let mut buffer = String::new();
    let mut gone = UnixStream::connect(host.path("run/control.sock")).unwrap();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    // The connection of a client that sends nothing more is closed.
    gone.read_to_string(&mut buffer).unwrap();
    assert_eq!(buffer, "");
}

/// Over twenty kills of the agent.
#[test]
fn whoever_follows_misses_no_event_and_hears_none_twice() {
    let mut host = host();
    let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
    command
        .args(["history", "--follow", "--json", "--control"])
        .arg(host.path("run/control.sock"));
    let (follows, mut lines) = Ongoing::start(&mut command);
    // It restarts every second, which is a twentieth of ours.
    started(
        &host,
        &json!({"ExtraArgs": "lab.action=reboot lab.after=1"}),
    );
    let mut seen = Vec::new();
    let mut hear = |seen: &mut Vec<Value>| {
        let line = lines.next().unwrap().unwrap();
        seen.push(serde_json::from_str(&line).unwrap());
    };
    for kill in 0..20 {
        for _ in 0..(kill % 7) {
            hear(&mut seen);
        }
        host.kill();
        host.run(&[]);
        host.wait_state(A, "RUNNING");
    }
    host.remove(A);
    while seen.last().is_none_or(|last| last["what"] != "removed") {
        hear(&mut seen);
    }
    follows.kill();
    listens(&host);
    let all = does(&host, &["history", "--json"]);
    let all: Vec<Value> = all
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(seen, all);
    let numbers: Vec<i64> = all.iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "{numbers:?}"
    );
    // States alternate: none is told twice, also not by two agents.
    let states: Vec<(&Value, &Value)> = all.iter().map(|e| (&e["what"], &e["domid"])).collect();
    assert!(
        states.windows(2).all(|pair| pair[0] != pair[1]),
        "{states:#?}"
    );
    let text = does(&host, &["history", A]);
    assert!(text.contains("a.1  RUNNING  domain "), "{text}");
    assert!(text.contains("reboot: restart"), "{text}");
    fails(&host, &["history", "a"], 3, "no such domain");
    let last = numbers[numbers.len() - 2].to_string();
    assert_eq!(
        does(&host, &["history", "--after", &last]).lines().count(),
        1
    );
}
