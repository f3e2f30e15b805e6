//! Migration between two agents, each with a simulated Xen of its own. The connection is a pipe in the place of ssh.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{A, B, Host, domid};
use serde_json::json;

/// The command that takes the place of ssh: it runs what is to run on the other host, with that host's socket.
fn via(target: &Host) -> String {
    let program = env!("CARGO_BIN_EXE_domainmgr");
    let socket = target.path("run/control.sock");
    format!(
        "there() {{ set -- $2; shift; exec {program} \"$@\" --control {}; }}; there",
        socket.display()
    )
}

fn migrate(from: &Host, to: &Host) -> (i32, String) {
    from.verb(&["migrate", "a.1", "beta", "--via", &via(to)])
}

/// Returns how many copies of the guest run.
fn running(hosts: &[&Host]) -> usize {
    let lists = hosts.iter().map(|host| host.xen(&["list"]));
    lists.map(|list| list.matches("Running").count()).sum()
}

fn two() -> (Host, Host) {
    (Host::start(&[]), Host::start(&[]))
}

fn ready(host: &Host) {
    host.until("the socket", || host.verb(&["jobs"]).0 == 0);
}

#[test]
fn a_guest_moves_and_its_host_remembers_where() {
    let (mut alpha, mut beta) = two();
    ready(&beta);
    alpha.put(A, &json!({"ExtraArgs": "sim.stop=1"}));
    alpha.wait_state(A, "RUNNING");
    let (code, said) = migrate(&alpha, &beta);
    assert_eq!(code, 0, "{said}\n{}\n{}", alpha.log(), beta.log());
    assert!(
        said.contains("being sent to beta") && said.contains("HALTED"),
        "{said}"
    );
    let there = beta.wait_state(A, "RUNNING");
    assert_eq!(there["DomainName"], "a.1");
    assert_eq!((alpha.domains(), beta.domains()), (0, 1));

    // No wish has it run here again, and no restart of the agent.
    let moved = alpha.status(A).unwrap();
    assert_eq!(
        (&moved["MovedTo"], &moved["StateName"]),
        (&json!("beta"), &json!("HALTED"))
    );
    assert_eq!(moved["StateReason"], "migrated to beta by root");
    alpha.put(A, &json!({"UUIDandVersion": {"UUID": A, "Version": "2"}}));
    alpha.wait(A, "the new wish", |s| s["UUIDandVersion"]["Version"] == "2");
    alpha.kill();
    alpha.run(&[]);
    ready(&alpha);
    alpha.fails(&["start", "a.1"], 1, "migrated to beta: it may run there");
    alpha.fails(&["migrate", "a.1", "gamma"], 1, "migrated to beta");
    assert_eq!(alpha.domains(), 0);

    // The other agent has no file for it, and keeps it.
    beta.kill();
    beta.run(&[]);
    ready(&beta);
    let again = beta.wait_state(A, "RUNNING");
    assert_eq!(domid(&again), domid(&there));
    beta.fails(&["forget", "a.1"], 1, "it is not down");

    // And back.
    let (code, said) = migrate(&beta, &alpha);
    assert_eq!(code, 0, "{said}\n{}\n{}", alpha.log(), beta.log());
    let back = alpha.wait_state(A, "RUNNING");
    assert_eq!(back["MovedTo"], "");
    beta.wait_gone(A);
    assert_eq!((alpha.domains(), beta.domains()), (1, 0));
    alpha.does(&["stop", "a.1"]);
    alpha.does(&["start", "a.1"]);
}

#[test]
fn a_guest_that_came_is_stopped_started_and_forgotten() {
    let (alpha, mut beta) = two();
    ready(&beta);
    alpha.put(A, &json!({}));
    alpha.wait_state(A, "RUNNING");
    alpha.fails(&["forget", "a.1"], 1, "a file describes it");
    assert_eq!(migrate(&alpha, &beta).0, 0);
    beta.does(&["stop", "a.1"]);
    beta.does(&["start", "a.1"]);
    beta.does(&["stop", "a.1"]);
    beta.kill();
    beta.run(&[]);
    ready(&beta);
    beta.wait_state(A, "HALTED");
    beta.does(&["forget", "a.1"]);
    beta.wait_gone(A);
    // The other host knows that it was moved, and a person knows better.
    alpha.fails(&["start", "a.1"], 1, "migrated to beta");
    alpha.does(&["start", "a.1", "--anyway"]);
}

#[test]
fn what_cannot_be_sent_or_received_goes_on_where_it_is() {
    let (alpha, beta) = two();
    ready(&beta);
    alpha.put(A, &json!({}));
    alpha.wait_state(A, "RUNNING");
    let fails = |host: &str, via: &str, why: &str| {
        alpha.fails(&["migrate", "a.1", host, "--via", via], 1, why);
        alpha.wait_state(A, "RUNNING");
        assert_eq!(running(&[&alpha, &beta]), 1);
    };
    fails("a b", "ssh", "expected a host as ssh knows it");
    fails(
        "beta",
        "f() { echo no route to host >&2; exit 255; }; f",
        "no route to host",
    );
    fails("beta", "f() { exec cat /dev/zero; }; f", "no agent");
    fails(
        "beta",
        "f() { echo what is this; }; f",
        "beta: what is this",
    );
    // Whatever comes instead of the protocol.
    let ready = |then: &str| format!("f() {{ read asked; echo ready; {then}; }}; f");
    fails("beta", &ready("exec cat /dev/zero"), "nonsense");
    fails(
        "beta",
        &ready("echo what is this; cat"),
        "expected \"simulated receiver\"",
    );
    fails("beta", &ready("echo simulated receiver"), "the other end: ");
    fails("beta", &ready("echo bad luck >&2"), "bad luck");
    // There is a domain of that uuid.
    beta.put(A, &json!({}));
    beta.wait_state(A, "RUNNING");
    let via = via(&beta);
    alpha.fails(
        &["migrate", "a.1", "beta", "--via", &via],
        1,
        "it is here already, as domain",
    );
    alpha.wait_state(A, "RUNNING");
    alpha.does(&["pause", "a.1"]);
    alpha.fails(
        &["migrate", "a.1", "beta", "--via", &via],
        1,
        "it is paused",
    );
    alpha.does(&["stop", "a.1"]);
    alpha.fails(
        &["migrate", "a.1", "beta", "--via", &via],
        1,
        "there is no domain",
    );
    alpha.fails(&["migrate", "--resolve", "a.1"], 1, "was not given away");
    let (code, _) = alpha.verb(&["migrate", "a.1"]);
    assert_eq!(code, 2);
}

#[test]
fn one_that_hangs_is_given_up_and_the_guest_goes_on() {
    let (alpha, beta) = two();
    alpha.put(A, &json!({}));
    let before = domid(&alpha.wait_state(A, "RUNNING"));
    let hangs = |ready: &str, then: &str| format!("f() {{ read asked; {ready}; {then}; }}; f");
    let (asleep, ready) = ("exec sleep 600", "echo ready");
    // Before it has said that it is there, and when it has the whole guest.
    for then in [asleep, "echo simulated receiver; exec sleep 600"] {
        let via = hangs(ready, then);
        alpha.fails(
            &["migrate", "a.1", "beta", "--via", &via],
            1,
            "has not answered in time",
        );
        assert_eq!(domid(&alpha.wait_state(A, "RUNNING")), before);
    }
    let via = hangs(asleep, asleep);
    alpha.fails(
        &["migrate", "a.1", "beta", "--timeout", "1", "--via", &via],
        1,
        "beta: no answer in 1 s",
    );
    alpha.fails(&["migrate", "a.1", "beta", "--timeout", "0"], 2, "0 is not");
    ready_and_moves(&alpha, &beta);
}

/// The guest moves after all, with every option.
fn ready_and_moves(alpha: &Host, beta: &Host) {
    ready(beta);
    let via = via(beta);
    let all = ["--not-live", "--timeout", "60", "--via", &via];
    alpha.does(&[&["migrate", "a.1", "beta"], &all[..]].concat());
    assert_eq!((alpha.domains(), beta.domains()), (0, 1));
}

#[test]
fn a_host_is_emptied_and_what_cannot_move_is_named() {
    let (alpha, beta) = two();
    ready(&beta);
    alpha.fails(&["evacuate", "-x"], 2, "unexpected argument");
    for key in [A, B] {
        alpha.put(key, &json!({}));
        alpha.wait_state(key, "RUNNING");
    }
    let third = "cccccccc-0000-4000-8000-000000000003";
    alpha.put(third, &json!({"Memory": 262_144}));
    alpha.wait_state(third, "RUNNING");
    alpha.does(&["pause", "b.2"]);
    let via = via(&beta);
    let evacuate = ["evacuate", "beta", "--via", &via];
    alpha.fails(&evacuate, 1, "b.2: PAUSED guests do not move");
    assert_eq!((alpha.domains(), beta.domains()), (1, 2));
    let log = alpha.log();
    let first = log.lines().find(|line| line.contains("migrate: asked for"));
    assert!(first.unwrap().contains(third), "the biggest first: {log}");
    alpha.does(&["unpause", "b.2"]);
    alpha.does(&["evacuate", "beta", "--max", "2", "--via", &via]);
    assert_eq!((alpha.domains(), beta.domains()), (0, 3));
    alpha.does(&evacuate);
}

#[test]
fn only_root_sends_and_receives() {
    let mut host = Host::new();
    host.run(&["--control-group", "65534"]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let nobody = host.nobody();
    for (line, said) in [
        (
            &["migrate", "a.1", "beta", "--via", "true"][..],
            "only root may send",
        ),
        (&["migrate-receive"], "only root may have a domain received"),
        (
            &["migrate-receive", "--outcome", A],
            "only root may have a domain received",
        ),
    ] {
        let (ended, text) = nobody(line);
        assert!(ended == Some(1) && text.contains(said), "{line:?}: {text}");
    }
}

#[test]
fn what_the_receiver_is_told_by_people_is_answered_in_words() {
    let host = Host::start(&[]);
    ready(&host);
    let asked = |words: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
            .args(words)
            .arg("--control")
            .arg(host.path("run/control.sock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, said) = asked(&["migrate-receive", "--outcome", A], "");
    assert_eq!((code, said.as_str()), (0, "never\n"));
    let (code, said) = asked(&["migrate-receive"], "what is this\n");
    assert!(
        code == 1 && said.contains("the other end: "),
        "{code}: {said}"
    );
    let (code, said) = asked(&["migrate-receive"], "");
    assert!(code == 1 && said.contains("it has ended"), "{code}: {said}");
    let (code, said) = asked(&["migrate-receive", "--check"], "{}");
    assert!(
        code == 1 && said.contains("the question: missing field"),
        "{code}: {said}"
    );
    let question = |path: &str| {
        json!({
            "xen": "simulated",
            "storage": [{"path": path, "size": 1, "identity": "", "places": []}],
        })
        .to_string()
    };
    let (code, said) = asked(&["migrate-receive", "--check"], &question("/no/such"));
    assert!(
        code == 1 && said.starts_with("/no/such: No such file"),
        "{code}: {said}"
    );
    let here = host.path("kernel");
    let (code, said) = asked(
        &["migrate-receive", "--check"],
        &question(here.to_str().unwrap()),
    );
    assert!(
        code == 1 && said.contains("1 bytes there, and 10 here"),
        "{code}: {said}"
    );
}

/// A target that has everything and hears no GO gives up; a source that hears no word asks.
#[test]
fn a_migration_that_is_cut_ends_with_one_guest() {
    let (alpha, beta) = two();
    ready(&beta);
    alpha.put(A, &json!({}));
    alpha.wait_state(A, "RUNNING");
    // Nothing comes back after the answer and the first line: no word that everything is there.
    let cut = format!(
        "{}; half() {{ there \"$@\" | head -n 2; }}; half",
        via(&beta).trim_end_matches("; there")
    );
    let (code, said) = alpha.verb(&["migrate", "a.1", "beta", "--via", &cut]);
    assert_eq!(code, 1, "{said}");
    alpha.wait_state(A, "RUNNING");
    beta.until("nothing is left", || beta.domains() == 0);
    assert_eq!(running(&[&alpha, &beta]), 1);
}

/// The two hosts, one of whose agents is to be killed.
struct Pair {
    hosts: [Host; 2],
    /// Index of that host.
    doomed: usize,
    died: bool,
}

impl Pair {
    fn alpha(&self) -> &Host {
        &self.hosts[0]
    }

    fn beta(&self) -> &Host {
        &self.hosts[1]
    }

    /// Starts the agent again that was killed.
    fn revive(&mut self) {
        let host = &mut self.hosts[self.doomed];
        if host.is_running() {
            return;
        }
        assert!(host.log().contains("crash point: "), "{}", host.log());
        self.died = true;
        host.env.clear();
        host.wait_end();
        host.run(&[]);
    }

    /// Returns how many domains there are, and how many run; `None` while an agent is dying.
    fn domains(&self, of: usize) -> Option<(usize, usize)> {
        let host = &self.hosts[of];
        let out = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
            .args(["simulated", "--speed", &host.speed.to_string(), "--state"])
            .arg(host.path("xen.json"))
            .arg("list")
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let all = text
            .trim()
            .split("; ")
            .filter(|d| !d.is_empty() && !d.ends_with("Dying"));
        out.status.success().then(|| {
            (
                all.clone().count(),
                all.filter(|d| d.contains("Running")).count(),
            )
        })
    }

    /// Returns whether one guest runs, and each agent knows where.
    fn has_settled(&self) -> bool {
        let (Some(here), Some(there)) = (self.domains(0), self.domains(1)) else {
            return false;
        };
        assert!(
            here.1 + there.1 <= 1,
            "two copies run\n{}\n{}",
            self.alpha().log(),
            self.beta().log()
        );
        let state = |host: &Host| {
            let status = host.status(A);
            status.map(|s| {
                (
                    s["StateName"].as_str().unwrap().to_owned(),
                    s["MovedTo"] == "beta",
                )
            })
        };
        let running = Some(("RUNNING".to_owned(), false));
        match (here, there) {
            ((1, 1), (0, 0)) => state(self.alpha()) == running && state(self.beta()).is_none(),
            ((0, 0), (1, 1)) => {
                let moved = Some(("HALTED".to_owned(), true));
                state(self.alpha()) == moved && state(self.beta()) == running
            }
            _ => false,
        }
    }
}

/// Whichever agent is killed at whichever point: one guest runs afterwards, on one of the hosts, and each host knows where.
fn killed(doomed: usize) {
    for point in 1.. {
        let (alpha, beta) = two();
        ready(&beta);
        alpha.put(A, &json!({}));
        alpha.wait_state(A, "RUNNING");
        let mut pair = Pair {
            hosts: [alpha, beta],
            doomed,
            died: false,
        };
        let host = &mut pair.hosts[doomed];
        host.stop();
        host.env
            .push(("DOMAINMGR_SIMULATE_CRASH", point.to_string().into()));
        host.run(&[]);
        while host.is_running() && host.verb(&["jobs"]).0 != 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (code, said) = migrate(pair.alpha(), pair.beta());
        let begin = Instant::now();
        while !pair.has_settled() {
            pair.revive();
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{point}: {said}\n{}\n{}\n{:#?}",
                pair.alpha().log(),
                pair.beta().log(),
                pair.beta().status(A)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        if !pair.died && pair.hosts[doomed].is_running() {
            assert_eq!(code, 0, "{said}");
            assert!(point > 9, "only {point} points");
            println!("{} points, 0 violations", point - 1);
            return;
        }
    }
}

#[test]
fn the_source_is_killed_at_every_point() {
    killed(0);
}

#[test]
fn the_target_is_killed_at_every_point() {
    killed(1);
}
