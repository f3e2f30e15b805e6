//! Two managers of domains: the agent, and `xl`, which leaves one process running for each domain.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use libxl::{Context, DomId, Domain};
use serde_json::json;

use crate::{
    changes::Changes,
    host::{App, Host},
    support::unique,
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

/// Domains without a manager: `libxl_domain_create_new` in a loop.
pub(crate) struct Bare {
    ctx: Context,
    domains: Vec<Domain>,
}

impl Bare {
    pub(crate) fn start(ctx: &Context) -> Self {
        Self {
            ctx: ctx.clone(),
            domains: Vec::new(),
        }
    }

    pub(crate) fn start_domains(&mut self, count: usize) {
        for _ in 0..count {
            let config = crate::support::tiny_config(crate::support::Kind::Pv, "bare", "");
            let created = self.ctx.domain_create_new(&config).unwrap().wait().unwrap();
            let domain = self.ctx.domain(created);
            domain.unpause().wait().unwrap();
            self.domains.push(domain);
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
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
