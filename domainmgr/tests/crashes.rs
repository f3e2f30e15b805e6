//! The agent is killed at every point at which it has changed or is about to change something that outlives it, and
//! started again: nothing is lost, doubled or mixed. With the real program and a simulated Xen.
//!
//! Every third point is tried; `DOMAINMGR_CRASH_STEP=1` tries them all, which takes minutes.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::adapters::{self, NOBODY, bundle};
use common::disks::{copies, image};
use common::{A, Host};
use serde_json::{Value, json};

/// Long enough on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens between the end of the agent and its next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Restart,
    /// The next one is killed as well, at the point that it passes as the nth.
    Again(u32),
    /// The last write to the journal was torn.
    Torn,
    /// The host goes down with the agent.
    RebootHost,
}

/// An agent that is killed once, at a point that is chosen beforehand.
struct Run {
    host: Host,
    agent: Option<Child>,
    then: Then,
    /// Where it was killed.
    killed_at: Option<String>,
    second: u32,
    /// The DomainStatus at the moment at which it was killed.
    shown: Option<Value>,
}

impl Run {
    fn start(host: Host, nth: u32, then: Then) -> Self {
        let mut run = Self {
            host,
            agent: None,
            then,
            killed_at: None,
            second: 0,
            shown: None,
        };
        run.spawn(nth);
        run
    }

    fn spawn(&mut self, nth: u32) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.host.path("log"))
            .unwrap();
        let agent = self
            .host
            .command(&["--config", "timer.boot.retry:10"])
            .env("DOMAINMGR_SIMULATE_CRASH", nth.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.agent = Some(agent);
    }

    /// Starts the agent again if it is dead.
    fn revive(&mut self) {
        let Some(status) = self.agent.as_mut().unwrap().try_wait().unwrap() else {
            return;
        };
        let log = self.host.log();
        assert_eq!(status.signal(), Some(9), "{status}\n{log}");
        let point = log.rsplit_once("crash point: ").unwrap().1;
        let point = point.lines().next().unwrap().to_owned();
        let first = self.killed_at.is_none();
        if first {
            self.shown = self.host.status(A);
        }
        let torn = self.then == Then::Torn && first && point == "after a commit";
        self.killed_at.get_or_insert(point);
        let mut nth = 0;
        match self.then {
            Then::Again(second) if first => nth = second,
            Then::Again(_) => self.second += 1,
            Then::Torn if torn => {
                let wal = self.host.path("run/state/journal.db-wal");
                let file = fs::OpenOptions::new().write(true).open(wal).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length.saturating_sub(100)).unwrap();
            }
            Then::RebootHost if first => {
                self.xen(&["reboot-host"]).unwrap();
                let _ = fs::remove_dir_all(self.host.path("run/DomainStatus"));
                let _ = fs::remove_dir_all(self.host.path("run/AssignableAdapters"));
            }
            _ => {}
        }
        self.spawn(nth);
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&Host) -> bool) {
        let begin = Instant::now();
        loop {
            self.revive();
            if holds(&self.host) {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "killed {:?}, then {:?}; waited in vain for: {what}\n{:#?}\nxen: {:?}\n{}",
                self.killed_at,
                self.then,
                self.host.status(A),
                self.xen(&["list"]),
                self.host.log()
            );
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Does something behind the agent's back, though that may be killed while it hears of it.
    fn xen(&self, words: &[&str]) -> Result<String, String> {
        let out = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
            .args([
                "simulated",
                "--speed",
                &self.host.speed.to_string(),
                "--state",
            ])
            .arg(self.host.path("xen.json"))
            .args(words)
            .output()
            .unwrap();
        let said = |bytes: &[u8]| common::text(bytes).trim().to_owned();
        match out.status.success() {
            true => Ok(said(&out.stdout)),
            false => Err(said(&out.stderr)),
        }
    }

    /// The guest of domain 1 ends with this reason.
    fn end(&mut self, reason: &str) {
        self.until("the agent to have looked", |host| {
            host.log().contains("domain 1 found")
        });
        let begin = Instant::now();
        let mut sure = 0;
        // An agent that starts at this moment may have read what the host was before.
        while sure < 3 {
            self.revive();
            let _ = self.xen(&["end", "1", reason]);
            let list = self.xen(&["list"]).unwrap_or_else(|_| "1 Running".into());
            let mut all = list.split("; ");
            let runs = all.any(|d| d.starts_with("1 ") && d.ends_with("Running"));
            sure = if runs { 0 } else { sure + 1 };
            assert!(begin.elapsed() < PATIENCE, "{}", self.host.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many domains there are, as soon as somebody can tell.
    fn domains(&self) -> Option<usize> {
        let list = self.xen(&["list"]).ok()?;
        let there = |d: &&str| !d.is_empty() && !d.ends_with("Dying");
        Some(list.split("; ").filter(there).count())
    }

    /// Waits until it is shown to be in this state, by an agent that lives.
    fn wait_state(&mut self, name: &str) -> Value {
        let mut last = Value::Null;
        self.until(name, |host| {
            last = host.status(A).unwrap_or_default();
            last["StateName"] == name
        });
        last
    }

    /// Waits until this is so, or the agent is killed.
    fn until_or_kill(&mut self, what: &str, holds: impl Fn(&Host) -> bool) {
        let begin = Instant::now();
        while self.killed_at.is_none() && !holds(&self.host) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.host.log());
            std::thread::sleep(Duration::from_millis(3));
            self.revive();
        }
    }

    /// What must hold in the end, in any case.
    fn check(&mut self, domains: usize) {
        let said = |run: &Self| {
            format!(
                "killed {:?}, then {:?}\nxen: {:?}\n{:?}\n{}",
                run.killed_at,
                run.then,
                run.xen(&["list"]),
                copies(&run.host),
                run.host.log()
            )
        };
        let begin = Instant::now();
        while self.domains() != Some(domains) {
            self.revive();
            assert!(
                begin.elapsed() < PATIENCE,
                "not {domains} domains: {}",
                said(self)
            );
        }
        let doubles = loop {
            self.revive();
            if let Ok(doubles) = self.xen(&["doubles"]) {
                break doubles;
            }
        };
        assert_eq!(doubles, "0", "{}", said(self));
        for dir in ["run/img", "run/cloudinit", "run/DomainStatus", "run/xen"] {
            for entry in fs::read_dir(self.host.path(dir)).unwrap() {
                let name = entry.unwrap().file_name();
                let hidden = name.to_string_lossy().starts_with('.');
                assert!(!hidden, "{name:?} in {dir} is left: {}", said(self));
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// Two disks that live as long as the guest, and one that is kept.
fn config(more: &Value) -> Value {
    let disk = |hash: &str, preserve: bool| json!({"ImageSha256": hash, "Preserve": preserve, "Format": "raw"});
    let mut config = json!({
        "DiskConfigList": [disk("aa", false), disk("bb", false), disk("cc", true)],
        "IoAdapterList": [{"Type": 0, "Name": "COM1"}],
        "CloudInitUserData": "aHVudGVyMg==",
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn host() -> Host {
    let mut host = adapters::plugged();
    host.speed = 200;
    adapters::put_model(&host);
    adapters::put_ports(&host, &["eth0"]);
    for hash in ["aa", "bb", "cc"] {
        image(&host, hash, hash.as_bytes());
    }
    host
}

/// A host on which the domain runs already and has written to its disks; its agent is gone.
fn running(more: &Value) -> Host {
    let mut host = host();
    host.run(&[]);
    host.put(A, &config(more));
    host.wait_state(A, "RUNNING");
    host.stop();
    for hash in ["aa", "bb", "cc"] {
        fs::write(disk(&host, hash), "written").unwrap();
    }
    host
}

fn disk(host: &Host, hash: &str) -> std::path::PathBuf {
    host.path(&format!("run/img/{hash}-{A}.raw"))
}

fn content(host: &Host, hash: &str) -> String {
    let content = fs::read_to_string(disk(host, hash)).unwrap_or_default();
    content.trim_end_matches('\0').to_owned()
}

/// Runs a scenario once for each point, until one is reached at which nobody is killed any more.
fn explore(name: &str, then: &[Then], prepare: impl Fn() -> Host, play: impl Fn(&mut Run)) {
    let step = std::env::var("DOMAINMGR_CRASH_STEP").ok();
    let step: u32 = step.and_then(|n| n.parse().ok()).unwrap_or(3);
    for &then in then {
        let (mut tried, mut twice) = (0, 0);
        for nth in (1..).step_by(usize::try_from(step).unwrap()) {
            let mut run = Run::start(prepare(), nth, then);
            play(&mut run);
            if run.killed_at.is_none() {
                break;
            }
            tried += 1;
            twice += run.second;
        }
        assert!(tried > 3 / step, "{name}: the points are not reached");
        println!(
            "{name}, then {then:?}: {tried} points tried, {twice} of them twice, 0 violations"
        );
    }
}

const EACH: [Then; 4] = [Then::Restart, Then::Again(1), Then::Again(4), Then::Torn];

#[test]
fn a_start_with_disks() {
    explore("start", &EACH, host, |run| {
        run.host.put(A, &config(&json!({})));
        run.wait_state("RUNNING");
        run.check(1);
        for hash in ["aa", "bb", "cc"] {
            assert_eq!(content(&run.host, hash), hash);
        }
    });
}

#[test]
fn a_restart_by_wish() {
    explore(
        "restart by wish",
        &EACH,
        || running(&json!({})),
        |run| {
            run.host.put(A, &config(&json!({"Activate": false})));
            run.wait_state("HALTED");
            run.until("no copies", |host| copies(host).len() == 1);
            run.host.put(A, &config(&json!({"ExtraArgs": "newer"})));
            run.wait_state("RUNNING");
            run.check(1);
            let found = ["aa", "bb", "cc"].map(|hash| content(&run.host, hash));
            assert_eq!(found, ["aa", "bb", "written"]);
        },
    );
}

#[test]
fn a_reboot_of_the_guest() {
    explore(
        "reboot of the guest",
        &EACH,
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            // A guest whose agent is dead reboots as well.
            run.end("1");
            run.until("a restart", |host| {
                let status = host.status(A).unwrap_or_default();
                status["StateName"] == "RUNNING" && status["Restarts"] == 1
            });
            run.check(1);
            for hash in ["aa", "bb", "cc"] {
                assert_eq!(content(&run.host, hash), "written", "{:?}", run.killed_at);
            }
        },
    );
}

#[test]
fn an_end_that_the_policy_leaves_as_it_is() {
    explore(
        "poweroff",
        &EACH,
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            run.end("0");
            run.wait_state("HALTED");
            run.check(0);
            let status = run.host.status(A).unwrap();
            assert_eq!(status["ShutdownReason"], "poweroff", "{:?}", run.killed_at);
            run.until("the adapter is free", |host| {
                bundle(host, "COM1")["UsedByUUID"] == NOBODY
            });
        },
    );
}

#[test]
fn a_crash_that_is_kept_under_another_name() {
    // A domain that is kept keeps its adapters: that is refused.
    let with = json!({"OnCrash": "rename-restart", "IoAdapterList": []});
    explore(
        "rename-restart",
        &EACH,
        || running(&with),
        |run| {
            run.wait_state("RUNNING");
            run.end("3");
            run.until("another domain", |host| {
                let status = host.status(A).unwrap_or_default();
                status["StateName"] == "RUNNING" && status["DomainId"] != 1
            });
            run.check(2);
            let status = run.host.status(A).unwrap();
            let kept = status["Preserved"].as_array().unwrap();
            assert_eq!(kept.len(), 1, "{:?}", run.killed_at);
            let name = kept[0]["DomainName"].as_str().unwrap();
            assert_eq!(name.matches('-').count(), 1, "renamed once: {name}");
        },
    );
}

#[test]
fn a_key_that_is_removed() {
    explore(
        "delete",
        &EACH,
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            run.host.remove(A);
            run.until("it is gone", |host| !host.status_file(A).exists());
            run.check(0);
            run.until("the adapter is free", |host| {
                bundle(host, "COM1")["UsedByUUID"] == NOBODY
            });
            assert!(copies(&run.host).is_empty(), "{:?}", copies(&run.host));
            for dir in ["run/cloudinit", "run/xen"] {
                assert_eq!(
                    fs::read_dir(run.host.path(dir)).unwrap().count(),
                    0,
                    "{dir}"
                );
            }
        },
    );
}

#[test]
fn a_key_that_is_removed_while_its_domain_is_built() {
    let slow = json!({"ExtraArgs": "sim.create=3"});
    explore("delete while building", &EACH, host, |run| {
        run.host.put(A, &config(&slow));
        run.until("something", |host| host.status_file(A).exists());
        run.host.remove(A);
        run.until("it is gone", |host| !host.status_file(A).exists());
        run.check(0);
        assert!(copies(&run.host).is_empty(), "{:?}", copies(&run.host));
    });
}

#[test]
fn the_host_goes_down_with_the_agent() {
    explore(
        "host reboot",
        &[Then::RebootHost],
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            run.host.put(A, &config(&json!({"Activate": false})));
            run.until("a wish that is heard", |host| {
                host.status(A).unwrap_or_default()["StateName"] == "HALTED"
            });
            run.host.put(A, &config(&json!({"ExtraArgs": "newer"})));
            run.wait_state("RUNNING");
            run.check(1);
            let found = ["aa", "bb", "cc"].map(|hash| content(&run.host, hash));
            assert_eq!(found, ["aa", "bb", "written"], "{:?}", run.killed_at);
        },
    );
}

/// A domain that is suspended when its host goes down may go on elsewhere; one that was resumed does not.
#[test]
fn the_host_goes_down_while_a_domain_is_suspended() {
    explore(
        "host reboot while suspended",
        &[Then::RebootHost],
        || running(&json!({})),
        |run| {
            run.until_or_kill("the agent has looked", |host| {
                host.log().contains("domain 1 found")
            });
            for (word, state) in [("suspend", "SUSPENDED"), ("resume", "RUNNING")] {
                if run.killed_at.is_none() {
                    // An error means that the agent has been killed already.
                    let _ = run.xen(&[word, "1"]);
                    run.until_or_kill(state, |host| {
                        host.status(A).unwrap_or_default()["StateName"] == state
                    });
                }
            }
            let shown = run.shown.take().unwrap_or_default();
            // Between the commit and the status, the journal is ahead of what is shown.
            let ahead = run.killed_at.as_deref() == Some("after a commit");
            let mut built = shown["StateName"] != "SUSPENDED";
            run.until("it is built again or not", |host| {
                let state = host.status(A).unwrap_or_default();
                if ahead {
                    built = state["StateName"] == "RUNNING";
                }
                state["StateName"] == if built { "RUNNING" } else { "HALTED" }
            });
            run.check(usize::from(built));
        },
    );
}

/// Has the domain saved, if the agent lives that long, and run again.
fn save_and_start(run: &mut Run) {
    // It fails if the agent is killed meanwhile, or before.
    let _ = run.host.verb(&["save", "a.1"]);
    run.until("the save has ended", |host| {
        let state = host.status(A).unwrap_or_default()["StateName"].clone();
        state == "RUNNING" || state == "SAVED"
    });
    let begin = Instant::now();
    while run.host.verb(&["start", "a.1"]).0 != 0 {
        run.revive();
        assert!(begin.elapsed() < PATIENCE, "{}", run.host.log());
    }
    run.wait_state("RUNNING");
    run.check(1);
}

/// A guest whose memory is written to a file, and which goes on from there, never notices; nor does it if that came to
/// nothing.
#[test]
fn a_guest_that_is_saved_and_restored() {
    let without = json!({"IoAdapterList": null});
    explore(
        "save and restore",
        &EACH,
        || running(&without),
        |run| {
            run.until("the agent has looked", |host| {
                host.log().contains("domain 1 found")
            });
            save_and_start(run);
            let found = ["aa", "bb", "cc"].map(|hash| content(&run.host, hash));
            assert_eq!(found, ["written"; 3], "{:?}", run.killed_at);
            let log = run.host.log();
            let booted = log.matches(" created").count();
            assert_eq!(booted, 1, "killed {:?}: {log}", run.killed_at);
            run.until("nothing is left of the file", |host| {
                fs::read_dir(host.path("run/state/saved")).map_or(0, Iterator::count) == 0
            });
        },
    );
}

/// A host that goes down takes the memory with it, unless that is in a file for good.
#[test]
fn the_host_goes_down_while_a_domain_is_saved() {
    let without = json!({"IoAdapterList": null});
    explore(
        "host reboot during a save",
        &[Then::RebootHost],
        || running(&without),
        |run| {
            run.until_or_kill("the agent has looked", |host| {
                host.log().contains("domain 1 found")
            });
            save_and_start(run);
            // The preserved one, in any case.
            assert_eq!(content(&run.host, "cc"), "written", "{:?}", run.killed_at);
        },
    );
}

/// What a running domain is given by hand it has once, and so has the next one.
#[test]
fn a_domain_that_is_changed_while_it_runs() {
    let roomy = json!({"IoAdapterList": null, "MaxMem": 262_144, "VirtualizationMode": "PV"});
    let prepare = || {
        let host = running(&roomy);
        fs::write(host.path("data"), "").unwrap();
        host
    };
    let then = [Then::Restart, Then::Again(1), Then::RebootHost];
    explore("changes", &then, prepare, |run| {
        run.until_or_kill("the agent has looked", |host| {
            host.log().contains("domain 1 found")
        });
        let disk = format!("{},raw,xvdx,rw", run.host.path("data").display());
        let mac = "00:16:3e:01:02:03";
        let nic = format!("mac={mac}");
        for (words, done) in [
            (&["attach", "a.1", "disk", &disk][..], "attach disk xvdx"),
            (&["attach", "a.1", "nic", &nic], "attach nic"),
            (&["set", "a.1", "memory=192"], "set memory=192"),
        ] {
            let begin = Instant::now();
            let known = |host: &Host| {
                let status = host.status(A).unwrap_or_default();
                let all = status["Changed"].as_array().cloned().unwrap_or_default();
                all.iter().any(|c| c.as_str().unwrap().starts_with(done))
            };
            // It fails if the agent is killed meanwhile, and then it may be made all the same.
            while run.host.verb(words).0 != 0 && !known(&run.host) {
                run.revive();
                assert!(begin.elapsed() < PATIENCE, "{words:?}: {}", run.host.log());
            }
            run.until(done, known);
        }
        let has = |run: &mut Run| {
            run.until("all of it, once", |host| {
                let state = host.status(A).unwrap_or_default();
                state["StateName"] == "RUNNING" && state["Waiting"] == json!([])
            });
            let live = loop {
                run.revive();
                if let Ok(live) = run.xen(&["live", "a.1"]) {
                    break live;
                }
            };
            let said = format!("killed {:?}, then {:?}: {live}", run.killed_at, run.then);
            assert_eq!(live.matches("xvdx=").count(), 1, "{said}");
            assert_eq!(live.matches(mac).count(), 1, "{said}");
            assert!(live.starts_with("memory 192/256 "), "{said}");
        };
        has(run);
        run.check(1);
        let begin = Instant::now();
        while run.host.verb(&["restart", "a.1"]).0 != 0 {
            run.revive();
            assert!(begin.elapsed() < PATIENCE, "{}", run.host.log());
        }
        has(run);
        run.check(1);
    });
}

#[test]
fn an_agent_without_a_journal_is_replaced() {
    let prepare = || {
        let host = running(&json!({}));
        fs::remove_dir_all(host.path("run/state")).unwrap();
        host
    };
    explore(
        "upgrade",
        &[Then::Restart, Then::Again(1)],
        prepare,
        |run| {
            run.until("it is taken over", |host| {
                host.log().matches("domain 1 found").count() > 0
            });
            run.host.put(A, &config(&json!({"Activate": false})));
            run.wait_state("HALTED");
            run.host.put(A, &config(&json!({"ExtraArgs": "newer"})));
            run.wait_state("RUNNING");
            run.check(1);
            let found = ["aa", "bb", "cc"].map(|hash| content(&run.host, hash));
            assert_eq!(found, ["aa", "bb", "written"]);
        },
    );
}
