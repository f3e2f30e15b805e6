//! The other host, and its agent.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use super::courier::{self, Couriers};
use crate::agent::host::{App, Host};
use crate::support::{unique, wait_for};

/// Kills the agent, and neither this shell nor another `domainmgr` that listens for it.
pub(crate) const KILL: &str = "pkill -9 -f 'domainmgr[ ]run ' || true";

/// Options of ssh, with which a host that is gone is noticed soon.
const IMPATIENT: [&str; 4] = ["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=4"];

/// The connection past the cable. It stays open: each new one would take seconds.
pub(crate) struct OutOfBand {
    master: Child,
    socket: String,
}

impl OutOfBand {
    fn open() -> Self {
        let socket = format!("/tmp/{}", unique("oob"));
        let master = Command::new("ssh")
            .args(["-M", "-N", "-S", &socket, "beta-oob"])
            .stdin(Stdio::null())
            // ssh has its outputs not block, and would share ours.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the connection past the cable", || {
            Path::new(&socket).exists()
        });
        Self { master, socket }
    }

    fn command(&self, line: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-S", &self.socket, "beta-oob", line]);
        ssh
    }

    /// Runs a command of the shell there.
    pub(crate) fn shell(&self, line: &str) -> String {
        let out = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{line}: {said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        said
    }
}

impl Drop for OutOfBand {
    fn drop(&mut self) {
        let _ = self.master.kill();
        let _ = self.master.wait();
    }
}

/// The agent of the other host.
pub(crate) struct Beta {
    dir: String,
    log_level: &'static str,
    agent: Option<Child>,
    oob: OutOfBand,
    _couriers: Couriers,
}

impl Beta {
    pub(crate) fn start() -> Self {
        Self::start_with("debug")
    }

    pub(crate) fn start_with(log_level: &'static str) -> Self {
        let oob = OutOfBand::open();
        install("domainmgr", &oob);
        let mut beta = Self {
            log_level,
            dir: format!("/tmp/{}", unique("beta")),
            agent: None,
            _couriers: Couriers::start(&oob),
            oob,
        };
        beta.run();
        beta
    }

    /// Runs a command of the shell there, past the cable.
    pub(crate) fn shell(&self, line: &str) -> String {
        self.oob.shell(line)
    }

    pub(crate) fn run(&mut self) {
        let (dir, level) = (&self.dir, self.log_level);
        let program = program("domainmgr");
        let line = format!(
            "mkdir -p {dir}/config; exec {program} run --log-level {level} --config-dir {dir}/config --run-dir {dir}/run \
             --state-dir {dir}/state --dump-dir {dir}/dump --image-dir {dir}/img --verified-dir {dir}/verified \
             --hotplug-dir /nowhere 2>>{dir}/log",
        );
        let agent = self
            .oob
            .command(&line)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(agent);
        wait_for("the agent of beta", || self.verb("jobs").0);
    }

    /// The command that runs a line of the shell there, past the cable.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.oob.command(line)
    }

    /// Runs a verb there. Returns whether it succeeded, and what it said.
    pub(crate) fn verb(&self, words: &str) -> (bool, String) {
        let line = format!(
            "{} {words} --control {}",
            program("domainmgr"),
            self.socket()
        );
        let out = self.oob.command(&line).output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Has this agent send the guest to alpha, with this in the place of ssh.
    pub(crate) fn send_back(&self, app: &App, via: &str) -> (bool, String) {
        self.verb(&format!("migrate {} alpha --via '{via}'", app.name()))
    }

    pub(crate) fn socket(&self) -> String {
        format!("{}/run/control.sock", self.dir)
    }

    /// Kills the agent, if another thread has not done so already.
    pub(crate) fn kill(&mut self) {
        self.shell(KILL);
        let mut agent = self.agent.take().unwrap();
        agent.wait().unwrap();
    }

    pub(crate) fn address(&self) -> Address {
        Address::of(self.socket())
    }

    /// Returns how many domains have this uuid there, and how many of them run.
    pub(crate) fn domains(&self, app: &App) -> (usize, usize) {
        let list = self.shell(&format!("xl list -v | grep {} || true", app.key));
        // The state: r or b for one that runs, p or s for one that does not.
        let runs = |line: &&str| {
            let state = line.split_whitespace().nth(4).unwrap_or_default();
            !state.contains(['p', 's', 'c', 'd'])
        };
        (list.lines().count(), list.lines().filter(runs).count())
    }

    pub(crate) fn log(&self) -> String {
        self.shell(&format!("tail -n 60 {}/log", self.dir))
    }
}

impl Drop for Beta {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("beta's log:\n{}", self.log());
        }
        self.shell(
            "pkill -x domainmgr; for d in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $d; done; true",
        );
        Couriers::stop(&self.oob);
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// Directory for programs on the disk of each host. The one that they share is as slow as a network.
const PROGRAMS: &str = "/usr/local/bin";

/// Path of a program on both hosts, once they have been [`install`]ed.
pub(crate) fn program(name: &str) -> String {
    format!("{PROGRAMS}/{name}")
}

/// Copies a program that xtask puts beside this test to both hosts.
fn install(name: &str, there: &OutOfBand) {
    let path: PathBuf = env::current_exe().unwrap().with_file_name(name);
    let copy = format!("cp --remove-destination {} {PROGRAMS}/", path.display());
    let done = Command::new("sh").args(["-c", &copy]).status().unwrap();
    assert!(done.success(), "{copy}");
    there.shell(&copy);
}

/// Socket of an agent of either host.
pub(crate) struct Address(String);

impl Address {
    fn of(socket: impl Into<String>) -> Self {
        Self(socket.into())
    }

    pub(crate) fn here(host: &Host) -> Self {
        Self::of(host.path("run/control.sock").to_str().unwrap())
    }

    /// Words before a command line that have its `domainmgr` be the program of these tests, with the socket of this agent.
    pub(crate) fn there(&self) -> String {
        let (program, socket) = (program("domainmgr"), &self.0);
        format!("domainmgr() {{ exec {program} \"$@\" --control {socket}; }}; ")
    }

    /// The command that takes the place of ssh, for `--via`. A host that is gone is noticed soon.
    pub(crate) fn via(&self) -> String {
        self.through(&format!("ssh {}", IMPATIENT.join(" ")))
    }

    /// The same in the clear, which is much faster.
    pub(crate) fn via_courier(&self) -> String {
        self.through(&courier::command())
    }

    /// The same with this command, which takes a host and a line.
    fn through(&self, command: &str) -> String {
        let there = self.there().replace('$', "\\$").replace('"', "\\\"");
        format!("f() {{ exec {command} \"$1\" \"{there}$2\"; }}; f")
    }
}

/// Runs a verb of the agent on this host.
pub(crate) fn verb(host: &Host, words: &[&str]) -> (bool, String) {
    let out = Command::new(program("domainmgr"))
        .args(words)
        .arg("--control")
        .arg(host.path("run/control.sock"))
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    (
        out.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}
