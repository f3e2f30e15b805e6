//! Orders while they are worked off: shown, cancelled, and taken up by the next agent. With the real program and a simulated
//! Xen.

use std::process::Command;

use crate::common::{A, Host};
use serde_json::{Value, json};

/// Runs a verb that must succeed and say this.
#[track_caller]
fn says(host: &Host, words: &[&str], text: &str) -> String {
    let said = host.does(words);
    assert!(said.contains(text), "{words:?}: {said}");
    said
}

fn jobs(host: &Host) -> Vec<Value> {
    let said = host.does(&["jobs", "--json"]);
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// An agent with a domain that is not to run, and that takes long to build.
fn host() -> Host {
    let host = Host::start(&[]);
    host.until("the socket", || host.verb(&["jobs"]).0 == 0);
    host.put(
        A,
        &json!({"Activate": false, "ExtraArgs": "sim.create=2000"}),
    );
    host.wait(A, "a status", |_| true);
    host
}

#[test]
fn a_start_is_shown_and_cancelled() {
    let host = host();
    assert_eq!(jobs(&host), [] as [Value; 0]);
    let said = says(&host, &["start", "a", "--no-wait"], "accepted as job ");
    let number = said.split_once("job ").unwrap().1;
    let number = number.split_once(';').unwrap().0.to_owned();
    let [job] = jobs(&host).try_into().unwrap();
    assert_eq!(job["job"].to_string(), number);
    assert_eq!(
        (&job["verb"], &job["name"]),
        (&json!("start"), &json!("a.1"))
    );
    assert_eq!(job.get("ended"), None);
    says(&host, &["jobs", "a"], "under way: BOOTING");
    host.fails(&["jobs", "nobody"], 3, "no such domain");
    host.wait_state(A, "BOOTING");
    says(&host, &["cancel", &number], "a.1: start is cancelled");
    let status = host.wait(A, "that it is down", |s| s["DomainId"] == 0);
    assert_eq!(
        (&status["Held"], &status["LastErr"]),
        (&json!(""), &json!(""))
    );
    assert_eq!(status["Jobs"][0]["Failure"], "cancelled by root");
    says(&host, &["jobs"], "failed: cancelled by root");
    let told = format!("start by root, job {number}: failed: cancelled by root");
    says(&host, &["history", "a"], &told);
    host.fails(&["cancel", &number], 1, "it has come to its end already");
    host.fails(&["cancel", "4711"], 1, "job 4711: no such job");
    host.fails(&["cancel", "many"], 2, "invalid value");
}

#[test]
fn whoever_waits_for_an_order_hears_that_it_is_cancelled() {
    let host = host();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.verb(&["start", "a"]));
        host.wait_state(A, "BOOTING");
        let number = jobs(&host)[0]["job"].to_string();
        says(
            &host,
            &["cancel", &number, "--json"],
            r#""failure":"cancelled by root""#,
        );
        let (code, said) = waiting.join().unwrap();
        assert!(
            code == 1 && said.contains("cancelled by root"),
            "{code}: {said}"
        );
    });
}

#[test]
fn whoever_waits_for_an_order_hears_that_the_agent_has_ended() {
    let host = host();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.verb(&["start", "a"]));
        host.wait_state(A, "BOOTING");
        let pid = host.pid().to_string();
        let killed = Command::new("kill").args(["-9", &pid]).status();
        assert!(killed.unwrap().success());
        let (code, said) = waiting.join().unwrap();
        assert!(
            code == 4 && said.contains("is remembered"),
            "{code}: {said}"
        );
    });
}

#[test]
fn an_order_outlives_the_agent_and_its_number_is_nobody_elses() {
    let mut host = host();
    says(&host, &["start", "a", "--no-wait"], "accepted as job ");
    let number = jobs(&host)[0]["job"].clone();
    host.kill();
    host.run(&[]);
    host.until("the socket", || host.verb(&["jobs"]).0 == 0);
    let [job] = jobs(&host).try_into().unwrap();
    assert_eq!((&job["job"], job.get("ended")), (&number, None));
    says(
        &host,
        &["cancel", &number.to_string()],
        "start is cancelled",
    );
    says(&host, &["start", "a", "--no-wait"], "accepted as job ");
    let numbers: Vec<Value> = jobs(&host).iter().map(|job| job["job"].clone()).collect();
    assert!(
        numbers.len() == 2 && numbers[1].as_u64() > number.as_u64(),
        "{numbers:?}"
    );
}
