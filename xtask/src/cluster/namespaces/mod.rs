//! Simulated nodes: each has namespaces of its own, and a switch joins them.

mod xen;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::nodes::Nodes;
use super::prepare::{self, Files};
use crate::cargo::Cargo;
use crate::lab::lock::Lock;
use crate::{paths, tool};

/// Time that the namespaces of a node, or of the switch, take to appear at most.
const APPEARS: Duration = Duration::from_secs(10);

/// Names of the nodes. The number of each is its place, from 1.
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Namespaces that are a node.
const NAMESPACES: [&str; 5] = ["--mount", "--uts", "--net", "--ipc", "--pid"];

/// A node.
#[derive(Debug, Default)]
struct Node {
    /// The process that ends with this one, and with which the node ends. `None` while the power is cut.
    child: Option<Child>,
    /// Its first process.
    init: u32,
    boots: u32,
    /// The end of its cable at the switch.
    port: String,
    unplugged: bool,
}

/// All nodes, and the switch.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Directory of the nodes.
    dir: PathBuf,
    /// Their file tree.
    tree: PathBuf,
    /// The directory that all have as `/trial`.
    all: PathBuf,
    /// Files of the simulated Xens.
    xens: Vec<PathBuf>,
    switch: Child,
    nodes: Mutex<[Node; NODES.len()]>,
    _lock: Lock,
}

impl Namespaces {
    /// Makes the switch, and the files of the nodes.
    pub(crate) fn new(built: Option<&Path>) -> Result<Self> {
        let lock = Lock::take("cluster")?;
        let tree = prepare::tree(&prepare::suite_here()?)?;
        let agent = match built {
            Some(path) => path.to_owned(),
            None => prepare::agent(&Cargo::native(), &["--release", "--package=domainmgr"])?,
        };
        let dir = paths::root().join("target/cluster");
        prepare::remove(&dir)?;
        let all = dir.join("all");
        let files = Files {
            names: &NODES,
            agent: &agent,
            guest: "type = \"pvh\"\nkernel = \"/trial/kernel\"\nmemory = 128\nextra = \"sim.stop=0.5\"",
            token: 2000,
            scripts: &[
                ("node.sh", include_str!("node.sh")),
                ("services.sh", include_str!("services.sh")),
                ("kernel", "a kernel that nobody runs\n"),
            ],
        };
        files.make(&all)?;
        let switch = tool::dies_with_us("KILL", "unshare")
            .args(["--net", "--", "sh", "-c"])
            .arg("ip link add br0 type bridge && ip link set br0 up && exec sleep infinity")
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the switch")?;
        let xens = NODES.map(|node| dir.join(node).join("xen/xen.json"));
        let nodes = Self {
            dir,
            tree,
            all,
            xens: xens.into(),
            switch,
            nodes: Mutex::default(),
            _lock: lock,
        };
        let begin = Instant::now();
        while !nodes.at_switch("link show br0") {
            if begin.elapsed() > APPEARS {
                bail!("the switch does not appear");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(nodes)
    }

    fn lock(&self) -> MutexGuard<'_, [Node; NODES.len()]> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `ip` in the network namespace of the switch. Returns whether that succeeded.
    fn at_switch(&self, words: &str) -> bool {
        Command::new("nsenter")
            .args([
                "--target",
                &self.switch.id().to_string(),
                "--net",
                "--",
                "ip",
            ])
            .args(words.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Directory of the node's own files.
    fn own(&self, node: usize) -> PathBuf {
        self.dir.join(NODES[node])
    }
}

impl Nodes for Namespaces {
    fn names(&self) -> &'static [&'static str] {
        &NODES
    }

    fn shared(&self) -> &Path {
        &self.all
    }

    fn boot(&self, node: usize) -> Result<()> {
        let mut all = self.lock();
        let this = &mut all[node];
        if this.child.is_some() {
            return Ok(());
        }
        let own = self.own(node);
        fs::create_dir_all(own.join("log"))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(own.join("log/node.log"))?;
        let child = tool::dies_with_us("KILL", "unshare")
            .args(NAMESPACES)
            .args(["--fork", "--kill-child", "--", "sh"])
            .arg(self.all.join("node.sh"))
            .args([NODES[node], &(node + 1).to_string()])
            .args([&self.tree, &own, &self.all])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start a node")?;
        this.init = first_child(child.id())?;
        this.child = Some(child);
        this.boots += 1;
        this.port = format!("{}{}", NODES[node], this.boots);
        let cable = format!(
            "link add {} type veth peer name eth0 netns {}",
            this.port, this.init
        );
        if !self.at_switch(&cable) || !self.at_switch(&format!("link set {} master br0", this.port))
        {
            bail!("{}: its cable cannot be plugged in", NODES[node]);
        }
        if !this.unplugged {
            self.at_switch(&format!("link set {} up", this.port));
        }
        Ok(())
    }

    fn cut(&self, node: usize) -> Result<()> {
        let mut all = self.lock();
        let this = &mut all[node];
        if let Some(mut child) = this.child.take() {
            if let Some(init) = pid(this.init) {
                let _ = kill_process(init, Signal::KILL);
            }
            child.wait()?;
        }
        let xen = self.own(node).join("xen");
        for file in fs::read_dir(xen).into_iter().flatten().flatten() {
            fs::remove_file(file.path())?;
        }
        Ok(())
    }

    fn plug(&self, node: usize, plugged: bool) {
        let mut all = self.lock();
        let this = &mut all[node];
        this.unplugged = !plugged;
        let how = if plugged { "up" } else { "down" };
        self.at_switch(&format!("link set {} {how}", this.port));
    }

    fn is_on(&self, node: usize) -> bool {
        self.lock()[node].child.is_some()
    }

    fn is_reachable(&self, node: usize) -> bool {
        let all = self.lock();
        all[node].child.is_some() && !all[node].unplugged
    }

    fn command(&self, node: usize, words: &[&str]) -> Command {
        let init = self.lock()[node].init.to_string();
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &init, "--root", "--wd"])
            .args(NAMESPACES)
            .args(["--", "timeout", "120"])
            .args(words)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    fn kill_agent(&self, node: usize) {
        let _ = self
            .command(node, &["pkill", "-KILL", "-f", "domainmgr run --simulate"])
            .status();
    }

    fn destroy_guest(&self, node: usize) -> Result<()> {
        let words = ["domainmgr", "simulated", "--state", "/xen/xen.json"];
        tool::output(self.command(node, &words).args(["destroy", prepare::NAME]))?;
        Ok(())
    }

    fn copies(&self) -> Vec<usize> {
        xen::copies(&self.xens)
    }

    fn boots(&self) -> u64 {
        xen::boots(&self.xens)
    }

    fn loses_split(&self) -> Option<usize> {
        // The one that is cut off, because the other two are the majority.
        None
    }

    fn left_out(&self) -> &'static [&'static str] {
        &[]
    }

    fn migration(&self) -> Duration {
        Duration::from_millis(2500)
    }

    fn migration_at_most(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(150)
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(5)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for node in 0..NODES.len() {
            let _ = self.cut(node);
        }
        let _ = self.switch.kill();
        let _ = self.switch.wait();
    }
}

fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Waits for the only child of a process.
fn first_child(parent: u32) -> Result<u32> {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let first = text.unwrap_or_default();
        if let Some(child) = first.split_whitespace().next().and_then(|c| c.parse().ok()) {
            return Ok(child);
        }
        if begin.elapsed() > APPEARS {
            bail!("a node ended before it began");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says in words what the nodes lack.
pub(crate) fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the nodes need namespaces of their own, which only root can make here: run this as root"
        );
    }
    let tried = Command::new("unshare")
        .args(["--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /mnt && hostname trial && ip link add trial0 type veth peer name trial1 && ip link add br0 type bridge")
        .output()
        .context("cannot run unshare, of the package util-linux")?;
    if !tried.status.success() {
        bail!(
            "this machine gives no namespaces with mounts, bridges and virtual cables, as in a container with fewer rights: {}",
            String::from_utf8_lossy(&tried.stderr).trim()
        );
    }
    Ok(())
}
