//! The nodes, their power, and the switch that joins them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::prepare::{NODES, Trial};
use crate::tool;

/// Time that the namespaces of a node, or of the switch, take to appear at most.
const APPEARS: Duration = Duration::from_secs(10);

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
pub(crate) struct Nodes {
    pub(crate) trial: Trial,
    switch: Child,
    nodes: Mutex<[Node; NODES.len()]>,
}

impl Nodes {
    /// Makes the switch. The nodes are off.
    pub(crate) fn new(trial: Trial) -> Result<Self> {
        let switch = tool::dies_with_us("KILL", "unshare")
            .args(["--net", "--", "sh", "-c"])
            .arg("ip link add br0 type bridge && ip link set br0 up && exec sleep infinity")
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the switch")?;
        let nodes = Self {
            trial,
            switch,
            nodes: Mutex::default(),
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
    pub(crate) fn own(&self, node: usize) -> PathBuf {
        self.trial.dir.join(NODES[node])
    }

    /// Switches a node on, if it is off.
    pub(crate) fn boot(&self, node: usize) -> Result<()> {
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
            .arg(self.trial.all().join("node.sh"))
            .args([NODES[node], &(node + 1).to_string()])
            .args([&self.trial.tree, &own, &self.trial.all()])
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
        self.tell(node, "on");
        Ok(())
    }

    /// Cuts the power of a node. Its simulated Xen forgets its domains, and its disks stay.
    pub(crate) fn cut(&self, node: usize) -> Result<()> {
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
        self.tell(node, "off");
        Ok(())
    }

    /// Leaves the state of the power where the fence agent looks for it.
    fn tell(&self, node: usize, state: &str) {
        let file = self
            .trial
            .all()
            .join("power")
            .join(format!("{}.state", NODES[node]));
        let _ = fs::write(file, format!("{state}\n"));
    }

    /// Cuts the cable of a node, or plugs it in again.
    pub(crate) fn plug(&self, node: usize, plugged: bool) {
        let mut all = self.lock();
        let this = &mut all[node];
        this.unplugged = !plugged;
        let how = if plugged { "up" } else { "down" };
        self.at_switch(&format!("link set {} {how}", this.port));
    }

    /// Returns whether the node is on and can be reached by others.
    pub(crate) fn is_reachable(&self, node: usize) -> bool {
        let all = self.lock();
        all[node].child.is_some() && !all[node].unplugged
    }

    /// Returns a command that runs in the node, and no longer than two minutes.
    pub(crate) fn command(&self, node: usize, words: &[&str]) -> Command {
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

    /// Kills the agent of a node.
    pub(crate) fn kill_agent(&self, node: usize) {
        let _ = self
            .command(node, &["pkill", "-KILL", "-f", "domainmgr run --simulate"])
            .status();
    }
}

impl Drop for Nodes {
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
