//! One run of a scenario: an agent that is killed at a point chosen beforehand, and the checks at the end.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scenario::{SECRET, content};
use crate::common::adapters::{NOBODY, bundle};
use crate::common::disks::copies;
use crate::common::{self, A, Host};

/// Long enough on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Event between the end of the agent and its next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Restart,
    /// The next agent is killed as well, at the point that it passes as the nth.
    Again(u32),
    /// The last write to the journal was torn.
    Torn,
    /// The journal is damaged; an operator has the agent begin without it.
    Damaged,
    /// The host goes down with the agent.
    RebootHost {
        /// The DomainStatus files are on a disk.
        statuses_survive: bool,
    },
}

/// An agent that is killed once, at a point that is chosen beforehand.
pub struct Run {
    pub host: Host,
    agent: Option<Child>,
    /// Thread that writes the agent's log, so that a limit on the size of the agent's files does not apply to the log.
    logging: Option<JoinHandle<()>>,
    pub then: Then,
    room: Option<u64>,
    /// Point at which the agent was killed first.
    pub killed_at: Option<String>,
    pub second: u32,
    /// The DomainStatus at the moment at which the agent was killed first.
    pub shown: Option<Value>,
}

impl Run {
    pub fn start(host: Host, nth: u32, then: Then, room: Option<u64>) -> Self {
        let mut run = Self {
            host,
            agent: None,
            logging: None,
            then,
            room,
            killed_at: None,
            second: 0,
            shown: None,
        };
        run.spawn(nth, &[]);
        run
    }

    /// Starts an agent, and waits until its Xen answers.
    fn spawn(&mut self, nth: u32, args: &[&str]) {
        let plain = self
            .host
            .command(&[&["--config", "timer.boot.retry:10"], args].concat());
        let mut command = Command::new("sh");
        let limit = match self.room {
            None => String::new(),
            Some(bytes) => format!("prlimit --fsize={bytes}:unlimited "),
        };
        command
            .args(["-c", &format!("trap '' XFSZ; exec {limit}\"$@\""), "sh"])
            .arg(plain.get_program())
            .args(plain.get_args());
        let mut agent = command
            .env_remove("RUST_LOG")
            .env("DOMAINMGR_SIMULATE_CRASH", nth.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = agent.stderr.take().unwrap();
        let log = self.host.path("log");
        let mut log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        self.logging = Some(std::thread::spawn(move || {
            io::copy(&mut said, &mut log).unwrap();
        }));
        self.agent = Some(agent);
        // From now on, changes of the host reach the host of this agent.
        let xen = self.host.path("xen.json.sock");
        while UnixStream::connect(&xen).is_err()
            && self.agent.as_mut().unwrap().try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts the agent again if it is dead.
    pub fn revive(&mut self) {
        let Some(status) = self.agent.as_mut().unwrap().try_wait().unwrap() else {
            return;
        };
        self.logging.take().unwrap().join().unwrap();
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
        let (mut nth, mut args) = (0, &[][..]);
        match self.then {
            Then::Again(second) if first => nth = second,
            Then::Again(_) => self.second += 1,
            Then::Torn if torn => self.tear(),
            Then::Damaged if first => {
                self.damage();
                args = &["--forget"];
            }
            Then::RebootHost { statuses_survive } if first => {
                self.xen(&["reboot-host"]).unwrap();
                if !statuses_survive {
                    let _ = fs::remove_dir_all(self.host.path("run/DomainStatus"));
                }
                let _ = fs::remove_dir_all(self.host.path("run/AssignableAdapters"));
            }
            _ => {}
        }
        self.spawn(nth, args);
    }

    /// Cuts off the end of what was written to the journal last.
    fn tear(&self) {
        let wal = self.host.path("run/state/journal.db-wal");
        let file = OpenOptions::new().write(true).open(wal).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(100)).unwrap();
    }

    /// Damages the journal, and runs an agent with it for a while. The agent must build, change and remove nothing.
    fn damage(&mut self) {
        let state = self.host.path("run/state");
        let _ = fs::remove_file(state.join("journal.db-wal"));
        fs::write(state.join("journal.db"), vec![b'x'; 8192]).unwrap();
        let count = |host: &Host, words: &str| host.log().matches(words).count();
        let started = "domainmgr 0.1.0 started";
        let said = count(&self.host, "the journal is damaged");
        let starts = count(&self.host, started);
        let (before, disks) = (self.ids(), self.disks());
        self.spawn(0, &[]);
        // An agent that has not started yet does not take signals.
        self.until("the damage to be seen", |host| {
            count(host, "the journal is damaged") > said && count(host, started) > starts
        });
        std::thread::sleep(Duration::from_secs(60) / self.host.speed);
        assert_eq!(self.ids(), before, "{}", self.said());
        assert_eq!(self.disks(), disks, "{}", self.said());
        let mut agent = self.agent.take().unwrap();
        let pid = agent.id().to_string();
        assert!(
            Command::new("kill")
                .arg(&pid)
                .status()
                .is_ok_and(|s| s.success())
        );
        assert!(agent.wait().unwrap().success(), "{}", self.said());
        self.logging.take().unwrap().join().unwrap();
    }

    /// Lifts the limit on the size of files.
    pub fn make_room(&mut self) {
        self.room = None;
        let pid = self.agent.as_ref().unwrap().id().to_string();
        // An agent that is dead is started again without a limit.
        let _ = Command::new("prlimit")
            .args(["--pid", &pid, "--fsize=unlimited"])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }

    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Host) -> bool) {
        let begin = Instant::now();
        loop {
            self.revive();
            if holds(&self.host) {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "waited in vain for: {what}\n{:#?}\n{}",
                self.host.status(A),
                self.said()
            );
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Waits until `holds` returns true, or the agent is killed.
    pub fn until_or_kill(&mut self, what: &str, holds: impl Fn(&Host) -> bool) {
        let begin = Instant::now();
        while self.killed_at.is_none() && !holds(&self.host) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(3));
            self.revive();
        }
    }

    /// Waits until a live agent shows the domain in this state.
    pub fn wait_state(&mut self, name: &str) -> Value {
        let mut last = Value::Null;
        self.until(name, |host| {
            last = host.status(A).unwrap_or_default();
            last["StateName"] == name
        });
        last
    }

    /// Does something to Xen without the agent, which may be killed when it notices.
    pub fn xen(&self, words: &[&str]) -> Result<String, String> {
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

    /// Does something to Xen without the agent, again and again until the list of domains shows that it is done.
    pub fn outside(&mut self, words: &[&str], is_done: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        loop {
            self.revive();
            if self.list().is_some_and(|list| is_done(&list)) {
                return;
            }
            let answer = self.xen(words);
            assert!(
                begin.elapsed() < PATIENCE,
                "{words:?}: {answer:?}\n{}",
                self.said()
            );
        }
    }

    /// Ends the guest of domain 1 with this reason.
    pub fn end(&mut self, reason: &str) {
        self.until("the agent to have looked", |host| {
            host.log().contains("domain 1 found")
        });
        self.outside(&["end", "1", reason], |list| {
            !list
                .split("; ")
                .any(|d| d.starts_with("1 ") && d.ends_with("Running"))
        });
    }

    /// Returns the list of domains, if an agent can tell.
    pub fn list(&self) -> Option<String> {
        self.xen(&["list"]).ok()
    }

    /// Returns the list of domains from the next agent that lives long enough.
    pub fn list_of_next(&mut self) -> String {
        let begin = Instant::now();
        loop {
            if let Some(list) = self.list() {
                return list;
            }
            self.revive();
            assert!(begin.elapsed() < PATIENCE, "{}", self.said());
        }
    }

    /// Returns the domids of all domains, dying ones left out.
    fn ids(&mut self) -> BTreeSet<String> {
        let list = self.list_of_next();
        let there = list.split("; ").filter(|d| !d.ends_with("Dying"));
        let ids = there.filter_map(|d| Some(d.split_once(' ')?.0.to_owned()));
        ids.collect()
    }

    /// Returns the names of the copies of images, half-made ones left out, and the contents of the disks.
    fn disks(&self) -> (Vec<String>, [String; 3]) {
        let mut names = copies(&self.host);
        names.retain(|name| !name.starts_with('.'));
        (names, content(&self.host))
    }

    /// Returns a text that explains a failure.
    pub fn said(&self) -> String {
        format!(
            "killed {:?}, then {:?}\nxen: {:?}\n{:?}\n{}",
            self.killed_at,
            self.then,
            self.xen(&["list"]),
            copies(&self.host),
            self.host.log()
        )
    }

    /// Checks the invariants that hold at the end of every scenario.
    ///
    /// There are so many domains, and there were never two that could run. The shown domain exists. No reservation is left of a
    /// domain that is gone, no half-written file, and no secret of a wish that was withdrawn.
    pub fn check(&mut self, domains: usize) {
        let begin = Instant::now();
        while self.ids().len() != domains {
            self.revive();
            assert!(
                begin.elapsed() < PATIENCE,
                "not {domains} domains: {}",
                self.said()
            );
        }
        let doubles = loop {
            self.revive();
            if let Ok(doubles) = self.xen(&["doubles"]) {
                break doubles;
            }
        };
        assert_eq!(doubles, "0", "{}", self.said());
        if let Some(shown) = self.host.status(A).filter(|s| s["StateName"] == "RUNNING") {
            let id = shown["DomainId"].to_string();
            assert!(self.ids().contains(&id), "{id}: {}", self.said());
        }
        let config = fs::read_to_string(self.host.path(&format!("config/{A}.json")));
        let wants = config.as_ref().is_ok_and(|text| text.contains("COM1"));
        let owner = if domains > 0 && wants { A } else { NOBODY };
        self.until("the owner of the adapter", |host| {
            bundle(host, "COM1")["UsedByUUID"] == owner
        });
        // A domain that is just being built has some for a moment.
        for dir in ["run/img", "run/cloudinit", "run/DomainStatus", "run/xen"] {
            self.until(&format!("no half-written file in {dir}"), |host| {
                let mut names = fs::read_dir(host.path(dir)).unwrap().flatten();
                !names.any(|entry| entry.file_name().to_string_lossy().starts_with('.'))
            });
        }
        if config.is_err() {
            assert_eq!(self.disks().0, [""; 0], "{}", self.said());
            self.check_secrets(&self.host.path("run"));
        }
    }

    /// Checks that no file below `dir` contains a secret.
    fn check_secrets(&self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                self.check_secrets(&path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap_or_default();
                let has =
                    |secret: &str| bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                let found = SECRET.into_iter().any(has);
                assert!(
                    !found,
                    "the secret is in {}: {}",
                    path.display(),
                    self.said()
                );
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
