//! The figures for Prometheus, by the socket and by HTTP, with the real program and a simulated Xen.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{A, Host, domainmgr, text};
use serde_json::json;

const ANYWHERE: [&str; 4] = [
    "--metrics-address",
    "127.0.0.1:0",
    "--config",
    "timer.metric.interval:5",
];

/// The address that the agent says it listens at.
fn address(host: &Host) -> String {
    let begin = Instant::now();
    loop {
        let log = host.log();
        if let Some((_, rest)) = log.split_once("figures at http://") {
            return rest.split('/').next().unwrap().to_owned();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn get(address: &str, path: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

fn by_socket(host: &Host) -> String {
    let out = domainmgr(&["metrics", "--control"], &[&host.path("run/control.sock")]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
}

#[test]
fn what_a_domain_is_and_uses_is_told_both_ways() {
    let host = Host::start(&ANYWHERE);
    host.put(A, &json!({"Memory": 65536}));
    host.wait_state(A, "RUNNING");
    let labels = format!("{{name=\"a.1\",uuid=\"{A}\"}}");
    let memory = format!("domainmgr_domain_memory_bytes{labels} 67108864");
    let begin = Instant::now();
    let mut found = by_socket(&host);
    while !found.contains(&memory) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{found}");
        std::thread::sleep(Duration::from_millis(50));
        found = by_socket(&host);
    }
    for part in [
        format!("mode=\"PV\",name=\"a.1\",state=\"RUNNING\",uuid=\"{A}\"}} 1\n"),
        format!("domainmgr_domain_restarts_total{labels} 0\n"),
        format!("domainmgr_domain_error{labels} 0\n"),
        "domainmgr_domains{state=\"RUNNING\"} 1\n".to_owned(),
        "\ndomainmgr_host_cpus ".to_owned(),
        "\ndomainmgr_work{state=\"under way\",work=\"copy\"} 0\n".to_owned(),
        "\nprocess_threads ".to_owned(),
    ] {
        assert!(found.contains(&part), "{part}: {found}");
    }
    let address = address(&host);
    let answer = get(&address, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{head}"
    );
    assert!(body.contains(&memory), "{body}");
    let other = get(&address, "/etc/passwd");
    assert!(other.starts_with("HTTP/1.1 404 Not Found\r\n"), "{other}");
    host.remove(A);
    host.wait_gone(A);
    assert!(!by_socket(&host).contains(A), "nothing is left of it");
}

#[test]
fn a_client_that_asks_for_nothing_delays_others_for_seconds_only() {
    let host = Host::start(&ANYWHERE);
    let address = address(&host);
    let silent = TcpStream::connect(&address).unwrap();
    let mut endless = TcpStream::connect(&address).unwrap();
    endless.write_all(&[b'a'; 64 << 10]).unwrap();
    let answer = get(&address, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(silent);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let host = Host::new();
    let out = host
        .command(&["--metrics-address", &address])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    let wanted = format!("--metrics-address {address}: Address already in use");
    assert!(said.contains(&wanted), "{said}");
    let out = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(["run", "--simulate", "--metrics-address", "nowhere"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("--metrics-address"));
}

#[test]
fn the_agent_itself_is_shown() {
    let host = Host::start(&[]);
    host.put(A, &json!({"Memory": 65536}));
    host.wait_state(A, "RUNNING");
    let socket = host.path("run/control.sock");
    let out = domainmgr(&["status", "--agent", "--json", "--control"], &[&socket]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let agent: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(agent["pid"], host.pid());
    assert_eq!(
        (&agent["domains"], &agent["clients"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(agent["journal"], true);
    // Each is more than nothing.
    for figure in ["memory", "threads", "descriptors"] {
        assert!(agent[figure].as_u64() > Some(1), "{agent}");
    }
    let work = agent["work"].as_array().unwrap();
    let copies = work.iter().find(|w| w["work"] == "copy").unwrap();
    assert_eq!(
        copies,
        &json!({"work": "copy", "waiting": 0, "underWay": 0, "most": 4})
    );
    let out = domainmgr(&["status", "--agent", "--control"], &[&socket]);
    let shown = text(&out.stdout);
    for line in ["process      ", "journal      in use", "copy  "] {
        assert!(shown.lines().any(|l| l.starts_with(line)), "{shown}");
    }
    // Without an agent.
    let nobody = host.path("nobody.sock");
    let out = domainmgr(&["status", "--agent", "--control"], &[&nobody]);
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
}
