//! The campaign: each step so many times, and what the witness has seen.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::nodes::Nodes;
use super::power::Power;
use super::prepare::NAME;
use super::steps::STEPS;
use super::witness::Witness;
use crate::tool;

/// Interval at which that is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Returns the configuration of the cluster, as the guide has it.
fn configuration(nodes: &dyn Nodes) -> Vec<String> {
    let mut lines = vec![
        "property stonith-enabled=true no-quorum-policy=stop stonith-timeout=40s".to_owned(),
        "rsc_defaults resource-stickiness=100".to_owned(),
    ];
    let names = nodes.names();
    // Where two halves of a cluster would fence each other, each node has a device of its own, and those but one wait.
    let devices: Vec<(&str, Vec<&str>, &str)> = match nodes.loses_split() {
        None => vec![("fencing", names.to_vec(), "")],
        Some(loses) => {
            let device = |(node, name)| {
                let delay = if node == loses {
                    ""
                } else {
                    "pcmk_delay_base=5s"
                };
                (name, vec![name], delay)
            };
            let named = names.iter().copied().enumerate();
            named.map(device).collect()
        }
    };
    for (name, fences, delay) in devices {
        lines.push(format!(
            "primitive fence-{name} stonith:fence_trial params pcmk_host_list=\"{}\" pcmk_host_check=static-list {delay} \
             op monitor interval=60s",
            fences.join(" ")
        ));
    }
    let migration = nodes.migration_at_most().as_secs();
    lines.push(format!(
        "primitive web ocf:libxl:Domain params name=web meta allow-migrate=true target-role=Stopped op start timeout=120s interval=0 \
         op stop timeout=60s interval=0 op monitor interval=5s timeout=20s op migrate_to timeout={migration}s interval=0 \
         op migrate_from timeout=60s interval=0"
    ));
    lines
}

/// Nodes, power switch and witness.
pub(crate) struct Campaign {
    // The witness and the power switch end before the nodes do.
    pub(super) witness: Witness,
    pub(super) power: Power,
    pub(super) nodes: Arc<dyn Nodes>,
}

/// A row of the table.
struct Row {
    step: &'static str,
    tried: u32,
    passed: u32,
    longest: Duration,
    looks: u64,
    most: usize,
}

impl Campaign {
    /// Starts all nodes, and waits until their cluster is configured.
    pub(crate) fn start(nodes: Arc<dyn Nodes>) -> Result<Self> {
        let names = nodes.names();
        let campaign = Self {
            witness: Witness::start(Arc::clone(&nodes))?,
            power: Power::start(Arc::clone(&nodes))?,
            nodes,
        };
        eprintln!("cluster: starting {}", names.join(", "));
        for node in 0..names.len() {
            campaign.power.on(node)?;
        }
        campaign.all_online()?;
        // One call, because crm takes ten seconds to begin on an emulated processor.
        let lines = configuration(&*campaign.nodes).join("\n");
        fs::write(campaign.nodes.shared().join("cluster.crm"), lines + "\n")?;
        let load = ["crm", "configure", "load", "update", "/trial/cluster.crm"];
        campaign.at(0, &load)?;
        Ok(campaign)
    }

    /// Name of a node.
    pub(super) fn name(&self, node: usize) -> &'static str {
        self.nodes.names()[node]
    }

    /// Number of the nodes.
    pub(super) fn count(&self) -> usize {
        self.nodes.names().len()
    }

    /// Runs the steps, and prints the table. Returns whether all have passed.
    pub(crate) fn run(&mut self, times: u32, only: &[String]) -> Result<bool> {
        let mut rows = Vec::new();
        for (step, what, run) in STEPS {
            let asked = only.iter().any(|name| name == step);
            let left_out = !only.is_empty() || self.nodes.left_out().contains(&step);
            if left_out && !asked {
                continue;
            }
            let mut row = Row {
                step: what,
                tried: 0,
                passed: 0,
                longest: Duration::ZERO,
                looks: 0,
                most: 0,
            };
            let before = self.witness.seen().looks;
            for round in 0..times {
                let begin = Instant::now();
                let done = run(self, round);
                row.tried += 1;
                row.longest = row.longest.max(begin.elapsed());
                let took = begin.elapsed().as_secs_f64();
                match done {
                    Ok(()) => {
                        row.passed += 1;
                        eprintln!("cluster: {step} {}: ok, {took:.1} s", round + 1);
                    }
                    Err(error) => {
                        eprintln!("cluster: {step} {}: {error:#}", round + 1);
                        self.recover();
                    }
                }
            }
            let seen = self.witness.seen();
            row.looks = seen.looks - before;
            row.most = seen.most;
            rows.push(row);
        }
        print!("{}", table(&rows));
        Ok(rows
            .iter()
            .all(|row| row.passed == row.tried && row.most <= 1))
    }

    /// Makes the best of a failed step for the next one.
    fn recover(&self) {
        for node in 0..self.count() {
            self.nodes.plug(node, true);
            let _ = self.power.on(node);
        }
        let _ = self.all_online();
        let _ = self.tidy();
    }

    /// Runs a command on a node.
    pub(super) fn at(&self, node: usize, words: &[&str]) -> Result<String> {
        tool::output(&mut self.nodes.command(node, words))
            .with_context(|| format!("{}: {}", self.name(node), words.join(" ")))
    }

    /// Runs a command on any node that others can reach, but for `except`.
    pub(super) fn anywhere(&self, except: Option<usize>, words: &[&str]) -> Result<String> {
        let node = (0..self.count())
            .find(|node| Some(*node) != except && self.nodes.is_reachable(*node))
            .context("no node can be reached")?;
        self.at(node, words)
    }

    /// Waits until something is so.
    pub(super) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
        let begin = Instant::now();
        while !holds() {
            if begin.elapsed() > self.nodes.patience() {
                bail!("waited in vain until {what}\n{}", self.state());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until all nodes are in the cluster.
    pub(super) fn all_online(&self) -> Result<()> {
        let online = format!("Online: [ {} ]", self.nodes.names().join(" "));
        self.until("all nodes are online", || {
            let said = self.anywhere(None, &["crm_mon", "-1"]);
            said.is_ok_and(|said| said.contains(&online))
        })
    }

    /// Waits until the guest runs on one node, Pacemaker knows on which, and nothing is left to be done. Returns the node.
    pub(super) fn settled(&self, except: Option<usize>) -> Result<usize> {
        let mut found = None;
        self.until("one copy runs, where Pacemaker says", || {
            // First, because this takes as long as Pacemaker has something to do, and what was seen before may be over then.
            if !self.is_idle(except) {
                return false;
            }
            let [node] = self.witness.seen().now[..] else {
                return false;
            };
            let located = self.anywhere(except, &["crm_resource", "--resource", NAME, "--locate"]);
            let says = format!("is running on: {}", self.name(node));
            found = Some(node);
            located.is_ok_and(|said| said.trim().ends_with(&says))
                && self.witness.seen().now == [node]
        })?;
        if self.witness.seen().most > 1 {
            bail!("two copies ran at once\n{}", self.state());
        }
        found.context("no node")
    }

    fn is_idle(&self, except: Option<usize>) -> bool {
        self.anywhere(except, &["crm_resource", "--wait", "--timeout", "5s"])
            .is_ok()
    }

    /// Takes back constraints, and forgets failures.
    pub(super) fn tidy(&self) -> Result<()> {
        self.anywhere(None, &["crm_resource", "--resource", NAME, "--clear"])?;
        self.anywhere(None, &["crm_resource", "--resource", NAME, "--cleanup"])?;
        Ok(())
    }

    /// The state of cluster and guest, for people.
    fn state(&self) -> String {
        let mut text = format!("copies run on: {:?}\n", self.witness.seen().now);
        for (node, name) in self.nodes.names().iter().enumerate() {
            let mut said = |words: &[&str]| {
                let mut command: Command = self.nodes.command(node, words);
                if let Ok(output) = command.output() {
                    text.push_str(&String::from_utf8_lossy(&output.stdout));
                    text.push_str(&String::from_utf8_lossy(&output.stderr));
                }
            };
            said(&["echo", "==", name]);
            said(&["crm_mon", "-1rf"]);
            said(&["domainmgr", "status"]);
        }
        text
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| step | tried | passed | longest | looks at all Xens | most copies at once so far |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} s | {} | {} |",
            row.step,
            row.tried,
            row.passed,
            row.longest.as_secs_f64(),
            row.looks,
            row.most
        );
    }
    text
}
