//! The other host, and its agent.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use crate::agent::host::{App, Host};
use crate::support::{unique, wait_for};

/// Options of ssh, with which a host that is gone is noticed soon.
const IMPATIENT: [&str; 4] = ["-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=4"];

/// The agent of the other host.
pub(crate) struct Beta {
    dir: String,
    agent: Option<Child>,
}

impl Beta {
    pub(crate) fn start() -> Self {
        let mut beta = Self {
            dir: format!("/tmp/{}", unique("beta")),
            agent: None,
        };
        beta.run();
        beta
    }

    /// Runs a command of the shell there, past the cable.
    pub(crate) fn shell(line: &str) -> String {
        let out = Command::new("ssh")
            .args(["beta-oob", line])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{line}: {said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        said
    }

    pub(crate) fn run(&mut self) {
        let dir = &self.dir;
        let program = program("domainmgr");
        let line = format!(
            "mkdir -p {dir}/config; exec {program} run --log-level debug --config-dir {dir}/config --run-dir {dir}/run \
             --state-dir {dir}/state --dump-dir {dir}/dump --image-dir {dir}/img --verified-dir {dir}/verified \
             --hotplug-dir /nowhere 2>>{dir}/log",
        );
        let agent = Command::new("ssh")
            .args(["beta-oob", &line])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(agent);
        wait_for("the agent of beta", || self.verb("jobs").0);
    }

    /// Runs a verb there. Returns whether it succeeded, and what it said.
    pub(crate) fn verb(&self, words: &str) -> (bool, String) {
        let line = format!(
            "{} {words} --control {}",
            program("domainmgr"),
            self.socket()
        );
        let out = Command::new("ssh")
            .args(["beta-oob", &line])
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Has this agent send the guest to the one with this socket on alpha.
    pub(crate) fn send_back(&self, app: &App, socket: &Path) -> (bool, String) {
        self.verb(&format!(
            "migrate {} alpha --via 'f() {{ exec ssh \"$1\" \"domainmgr() {{ exec {} \\\"\\$@\\\" --control {}; }}; $2\"; }}; f'",
            app.name(),
            program("domainmgr"),
            socket.display()
        ))
    }

    pub(crate) fn socket(&self) -> String {
        format!("{}/run/control.sock", self.dir)
    }

    pub(crate) fn kill(&mut self) {
        Self::shell("pkill -9 -x domainmgr || true");
        let mut agent = self.agent.take().unwrap();
        agent.wait().unwrap();
    }

    /// The command that takes the place of ssh, for `--via`. A host that is gone is noticed soon.
    pub(crate) fn via(&self) -> String {
        let there = self
            .address()
            .there()
            .replace('$', "\\$")
            .replace('"', "\\\"");
        format!(
            "f() {{ exec ssh {} \"$1\" \"{there}$2\"; }}; f",
            IMPATIENT.join(" ")
        )
    }

    pub(crate) fn address(&self) -> Address {
        Address(self.socket())
    }

    /// Returns how many domains have this uuid there, and how many of them run.
    pub(crate) fn domains(app: &App) -> (usize, usize) {
        let list = Self::shell(&format!("xl list -v | grep {} || true", app.key));
        // The state: r or b for one that runs, p or s for one that does not.
        let runs = |line: &&str| {
            let state = line.split_whitespace().nth(4).unwrap_or_default();
            !state.contains(['p', 's', 'c', 'd'])
        };
        (list.lines().count(), list.lines().filter(runs).count())
    }

    pub(crate) fn log(&self) -> String {
        Self::shell(&format!("tail -n 60 {}/log", self.dir))
    }
}

impl Drop for Beta {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("beta's log:\n{}", self.log());
        }
        Self::shell(
            "pkill -x domainmgr; for d in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $d; done; true",
        );
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// Path of a program that xtask puts beside this test, on both hosts.
pub(crate) fn program(name: &str) -> String {
    let path: PathBuf = env::current_exe().unwrap().with_file_name(name);
    path.to_str().unwrap().to_owned()
}

/// Socket of an agent of beta.
pub(crate) struct Address(String);

impl Address {
    /// Returns the command that runs a line there, over the cable. The line calls `domainmgr`.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(IMPATIENT).arg("beta");
        ssh.arg(format!("{}{line}", self.there()));
        ssh
    }

    /// Words before a command line that have its `domainmgr` be the program of these tests, with the socket of this agent.
    fn there(&self) -> String {
        let (program, socket) = (program("domainmgr"), &self.0);
        format!("domainmgr() {{ exec {program} \"$@\" --control {socket}; }}; ")
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
