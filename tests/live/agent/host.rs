//! A separate agent for each test: the real program on the real Xen, in temporary directories.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use libxl::{Context, DomId, Domain, DomainId, DomainState, console::ConsoleType};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    Hope, LONG, QUICK, context, hotplug_dir, is_up, unique, wait_for, wait_until_up,
};

pub(crate) struct Host {
    dir: tempfile::TempDir,
    agent: Option<Child>,
    ctx: Context,
    /// Keys of all apps. Their domains must be gone at the end.
    keys: RefCell<Vec<Uuid>>,
    /// Arguments of the agent's first start.
    args: Vec<String>,
}

/// A shell on a guest's console.
pub(crate) struct Shell {
    tty: File,
    said: String,
}

impl Shell {
    /// Runs a command in the guest, and returns its output.
    #[track_caller]
    pub(crate) fn run(&mut self, command: &str) -> String {
        // The console also shows the typed line, so the line must not contain the mark itself.
        let line = format!("{command}; echo mark''-$?-ed\n");
        self.tty.write_all(line.as_bytes()).unwrap();
        self.said.clear();
        let deadline = std::time::Instant::now() + LONG;
        loop {
            if let Some((said, rest)) = self.said.split_once("mark-") {
                if let Some((status, _)) = rest.split_once("-ed") {
                    assert_eq!(status, "0", "{command}: {said}");
                    return said.to_owned();
                }
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{command}: no end of it: {}",
                self.said
            );
            let mut poll = [rustix::event::PollFd::new(
                &self.tty,
                rustix::event::PollFlags::IN,
            )];
            let tick = rustix::event::Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            if rustix::event::poll(&mut poll, Some(&tick)).unwrap() > 0 {
                let mut some = [0; 4096];
                let read = self.tty.read(&mut some).unwrap();
                self.said.push_str(&String::from_utf8_lossy(&some[..read]));
            }
        }
    }
}

/// The key of a domain, and its name.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) key: String,
    pub(crate) display_name: String,
    pub(crate) number: usize,
}

impl App {
    /// Returns the name that the agent gives to the domain.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.display_name, self.number)
    }
}

impl Host {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let mut host = Self::without_agent(args);
        host.run(args);
        host
    }

    /// Returns a host whose agent will be started with `args`.
    pub(crate) fn without_agent(args: &[&str]) -> Self {
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
            agent: None,
            ctx: context(),
            keys: RefCell::default(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
        };
        for dir in ["config", "auto"] {
            fs::create_dir_all(host.path(dir)).unwrap();
        }
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn run(&mut self, args: &[&str]) {
        self.run_program("domainmgr", &[], args);
    }

    /// Starts this program as the agent, with these variables in the environment.
    pub(crate) fn run_program(&mut self, name: &str, vars: &[(&str, &str)], args: &[&str]) {
        // xtask puts the agent beside this test.
        let program = env::current_exe().unwrap().with_file_name(name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = Command::new(&program);
        command.arg("run");
        if !args.contains(&"--log-level") {
            command.args(["--log-level", "debug"]);
        }
        for (flag, dir) in [
            ("--config-dir", "config"),
            ("--xl-dir", "auto"),
            ("--run-dir", "run"),
            ("--state-dir", "state"),
            ("--dump-dir", "dump"),
            ("--image-dir", "img"),
            ("--verified-dir", "verified"),
        ] {
            // A flag may only be given once.
            if !args.contains(&flag) {
                command.arg(flag).arg(self.path(dir));
            }
        }
        if !args.contains(&"--hotplug-dir") {
            command.arg("--hotplug-dir").arg(hotplug_dir());
        }
        let agent = command
            .args(args)
            .envs(vars.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        self.agent = Some(agent);
    }

    /// Runs `domainmgr resume`, as an operator does.
    pub(crate) fn resume(&self, app: &App) -> Output {
        let program = env::current_exe().unwrap().with_file_name("domainmgr");
        Command::new(program)
            .args(["resume", &app.name(), "--status-dir"])
            .arg(self.path("run/DomainStatus"))
            .output()
            .unwrap()
    }

    /// Starts the agent with the arguments of its first start.
    pub(crate) fn start_again(&mut self) {
        let args = self.args.clone();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.run(&args);
    }

    /// Changes the file given as `--network-status`.
    pub(crate) fn set_ports(&self, text: &str) {
        let at = self.args.iter().position(|a| a == "--network-status");
        let path = PathBuf::from(&self.args[at.unwrap() + 1]);
        let temp = path.with_extension("part");
        fs::write(&temp, text).unwrap();
        fs::rename(temp, path).unwrap();
    }

    /// Returns the exit status of the agent, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.agent.as_mut()?.try_wait().unwrap()
    }

    /// Kills the agent with SIGKILL, if another thread has not done so already.
    pub(crate) fn kill(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the agent's log contains this text.
    #[track_caller]
    pub(crate) fn wait_log(&self, text: &str) {
        wait_for(text, || self.log().contains(text));
    }

    /// Creates an app with a name that no other test uses. The agent is not told about it yet.
    pub(crate) fn app(&self, hint: &str) -> App {
        self.named(&unique(hint))
    }

    /// Creates an app with this name.
    pub(crate) fn named(&self, name: &str) -> App {
        let key = Uuid::new_v4();
        self.keys.borrow_mut().push(key);
        App {
            key: key.to_string(),
            display_name: name.to_owned(),
            number: self.keys.borrow().len(),
        }
    }

    /// Writes a DomainConfig: a lab guest of this mode that does `action`, with changes.
    pub(crate) fn put(&self, app: &App, mode: &str, action: &str, changes: &Value) {
        let kernel = if mode == "HVM" {
            "/lab/guest/vmlinuz"
        } else {
            "/lab/guest/vmlinux"
        };
        let mut config = json!({
            "UUIDandVersion": {"UUID": app.key, "Version": "1"},
            "DisplayName": app.display_name,
            "Activate": true,
            "AppNum": app.number,
            "Kernel": kernel,
            "Ramdisk": "/lab/guest/initrd",
            "Memory": 128 << 10,
            "VCpus": 1,
            "VirtualizationMode": mode,
            "ExtraArgs": format!("console=hvc0 {QUICK} {action}"),
            "DiskConfigList": null,
            "VifList": null,
            "IoAdapterList": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        let temp = self.path("config").join("pubsub1");
        fs::write(&temp, config.to_string()).unwrap();
        fs::rename(temp, self.path("config").join(format!("{}.json", app.key))).unwrap();
    }

    /// Same as [`Self::put`], with the small guest.
    pub(crate) fn put_tiny(&self, app: &App, mode: &str, params: &str, changes: &Value) {
        let (kernel, mib) = if mode == "HVM" {
            ("/share/guest/tiny-hvm", 32)
        } else {
            ("/share/guest/tiny", 4)
        };
        let mut all = json!({"Kernel": kernel, "Ramdisk": "", "Memory": mib << 10});
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.put(app, mode, params, &all);
    }

    /// Returns the process id of the agent.
    pub(crate) fn process(&self) -> u32 {
        self.agent.as_ref().expect("the agent runs").id()
    }

    /// Sends the agent a signal.
    pub(crate) fn signal(&self, name: &str) {
        let agent = self.process().to_string();
        let kill = Command::new("kill")
            .args([format!("-{name}"), agent])
            .status()
            .unwrap();
        assert!(kill.success());
    }

    pub(crate) fn remove(&self, app: &App) {
        fs::remove_file(self.path("config").join(format!("{}.json", app.key))).unwrap();
    }

    pub(crate) fn status(&self, app: &App) -> Option<Value> {
        let path = self
            .path("run/DomainStatus")
            .join(format!("{}.json", app.key));
        Some(serde_json::from_slice(&fs::read(path).ok()?).unwrap())
    }

    /// Waits until the DomainStatus is as wanted, and returns it.
    #[track_caller]
    pub(crate) fn wait(&self, app: &App, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = std::time::Instant::now();
        let mut hope = Hope::for_guest(&app.name());
        loop {
            let status = self.status(app);
            // The condition may depend on a guest that is still coming up.
            let over = begin.elapsed() > LONG && (hope.lost().is_some() || is_up(&app.name()));
            match status {
                Some(status) if wanted(&status) => return status,
                status => assert!(
                    !over && begin.elapsed() < 4 * LONG,
                    "waited in vain for {}: {what}\nlast: {status:#?}",
                    app.name(),
                ),
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    pub(crate) fn wait_state(&self, app: &App, name: &str) -> Value {
        self.wait(app, name, |status| {
            // Waiting for a domain that has failed for good would only take long.
            let hopeless = name == "RUNNING" && status["BootFailed"] == true;
            assert!(
                !hopeless,
                "{} does not boot: {}",
                app.name(),
                status["LastErr"]
            );
            status["StateName"] == name
        })
    }

    /// Waits until the domain is RUNNING and the guest has printed its first line.
    #[track_caller]
    pub(crate) fn wait_up(&self, app: &App) -> Value {
        self.wait_state(app, "RUNNING");
        wait_until_up(&app.name(), || ());
        // Checked again: a guest that resets early is restarted by the agent as another domain.
        self.wait_state(app, "RUNNING")
    }

    /// Waits until the DomainStatus is gone, and checks that no domain is left.
    #[track_caller]
    pub(crate) fn wait_gone(&self, app: &App) {
        wait_for("no DomainStatus", || self.status(app).is_none());
        assert_eq!(
            self.domains(app),
            [],
            "a status that is gone says the domain is"
        );
    }

    /// Returns the domains of an app, except dying ones.
    pub(crate) fn domains(&self, app: &App) -> Vec<DomId> {
        let uuid = Uuid::parse_str(&app.key).unwrap();
        let list = self.ctx.list_domains().unwrap();
        list.iter()
            .filter(|d| d.uuid == uuid && !d.dying)
            .map(|d| d.domid)
            .collect()
    }

    /// Returns a handle to the only domain of an app, for actions of another toolstack.
    pub(crate) fn outsider(&self, app: &App) -> Domain {
        let domains = self.domains(app);
        assert_eq!(domains.len(), 1, "{}", app.name());
        self.ctx.domain_by_domid(domains[0]).unwrap()
    }

    /// Opens the shell on the console of the lab's Linux.
    #[track_caller]
    pub(crate) fn shell(&self, app: &App) -> Shell {
        // An HVM guest has its shell on the paravirtual console as well. Its first console is the serial line.
        let mut path = None;
        // xenconsoled makes the terminal after the domain has been made, perhaps later than the domain runs.
        wait_for("a console", || {
            path = self.outsider(app).console_tty(0, ConsoleType::Pv).ok();
            path.is_some()
        });
        let path = path.unwrap();
        let tty = File::options().read(true).write(true).open(path).unwrap();
        let mut raw = rustix::termios::tcgetattr(&tty).unwrap();
        raw.make_raw();
        rustix::termios::tcsetattr(&tty, rustix::termios::OptionalActions::Now, &raw).unwrap();
        Shell {
            tty,
            said: String::new(),
        }
    }

    /// Returns the number of voluntary context switches of the agent's threads, by name.
    pub(crate) fn switches(&self) -> BTreeMap<String, u64> {
        let tasks = format!("/proc/{}/task", self.process());
        let mut found = BTreeMap::new();
        for task in fs::read_dir(tasks).unwrap() {
            let status = task.unwrap().path().join("status");
            let text = fs::read_to_string(status).unwrap();
            let value = |field: &str| {
                let line = text.lines().find_map(|l| l.strip_prefix(field));
                line.unwrap().trim().to_owned()
            };
            let count: u64 = value("voluntary_ctxt_switches:").parse().unwrap();
            *found.entry(value("Name:")).or_default() += count;
        }
        found
    }

    pub(crate) fn state(&self, app: &App, domid: u32) -> Option<DomainState> {
        let id = DomainId {
            domid: DomId(domid),
            uuid: Uuid::parse_str(&app.key).unwrap(),
        };
        self.ctx.domain(id).info().ok().map(|info| info.state())
    }
}

pub(crate) fn domid(status: &Value) -> u32 {
    u32::try_from(status["DomainId"].as_u64().unwrap()).unwrap()
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
        let keys = self.keys.borrow();
        for info in self.ctx.list_domains().unwrap_or_default() {
            if keys.contains(&info.uuid) {
                // If this fails, the domain is already gone, or it shows in the list that the lab prints.
                let _ = self.ctx.domain(info.id()).destroy().wait();
            }
        }
    }
}
