//! Messages to a supervisor, with the real program and a simulated Xen.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use crate::common::{A, B, Host, adapters, domid};
use serde_json::json;

/// Returns the socket of a supervisor that wants notifications.
fn supervised(host: &mut Host, watchdog: Option<Duration>) -> UnixDatagram {
    let path = host.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    host.env.push(("NOTIFY_SOCKET", path.into()));
    if let Some(limit) = watchdog {
        let limit = limit.as_micros().to_string();
        host.env.push(("WATCHDOG_USEC", limit.into()));
    }
    socket
}

fn told(socket: &UnixDatagram) -> String {
    let mut text = [0; 1000];
    let length = socket.recv(&mut text).expect("a notification");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

fn told_until(socket: &UnixDatagram, word: &str) -> Vec<String> {
    let mut all = vec![told(socket)];
    while !all.last().unwrap().lines().any(|line| line == word) {
        all.push(told(socket));
        assert!(all.len() < 1000, "{word} in {all:?}");
    }
    all
}

#[test]
fn ready_alive_and_stopping() {
    let mut host = Host::new();
    let socket = supervised(&mut host, Some(Duration::from_millis(300)));
    host.put(A, &json!({}));
    host.run(&[]);
    let before = told_until(&socket, "READY=1");
    assert!(host.path("run/domainmgr.pid").exists(), "ready is ready");
    // By then the agent has looked at the DomainConfigs that were there.
    assert!(
        before.iter().any(|t| t.contains("STATUS=1 DomainConfigs")),
        "{before:?}"
    );
    for _ in 0..3 {
        told_until(&socket, "WATCHDOG=1");
    }
    host.stop();
    told_until(&socket, "STOPPING=1");
}

#[test]
fn a_watchdog_that_nobody_set_is_not_fed() {
    let mut host = Host::new();
    let socket = supervised(&mut host, None);
    host.run(&[]);
    told_until(&socket, "READY=1");
    host.stop();
    let rest = told_until(&socket, "STOPPING=1");
    assert!(!rest.iter().any(|t| t.contains("WATCHDOG")), "{rest:?}");
}

#[test]
fn the_main_thread_feeds_it_while_a_domain_hangs() {
    let mut host = Host::new();
    let socket = supervised(&mut host, Some(Duration::from_millis(300)));
    host.run(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.create=100000"}));
    host.wait(A, "building", |s| s["StateName"] == "BOOTING");
    for _ in 0..5 {
        told_until(&socket, "WATCHDOG=1");
    }
}

#[test]
fn an_agent_that_hangs_feeds_nothing() {
    let mut host = Host::new();
    let socket = supervised(&mut host, Some(Duration::from_millis(300)));
    host.run(&[]);
    told_until(&socket, "WATCHDOG=1");
    host.signal("-STOP");
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    // Notifications that were under way may still arrive.
    let mut text = [0; 1000];
    while socket.recv(&mut text).is_ok() {}
    assert!(socket.recv(&mut text).is_err());
    host.signal("-CONT");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    told_until(&socket, "WATCHDOG=1");
}

#[test]
fn the_touch_file_is_touched_and_the_pid_file_is_that_of_the_agent() {
    let mut host = Host::new();
    let touch = host.path("run/domainmgr.touch");
    let pid = host.path("run/domainmgr.pid");
    // Left by an agent that was killed.
    fs::write(&pid, "1\n").unwrap();
    fs::write(&touch, "").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(&touch).unwrap();
    file.set_modified(long_ago).unwrap();
    host.env.push(("WATCHDOG_USEC", "200000".into()));
    host.run(&[]);
    let modified = |path: &std::path::Path| fs::metadata(path).unwrap().modified().unwrap();
    host.until("touched", || {
        modified(&touch) > long_ago + Duration::from_secs(60)
    });
    let first = modified(&touch);
    host.until("touched again", || modified(&touch) > first);
    let own = host.pid().to_string();
    host.until("its pid", || {
        fs::read_to_string(&pid).unwrap().trim() == own
    });
    host.stop();
    assert!(!pid.exists());
}

#[test]
fn a_service_that_breaks_takes_the_agent_with_it_and_no_guest() {
    for name in [
        "signals", "inotify", "journal", "adapters", "images", "metrics", "list",
    ] {
        let mut host = Host::start(&[]);
        host.put(A, &json!({}));
        let up = host.wait_state(A, "RUNNING");
        host.stop();
        host.env.push(("DOMAINMGR_SIMULATE_DEATH", name.into()));
        host.run(&[]);
        let status = host.wait_end();
        assert_eq!(status.code(), Some(1), "{name}: {}", host.log());
        let said = format!("the thread \"{name}\" has ended (internal error: simulated bug)");
        assert!(host.log().contains(&said), "{name}: {}", host.log());
        host.env.clear();
        host.run(&[]);
        let again = host.wait_state(A, "RUNNING");
        assert_eq!(again["DomainId"], up["DomainId"], "{name}");
        assert_eq!(host.domains(), 1);
    }
}

#[test]
fn a_domain_that_no_thread_could_be_had_for_keeps_what_it_has_and_is_served_later() {
    let mut host = adapters::started();
    host.put(A, &adapters::wants(&["eth1"]));
    let up = host.wait_state(A, "RUNNING");
    let device = adapters::device(&host, "00:11.0");
    host.stop();
    host.env.push(("DOMAINMGR_SIMULATE_NO_THREADS", "1".into()));
    host.run(&[]);
    host.wait_log("no thread for it: simulated lack of threads");
    assert_eq!(host.status(A).unwrap()["DomainId"], up["DomainId"]);
    assert_eq!(adapters::bundle(&host, "eth1")["UsedByUUID"], A);
    host.until("served", || host.log().contains("found"));
    assert_eq!(adapters::bundle(&host, "eth1")["UsedByUUID"], A);
    assert_eq!(adapters::device(&host, "00:11.0"), device);

    host.stop();
    host.remove(A);
    host.run(&[]);
    host.wait_gone(A);
    assert_eq!(host.domains(), 0);
}

#[test]
fn the_agent_is_alive_while_xen_does_not_list_its_domains() {
    let mut host = Host::new();
    host.env.push(("WATCHDOG_USEC", "200000".into()));
    host.run(&[]);
    host.put(A, &json!({}));
    let a = host.wait_state(A, "RUNNING");
    host.xen(&["hang-list", "on"]);
    host.wait_log("the domains cannot be listed: Xen or xenstored has not answered");
    let touch = host.path("run/domainmgr.touch");
    let touched = || fs::metadata(&touch).unwrap().modified().unwrap();
    let before = touched();
    host.until("touched", || touched() > before);
    // A worker that asks Xen does wait.
    host.put(B, &json!({}));
    host.wait(B, "a status", |_| true);
    host.xen(&["hang-list", "off"]);
    host.wait_state(B, "RUNNING");
    // A new name is reported by nobody: the next list has it.
    host.xen(&["rename", &domid(&a).to_string(), "other"]);
    host.wait(A, "its new name", |s| s["RenamedTo"] == "other");
}
