//! Scenes: work that an agent finds when it starts, and the state that it has to reach in the end.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::disks::{copies, image};
use crate::common::{A, B, Host, adapters, domid};

/// Time for which an agent that is short of something is observed: a minute of its own clock.
const WHILE: Duration = Duration::from_millis(300);

/// The domid of B, which runs all the time and must not be affected.
const BYSTANDER: u64 = 1;

/// Work that an agent finds when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// A domain with two disks is to be built.
    Start,
    /// A domain that runs is to be shut down.
    Stop,
    /// A guest has rebooted.
    Reboot,
    /// A domain that runs is not wanted any more.
    Delete,
}

impl Scene {
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Reboot, Self::Delete];

    /// Returns a host with that work, and no agent. `ready` is called before anything is on the host.
    pub fn host(self, ready: impl FnOnce(&Host)) -> Host {
        let mut host = adapters::plugged();
        host.speed = 200;
        ready(&host);
        for dir in ["run/DomainStatus", "run/model", "run/DeviceNetworkStatus"] {
            fs::create_dir_all(host.path(dir)).unwrap();
        }
        adapters::put_model(&host);
        adapters::put_ports(&host, &["eth0"]);
        for hash in ["aa", "bb"] {
            image(&host, hash, hash.as_bytes());
        }
        host.run(&[]);
        host.put(B, &json!({}));
        assert_eq!(domid(&host.wait_state(B, "RUNNING")), BYSTANDER);
        if self != Self::Start {
            host.put(A, &config(&json!({})));
            host.wait_state(A, "RUNNING");
        }
        host.stop();
        match self {
            Self::Start => host.put(A, &config(&json!({}))),
            Self::Stop => host.put(A, &config(&json!({"Activate": false}))),
            Self::Reboot => drop(host.xen(&["end", "2", "1"])),
            Self::Delete => host.remove(A),
        }
        host
    }

    /// Returns whether all of the work is done.
    fn is_done(self, host: &Host) -> bool {
        let status = host.status(A);
        let shows = |name: &str| status.as_ref().is_some_and(|s| s["StateName"] == name);
        match self {
            Self::Start => shows("RUNNING"),
            Self::Stop => shows("HALTED") && copies(host).len() == 1,
            Self::Reboot => shows("RUNNING") && status.as_ref().is_some_and(|s| s["Restarts"] == 1),
            Self::Delete => status.is_none() && copies(host).is_empty(),
        }
    }

    /// Plays the scene with an agent that is short of something until `relieve`. Returns whether it had enough.
    ///
    /// If the agent does not finish before `relieve`, one of `words` must be in its log.
    pub fn play(
        self,
        mut host: Host,
        amount: u64,
        words: &[&str],
        relieve: impl FnOnce(&mut Host),
    ) -> bool {
        let about = format!("{self:?} with {amount}");
        let begin = Instant::now();
        let mut done = false;
        while begin.elapsed() < WHILE && !done && host.is_running() {
            std::thread::sleep(Duration::from_millis(5));
            done = self.is_done(&host);
        }
        let log = host.log();
        let says = words.iter().any(|word| log.contains(word));
        assert!(done || says, "{about}: it says nothing: {log}");
        relieve(&mut host);
        let begin = Instant::now();
        while !self.is_done(&host) {
            if !host.is_running() {
                // A supervisor starts it again.
                let log = host.log();
                assert_eq!(host.wait_end().code(), Some(1), "{about}: {log}");
                let last = log.lines().last().unwrap_or_default();
                assert!(last.starts_with("domainmgr: "), "{about}: {log}");
                host.run(&[]);
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{about}: it does not recover: {}",
                host.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self.check(&host, &about);
        done && !says
    }

    fn check(self, host: &Host, about: &str) {
        let list = host.xen(&["list"]);
        let bystander = format!("{BYSTANDER} {B} b.2 Running");
        assert!(
            list.split("; ").any(|d| d == bystander),
            "{about}: {list}: {}",
            host.log()
        );
        let other = host.wait(B, "no complaint", |s| s["LastErr"] == "");
        assert_eq!(
            (&other["StateName"], domid(&other), &other["Restarts"]),
            (&json!("RUNNING"), BYSTANDER, &json!(0)),
            "{about}"
        );
        assert_eq!(host.xen(&["doubles"]), "0", "{about}");
        let domains = 1 + usize::from(matches!(self, Self::Start | Self::Reboot));
        host.until(&format!("{about}: {domains} domains"), || {
            host.domains() == domains
        });
        if let Some(status) = host.status(A) {
            assert_eq!(status["LastErr"], "", "{about}: {}", host.log());
        }
    }
}

/// One disk that lives as long as the guest, and one that is kept.
fn config(more: &Value) -> Value {
    let disk = |hash: &str, preserve: bool| json!({"ImageSha256": hash, "Preserve": preserve, "Format": "raw"});
    let mut config = json!({
        "DiskConfigList": [disk("aa", false), disk("bb", true)],
        "IoAdapterList": [{"Type": 0, "Name": "COM1"}],
        "CloudInitUserData": "aHVudGVyMg==",
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

/// Plays each scene with more and more of something, from `least` on, until an agent has enough for it.
pub fn explore(what: &str, least: u64, most: u64, mut play: impl FnMut(Scene, u64) -> bool) {
    let step = std::env::var("DOMAINMGR_CRASH_STEP").ok();
    let step: u64 = step.and_then(|n| n.parse().ok()).unwrap_or(3);
    for scene in Scene::ALL {
        let mut short = 0;
        let mut amount = least;
        while !play(scene, amount) {
            short += 1;
            amount += step;
            assert!(amount <= most, "{scene:?}: {amount} {what} are not enough");
        }
        assert!(short > 0, "{scene:?}: {least} {what} are enough");
        println!("{scene:?}: {short} amounts below {amount} {what} tried, 0 violations");
    }
}
