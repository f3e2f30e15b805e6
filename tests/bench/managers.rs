//! Managers of domains: the agent, `xl`, which leaves one process running for each domain, and the least that one can do, in C.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use libxl::{Context, DomId, Domain};
use serde_json::json;

use crate::{
    changes::Changes,
    host::{App, Host},
    support::{Kind, LONG, tiny_config, unique},
};

/// A program that starts domains and handles their deaths.
pub(crate) trait Manager {
    /// Name of the manager in the table.
    const NAME: &'static str;

    /// Starts this many more domains, and returns when all of them run.
    fn start_domains(&mut self, count: usize);

    /// Returns the domains of this manager, the newest last.
    fn domains(&self) -> Vec<Domain>;

    /// Returns when users of the manager can see that this domain, which has shut down, was dealt with.
    fn wait_dealt_with(&mut self, domain: &Domain);

    /// Returns the ids of the manager's processes.
    fn processes(&self) -> Vec<u32>;
}

/// The agent, `domainmgr`.
pub(crate) struct Agent {
    host: Host,
    apps: Vec<App>,
    changes: Changes,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let host = Host::start_with(&["--log-level", "info"]);
        let statuses = host.path("run/DomainStatus");
        fs::create_dir_all(&statuses).unwrap();
        Self {
            changes: Changes::of(&statuses),
            host,
            apps: Vec::new(),
        }
    }

    fn app(&self, domain: &Domain) -> App {
        let key = domain.id().uuid.to_string();
        let app = self.apps.iter().find(|app| app.key == key);
        app.expect("a domain of the agent's").clone()
    }

    /// Returns when the DomainStatus shows this state.
    pub(crate) fn wait_state(&mut self, app: &App, state: &str) {
        let host = &self.host;
        self.changes.wait_for(state, || {
            host.status(app)
                .is_some_and(|status| status["StateName"] == state)
        });
    }

    pub(crate) fn wait_gone(&mut self, app: &App) {
        let host = &self.host;
        self.changes.wait_for("gone", || host.status(app).is_none());
    }

    /// Creates another DomainConfig.
    pub(crate) fn put(&mut self, params: &str) -> App {
        let app = self.host.app("agent");
        self.host.put_tiny(&app, "PV", params, &json!({}));
        self.apps.push(app.clone());
        app
    }

    /// Returns the path of the agent's control socket.
    pub(crate) fn control(&self) -> PathBuf {
        self.host.path("run/control.sock")
    }

    /// Removes a DomainConfig.
    pub(crate) fn remove(&self, app: &App) {
        self.host.remove(app);
    }
}

impl Manager for Agent {
    const NAME: &'static str = "domainmgr";

    fn start_domains(&mut self, count: usize) {
        let apps: Vec<App> = (0..count).map(|_| self.put("")).collect();
        for app in &apps {
            self.wait_state(app, "RUNNING");
        }
    }

    fn domains(&self) -> Vec<Domain> {
        self.apps
            .iter()
            .map(|app| self.host.outsider(app))
            .collect()
    }

    fn wait_dealt_with(&mut self, domain: &Domain) {
        let app = self.app(domain);
        self.wait_state(&app, "HALTED");
        self.apps.retain(|other| other.key != app.key);
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.host.process()]
    }
}

/// `xl`, for comparison.
pub(crate) struct Xl {
    ctx: Context,
    dir: tempfile::TempDir,
    domains: Vec<Domain>,
}

impl Xl {
    pub(crate) fn start(ctx: &Context) -> Self {
        Self {
            ctx: ctx.clone(),
            dir: tempfile::tempdir().unwrap(),
            domains: Vec::new(),
        }
    }

    fn create(&mut self) {
        let name = unique("xl");
        let file = self.dir.path().join(&name);
        let config = format!(
            "name = \"{name}\"\ntype = \"pv\"\nkernel = \"/share/guest/tiny\"\nmemory = 4\nvcpus = 1\n"
        );
        fs::write(&file, config).unwrap();
        let create = Command::new("xl")
            .arg("create")
            .arg("-q")
            .arg(&file)
            .output()
            .unwrap();
        assert!(create.status.success(), "{create:?}");
        let domid = self.ctx.name_to_domid(&name).unwrap();
        self.domains.push(self.ctx.domain_by_domid(domid).unwrap());
    }
}

impl Manager for Xl {
    const NAME: &'static str = "xl";

    fn start_domains(&mut self, count: usize) {
        for _ in 0..count {
            self.create();
        }
    }

    fn domains(&self) -> Vec<Domain> {
        self.domains.clone()
    }

    fn wait_dealt_with(&mut self, domain: &Domain) {
        self.domains.retain(|other| other.id() != domain.id());
    }

    /// Returns one process per domain, detached from its terminal.
    fn processes(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(proc(pid).join("comm")).ok()?;
            (name.trim() == "xl").then_some(pid)
        });
        processes.collect()
    }
}

impl Drop for Xl {
    fn drop(&mut self) {
        for domain in &self.domains {
            // Fails if the domain is already gone.
            let _ = domain.destroy().wait();
        }
    }
}

/// The least that a manager does, in C (`manager.c`).
pub(crate) struct C {
    ctx: Context,
    child: Child,
    ask: ChildStdin,
    /// The lines that it says.
    said: Receiver<String>,
    domains: Vec<Domain>,
    _config: tempfile::NamedTempFile,
}

impl C {
    pub(crate) fn start(ctx: &Context) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = tiny_config(Kind::Pv, "c", "");
        fs::write(&file, serde_json::to_string(&config).unwrap()).unwrap();
        // As many side by side as the agent builds.
        let builds = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut child = Command::new(env::current_exe().unwrap().with_file_name("manager"))
            .arg(file.path())
            .arg(builds.max(2).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, said) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Self {
            ctx: ctx.clone(),
            ask: child.stdin.take().unwrap(),
            child,
            said,
            domains: Vec::new(),
            _config: file,
        }
    }

    /// Returns the number of the next domain of which it says this.
    fn wait(&self, word: &str) -> DomId {
        loop {
            let line = self.said.recv_timeout(LONG).unwrap();
            if let Some(domid) = line.strip_prefix(word) {
                return DomId(domid.trim().parse().unwrap());
            }
        }
    }
}

impl Manager for C {
    const NAME: &'static str = "C";

    fn start_domains(&mut self, count: usize) {
        writeln!(self.ask, "start {count}").unwrap();
        for _ in 0..count {
            let domid = self.wait("runs");
            self.domains.push(self.ctx.domain_by_domid(domid).unwrap());
        }
    }

    fn domains(&self) -> Vec<Domain> {
        self.domains.clone()
    }

    fn wait_dealt_with(&mut self, domain: &Domain) {
        while self.wait("dead") != domain.id().domid {}
        self.domains.retain(|other| other.id() != domain.id());
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.child.id()]
    }
}

impl Drop for C {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for domain in &self.domains {
            let _ = domain.destroy().wait();
        }
    }
}

pub(crate) fn proc(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Returns the CPU time of dom0 since its creation, in nanoseconds.
pub(crate) fn dom0_nanos(ctx: &Context) -> u64 {
    ctx.domain_info(DomId::DOM0).unwrap().cpu_time_ns
}
