//! Nodes that are hosts of the lab: two real Xens, which boot anew after each power cut.

mod copies;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::copies::Findings;
use super::nodes::Nodes;
use super::prepare::{self, Files, GUEST};
use crate::cargo::Cargo;
use crate::lab::Accel;
use crate::lab::pair::durable::{DurablePair, Started, Starting};
use crate::tool::quote;
use crate::xen::Xen;

/// Names of the nodes. The number of each is its place, from 1.
const NODES: [&str; 2] = ["alpha", "beta"];

/// The guest: the lab's smallest, with the disk that both hosts can use.
const WEB: &str = "type = \"pvh\"\nkernel = \"/share/guest/tiny\"\nmemory = 8\nshadow_memory = 2\ndisk = [ \"format=raw,vdev=xvda,target=/dev/vdc\" ]";

/// The power of a node.
#[derive(Debug, Default)]
enum Power {
    #[default]
    Off,
    /// A thread waits for dom0, makes it a node, and hands it over here.
    Starts(Receiver<Result<Started>>),
    On(Started),
    /// It did not come up. That has been said.
    Broken,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Labs {
    // The computers end before what they are made of.
    power: [Mutex<Power>; NODES.len()],
    findings: Arc<Mutex<[Findings; NODES.len()]>>,
    unplugged: Mutex<bool>,
    shared: PathBuf,
    pair: Arc<DurablePair>,
}

impl Labs {
    /// Makes the files of the nodes.
    pub(crate) fn new(xen: Xen, accel: Accel, built: Option<&Path>) -> Result<Self> {
        let agent = match built {
            Some(path) => path.to_owned(),
            None => prepare::agent(&Cargo::for_lab(xen)?, &["--workspace"])?,
        };
        let disk = prepare::disk(xen.suite())?;
        let pair = DurablePair::new(xen, accel, &disk)?;
        let shared = pair.share().join("cluster");
        let files = Files {
            names: &NODES,
            agent: &agent,
            guest: WEB,
            // Emulated processors may stand still for a while.
            token: 5000,
            scripts: &[("services.sh", include_str!("services.sh"))],
        };
        files.make(&shared)?;
        Ok(Self {
            power: Default::default(),
            findings: Arc::default(),
            unplugged: Mutex::new(false),
            shared,
            pair: Arc::new(pair),
        })
    }

    /// The power of a node. What has come up since is on.
    fn power(&self, node: usize) -> MutexGuard<'_, Power> {
        let mut power = lock(&self.power[node]);
        if let Power::Starts(thread) = &*power {
            match thread.try_recv() {
                Ok(started) => *power = Power::of(started, node),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => *power = Power::Broken,
            }
        }
        power
    }
}

impl Power {
    /// The power of a node that has come up, or has not.
    fn of(started: Result<Started>, node: usize) -> Self {
        match started {
            Ok(started) => Self::On(started),
            Err(error) => {
                eprintln!("cluster: {} does not come up: {error:#}", NODES[node]);
                Self::Broken
            }
        }
    }
}

impl Nodes for Labs {
    fn names(&self) -> &'static [&'static str] {
        &NODES
    }

    fn shared(&self) -> &Path {
        &self.shared
    }

    fn boot(&self, node: usize) -> Result<()> {
        let mut power = self.power(node);
        if !matches!(*power, Power::Off | Power::Broken) {
            return Ok(());
        }
        let starting = self.pair.power_on(node)?;
        let (pair, findings) = (Arc::clone(&self.pair), Arc::clone(&self.findings));
        let (up, starts) = mpsc::channel();
        thread::Builder::new()
            .name(format!("watch-{}", NODES[node]))
            .spawn(move || live(&pair, starting, node, &up, &findings))
            .context("cannot start a thread")?;
        *power = Power::Starts(starts);
        Ok(())
    }

    fn cut(&self, node: usize) -> Result<()> {
        let mut power = self.power(node);
        // A computer that starts is up within a minute or two, and has nothing to lose until then.
        if let Power::Starts(thread) = &*power {
            drop(thread.recv());
        }
        *power = Power::Off;
        lock(&self.findings)[node] = Findings::default();
        Ok(())
    }

    fn plug(&self, _: usize, plugged: bool) {
        // There is one cable for both.
        *lock(&self.unplugged) = !plugged;
        self.pair.plug(plugged);
    }

    fn is_on(&self, node: usize) -> bool {
        matches!(*self.power(node), Power::On(_))
    }

    fn is_reachable(&self, node: usize) -> bool {
        // While the cable is cut, the one that is fenced comes back alone.
        let alone = *lock(&self.unplugged) && self.loses_split() == Some(node);
        !alone && self.is_on(node)
    }

    fn command(&self, node: usize, words: &[&str]) -> Command {
        let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let line = format!(
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C chroot /node timeout 600 {}",
            line.join(" ")
        );
        let mut command = match &*self.power(node) {
            Power::On(started) => started.command(&line),
            _ => Command::new("false"),
        };
        command.stdin(Stdio::null());
        command
    }

    fn kill_agent(&self, node: usize) {
        if let Power::On(started) = &*self.power(node) {
            let _ = started.output("pkill -KILL -f 'domainmgr[ ]run '");
        }
    }

    fn destroy_guest(&self, node: usize) -> Result<()> {
        let Power::On(started) = &*self.power(node) else {
            bail!("{} is off", NODES[node]);
        };
        started.output(&format!("xl destroy {}", prepare::NAME))?;
        Ok(())
    }

    fn copies(&self) -> Vec<usize> {
        copies::copies(&*lock(&self.findings))
    }

    fn boots(&self) -> u64 {
        lock(&self.findings).iter().map(|found| found.boots).sum()
    }

    fn loses_split(&self) -> Option<usize> {
        // The device that fences alpha waits: see the configuration of the cluster.
        Some(1)
    }

    fn left_out(&self) -> &'static [&'static str] {
        // crm takes half a minute for a line here, and the lines say nothing of Xen.
        &["guide"]
    }

    fn migration(&self) -> Duration {
        Duration::from_secs(40)
    }

    fn migration_at_most(&self) -> Duration {
        Duration::from_secs(240)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn interval(&self) -> Duration {
        // Each Xen answers as often: see `watch.sh`.
        Duration::from_secs(1)
    }
}

impl Drop for Labs {
    fn drop(&mut self) {
        for node in 0..NODES.len() {
            let _ = self.cut(node);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A node's life, from its start until its power is cut: hands the node over once it is on, and takes what its Xen says.
///
/// The connection ends with the thread that has made it, so this is one thread.
fn live(
    pair: &DurablePair,
    starting: Starting,
    node: usize,
    up: &Sender<Result<Started>>,
    findings: &Mutex<[Findings; NODES.len()]>,
) {
    match start(pair, starting, node) {
        Err(error) => drop(up.send(Err(error))),
        Ok((started, mut watcher)) => {
            let _ = up.send(Ok(started));
            let answers = watcher.stdout.take().map(BufReader::new);
            for answer in answers.into_iter().flat_map(BufRead::lines) {
                let Ok(answer) = answer else { break };
                let _ = lock(findings)[node].hear(&answer, Instant::now());
            }
            let _ = watcher.wait();
            lock(findings)[node] = Findings::default();
        }
    }
}

/// Waits for the dom0 of a host, makes it a node, and begins to watch its Xen.
fn start(pair: &DurablePair, starting: Starting, node: usize) -> Result<(Started, Child)> {
    let begin = Instant::now();
    let started = pair.wait_up(starting)?;
    let script = include_str!("node.sh");
    started.output(&format!(
        "node={} number={}\n{script}",
        NODES[node],
        node + 1
    ))?;
    let watch = format!("uuid={GUEST}\n{}", include_str!("watch.sh"));
    let watcher = started
        .command(&watch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run ssh")?;
    let took = begin.elapsed().as_secs_f32();
    eprintln!("cluster: {} is on ({took:.0} s)", NODES[node]);
    Ok((started, watcher))
}
