//! `cargo xtask cluster`: the agent under Pacemaker, on three simulated nodes.
//!
//! Each node has namespaces of its own, a file tree of Debian's packages, a simulated Xen, corosync and Pacemaker. They are joined by a
//! switch whose cables can be cut, and a power switch of the trial's own fences them. Nothing is installed on this machine, and
//! nothing is left running: the nodes end with this process, however it ends.

mod campaign;
mod node;
mod power;
mod prepare;
mod steps;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::setup;

/// Extent of the campaign.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Number of times that each step is tried
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    /// Only these steps: guide, tester, start, unfenced, move, standby, destroy, kill, split, agent, moving-split
    #[arg(long, value_delimiter = ',')]
    steps: Vec<String>,
    /// A domainmgr that is built already, instead of a release build
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Packages of this machine that only this task needs: the nodes' own are in their file tree.
const PACKAGES: &[&str] = &["iproute2"];

/// Builds what is missing, starts the nodes, runs the campaign and prints its table.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    prepare::check()?;
    setup::ensure()?;
    setup::packages(PACKAGES)?;
    let trial = prepare::Trial::make(options.agent.as_deref())?;
    let mut campaign = campaign::Campaign::start(trial)?;
    let passed = campaign.run(options.times, &options.steps)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
