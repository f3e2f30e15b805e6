//! An agent of its own for each test: the real program, a simulated Xen, a temporary directory.

pub mod adapters;
pub mod disks;
pub mod generate;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Speed of the simulation, as a multiple of real time.
pub const SPEED: u32 = 20;
/// Speed for states that last five seconds and must not be missed.
pub const SLOW: u32 = 4;
/// A time that is long enough on the slowest machine; nothing is asserted about time.
const PATIENCE: Duration = Duration::from_secs(60);

pub const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

pub struct Host {
    dir: tempfile::TempDir,
    agent: Option<Child>,
    pub speed: u32,
    /// Log level of the agent; `None` for that of its settings.
    pub log_level: Option<&'static str>,
    /// Additional environment variables of the agent.
    pub env: Vec<(&'static str, std::ffi::OsString)>,
}

impl Host {
    /// A copy of the program in this host's directory, where other users may come.
    ///
    /// This process must not have it open for writing: the copy could not be run while another test forks.
    pub fn copy_of_program(&self) -> PathBuf {
        let to = self.path("domainmgr");
        let from = env!("CARGO_BIN_EXE_domainmgr");
        let done = Command::new("cp").arg(from).arg(&to).status();
        assert!(done.unwrap().success());
        to
    }

    /// Lets other users reach the agent, and returns a way to run the program as one of them: it takes a command line, and gives the exit
    /// code and all that was printed.
    pub fn nobody(&self) -> impl Fn(&[&str]) -> (Option<i32>, String) {
        for dir in ["", "run"] {
            fs::set_permissions(self.path(dir), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = self.copy_of_program();
        let control = self.path("run/control.sock");
        move |line| {
            let output = Command::new(&program)
                .args(line)
                .arg("--control")
                .arg(&control)
                .stdin(Stdio::null())
                .uid(65534)
                .gid(65534)
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        }
    }

    /// A host on which no agent runs yet.
    pub fn new() -> Self {
        let host = Self {
            dir: directory(),
            agent: None,
            speed: SPEED,
            log_level: Some("debug"),
            env: Vec::new(),
        };
        for dir in ["config", "run/DomainStatus"] {
            fs::create_dir_all(host.path(dir)).unwrap();
        }
        fs::write(host.path("kernel"), "not really").unwrap();
        host
    }

    /// A host with an agent.
    pub fn start(args: &[&str]) -> Self {
        let mut host = Self::new();
        host.run(args);
        host
    }

    /// A host with an agent, and time slow enough that a state of five seconds is seen.
    pub fn start_slowly(args: &[&str]) -> Self {
        let mut host = Self::new();
        host.speed = SLOW;
        host.run(args);
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_domainmgr"));
        command
            .args([
                "run",
                "--simulate",
                "--simulate-speed",
                &self.speed.to_string(),
            ])
            .arg("--simulate-state")
            .arg(self.path("xen.json"))
            .arg("--config-dir")
            .arg(self.path("config"))
            .arg("--run-dir")
            .arg(self.path("run"))
            .args(self.log_level.iter().flat_map(|l| ["--log-level", l]))
            .args(args)
            .env_remove("RUST_LOG")
            .envs(self.env.iter().cloned());
        command
    }

    pub fn run(&mut self, args: &[&str]) {
        assert!(self.agent.is_none());
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.agent = Some(child);
    }

    /// Like [`Host::run`], after these commands in the same shell.
    pub fn run_after(&mut self, words: &str, args: &[&str]) {
        let plain = self.command(args);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{words}; exec \"$@\""), "sh"])
            .arg(plain.get_program())
            .args(plain.get_args());
        let log = fs::File::create(self.path("log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        self.agent = Some(child.unwrap());
    }

    /// Changes a limit of the running agent, by an option of prlimit(1).
    pub fn limit(&self, words: &str) {
        let done = Command::new("prlimit")
            .args(["--pid", &self.pid().to_string(), words])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// Lifts a limit of an agent that may have ended.
    pub fn lift(&self, words: &str) {
        let _ = Command::new("prlimit")
            .args(["--pid", &self.pid().to_string(), words])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }

    /// Waits until the agent ends on its own, and returns its exit status.
    pub fn wait_end(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        let mut agent = self.agent.take().unwrap();
        loop {
            if let Some(status) = agent.try_wait().unwrap() {
                return status;
            }
            if begin.elapsed() > PATIENCE {
                let _ = agent.kill();
                panic!("the agent does not end: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// Kills the agent with SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.agent.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// SIGTERM; the agent must end well.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        let status = self.agent.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    pub fn is_running(&mut self) -> bool {
        self.agent.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A DomainConfig that works, with changes.
    pub fn config(&self, key: &str, changes: &Value) -> Value {
        let mut config = json!({
            "UUIDandVersion": {"UUID": key, "Version": "1"},
            "DisplayName": &key[..1],
            "Activate": true,
            "AppNum": u32::from(key.as_bytes()[0] - b'a') + 1,
            "Kernel": self.path("kernel"),
            "Memory": 131_072,
            "VirtualizationMode": 0,
            "DiskConfigList": null,
            "VifList": null,
            "IoAdapterList": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        config
    }

    /// Puts a DomainConfig into place as zedmanager does.
    pub fn put(&self, key: &str, changes: &Value) {
        self.put_text(
            &format!("{key}.json"),
            &self.config(key, changes).to_string(),
        );
    }

    pub fn put_text(&self, name: &str, text: &str) {
        let temp = self.path("config").join("pubsub4711");
        fs::write(&temp, text).unwrap();
        fs::rename(temp, self.path("config").join(name)).unwrap();
    }

    pub fn remove(&self, key: &str) {
        fs::remove_file(self.path("config").join(format!("{key}.json"))).unwrap();
    }

    pub fn status_file(&self, key: &str) -> PathBuf {
        self.path("run/DomainStatus").join(format!("{key}.json"))
    }

    pub fn status(&self, key: &str) -> Option<Value> {
        let text = fs::read(self.status_file(key)).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// Waits until the DomainStatus is as wanted, and returns it.
    pub fn wait(&self, key: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        self.until(what, || {
            last = self.status(key);
            last.as_ref().is_some_and(&wanted)
        });
        last.unwrap()
    }

    pub fn wait_state(&self, key: &str, name: &str) -> Value {
        self.wait(key, name, |s| s["StateName"] == name)
    }

    pub fn wait_gone(&self, key: &str) {
        self.until("no DomainStatus", || !self.status_file(key).exists());
    }

    pub fn wait_log(&self, text: &str) {
        self.until(text, || self.log().contains(text));
    }

    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(
                begin.elapsed() < PATIENCE,
                "waited in vain for: {what}\nA: {:#?}\nxen: {}\n{}",
                self.status(A),
                self.xen(&["list"]),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Does something to Xen without the agent.
    pub fn xen(&self, words: &[&str]) -> String {
        let out = Command::new(env!("CARGO_BIN_EXE_domainmgr"))
            .args(["simulated", "--speed", &self.speed.to_string(), "--state"])
            .arg(self.path("xen.json"))
            .args(words)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// Runs a verb, and returns its exit code and output.
    pub fn verb(&self, words: &[&str]) -> (i32, String) {
        let words: Vec<&str> = words.iter().copied().chain(["--control"]).collect();
        let out = domainmgr(&words, &[&self.path("run/control.sock")]);
        let said = [out.stdout, out.stderr].concat();
        (out.status.code().unwrap(), text(&said))
    }

    /// Runs a verb that must succeed, and returns its output.
    #[track_caller]
    pub fn does(&self, words: &[&str]) -> String {
        let (code, said) = self.verb(words);
        assert_eq!(code, 0, "{words:?}: {said}");
        said
    }

    /// Runs a verb that must fail with this exit code, and for this reason.
    #[track_caller]
    pub fn fails(&self, words: &[&str], code: i32, reason: &str) {
        let (found, said) = self.verb(words);
        assert!(
            found == code && said.contains(reason),
            "{words:?}: {found}: {said}"
        );
    }

    /// Returns the number of domains, dying ones left out.
    pub fn domains(&self) -> usize {
        let list = self.xen(&["list"]);
        list.split("; ")
            .filter(|d| !d.is_empty() && !d.ends_with("Dying"))
            .count()
    }
}

/// Creates a directory in memory, as /run is, unless there is little room, as in a container.
///
/// Every file is written with an fsync, which on a disk takes longer than some states last.
fn directory() -> tempfile::TempDir {
    const ROOM: u64 = 1 << 30;
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize >= ROOM);
    let in_memory = roomy.then(|| tempfile::tempdir_in(memory));
    match in_memory {
        Some(Ok(dir)) => dir,
        _ => tempfile::tempdir().unwrap(),
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.agent.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program that goes on by itself. It ends with its test, also with one that fails: whoever reads the output of the tests
/// waits for every process that may write to it.
pub struct Ongoing(pub Child);

impl Ongoing {
    /// Starts it, and returns what it prints, line by line.
    pub fn start(command: &mut Command) -> (Self, Lines<BufReader<ChildStdout>>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        (Self(child), BufReader::new(stdout).lines())
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn domid(status: &Value) -> u64 {
    status["DomainId"].as_u64().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn domainmgr(args: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_domainmgr"))
        .args(args)
        .args(paths)
        .output()
        .unwrap()
}
