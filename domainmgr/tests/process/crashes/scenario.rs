//! Scenarios, each of which is played once for each point at which the agent can be killed.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::run::{Run, Then};
use crate::common::adapters;
use crate::common::disks::image;
use crate::common::{A, Host};

/// Hashes of the images in every scenario; see [`config`].
pub const HASHES: [&str; 3] = ["aa", "bb", "cc"];

/// Secrets in each config, in plain text and in base64. They are in no file once the config is gone.
pub const SECRET: [&str; 2] = ["hunter2", "aHVudGVyMg=="];

/// Two disks that live as long as the guest, and one that is kept.
pub fn config(more: &Value) -> Value {
    let disk = |hash: &str, preserve: bool| json!({"ImageSha256": hash, "Preserve": preserve, "Format": "raw"});
    let mut config = json!({
        "DiskConfigList": [disk("aa", false), disk("bb", false), disk("cc", true)],
        "IoAdapterList": [{"Type": 0, "Name": "COM1"}],
        "CloudInitUserData": SECRET[1],
    });
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

/// A host with an adapter and three images, and no agent yet.
pub fn host() -> Host {
    let mut host = adapters::plugged();
    host.speed = 200;
    adapters::put_model(&host);
    adapters::put_ports(&host, &["eth0"]);
    for hash in HASHES {
        image(&host, hash, hash.as_bytes());
    }
    host
}

/// A host on which the domain runs already and has written to its disks; its agent is gone.
pub fn running(more: &Value) -> Host {
    let mut host = host();
    host.run(&[]);
    host.put(A, &config(more));
    host.wait_state(A, "RUNNING");
    host.stop();
    for hash in HASHES {
        fs::write(disk(&host, hash), "written").unwrap();
    }
    host
}

fn disk(host: &Host, hash: &str) -> PathBuf {
    host.path(&format!("run/img/{hash}-{A}.raw"))
}

/// Returns the contents of the three disks.
pub fn content(host: &Host) -> [String; 3] {
    HASHES.map(|hash| {
        let content = fs::read_to_string(disk(host, hash)).unwrap_or_default();
        content.trim_end_matches('\0').to_owned()
    })
}

/// A scenario: its name, and the events between the end of the agent and its next start.
pub struct Scenario<'a> {
    name: &'a str,
    then: &'a [Then],
    room: Option<u64>,
}

impl<'a> Scenario<'a> {
    /// The agent is started again, is killed once more, or finds that the last write to its journal was torn.
    pub fn new(name: &'a str) -> Self {
        const EACH: [Then; 4] = [Then::Restart, Then::Again(1), Then::Again(4), Then::Torn];
        Self {
            name,
            then: &EACH,
            room: None,
        }
    }

    /// Replaces the events between the end of the agent and its next start.
    pub fn then(self, then: &'a [Then]) -> Self {
        Self { then, ..self }
    }

    /// Limits the size of the agent's files to this many bytes, until [`Run::make_room`].
    pub fn room(self, bytes: u64) -> Self {
        let room = Some(bytes);
        Self { room, ..self }
    }

    /// Plays the scenario for one point after the other, until no agent is killed any more.
    pub fn explore(&self, prepare: impl Fn() -> Host, play: impl Fn(&mut Run)) {
        let step = std::env::var("DOMAINMGR_CRASH_STEP").ok();
        let step: u32 = step.and_then(|n| n.parse().ok()).unwrap_or(3);
        for &then in self.then {
            let (mut tried, mut twice) = (0, 0);
            for nth in (1..).step_by(usize::try_from(step).unwrap()) {
                let mut run = Run::start(prepare(), nth, then, self.room);
                play(&mut run);
                if run.killed_at.is_none() {
                    break;
                }
                tried += 1;
                twice += run.second;
            }
            let name = self.name;
            assert!(tried > 3 / step, "{name}: the points are not reached");
            println!(
                "{name}, then {then:?}: {tried} points tried, {twice} of them twice, 0 violations"
            );
        }
    }
}
