//! `cargo xtask cluster`: the agent under Pacemaker, on three simulated nodes, or on two hosts of the lab.
//!
//! A simulated node has namespaces of its own, a file tree of Debian's packages, a simulated Xen, corosync and Pacemaker. They are joined
//! by a switch whose cables can be cut. A host of the lab has the same tree on a disk, beside a real Xen, and boots anew when its power
//! was cut. A power switch of the trial's own fences both kinds. Nothing is installed on this machine, and nothing is left running: the
//! nodes end with this process, however it ends.

mod campaign;
mod labs;
mod namespaces;
mod nodes;
mod power;
mod prepare;
mod steps;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use self::labs::Labs;
use self::namespaces::Namespaces;
use self::nodes::Nodes;
use crate::lab::Accel;
use crate::setup;
use crate::xen::Xen;

/// Extent of the campaign.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Number of times that each step is tried
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    /// Only these steps: guide, tester, start, unfenced, move, standby, destroy, kill, split, agent, moving-split
    #[arg(long, value_delimiter = ',')]
    steps: Vec<String>,
    /// On two hosts of the lab with this Xen, in the place of three simulated nodes
    #[arg(long, value_name = "VERSION")]
    xen: Option<Xen>,
    /// Hardware virtualisation or emulation for the lab
    #[arg(long, value_enum, default_value = "auto", requires = "xen")]
    accel: Accel,
    /// A domainmgr that is built already, instead of one that is built now
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Packages of this machine that only this task needs: the nodes' own are in their file tree.
const PACKAGES: &[&str] = &["iproute2"];

/// Builds what is missing, starts the nodes, runs the campaign and prints its table.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let nodes: Arc<dyn Nodes> = match options.xen {
        None => {
            namespaces::check()?;
            setup::ensure()?;
            setup::packages(PACKAGES)?;
            Arc::new(Namespaces::new(options.agent.as_deref())?)
        }
        Some(xen) => {
            setup::ensure()?;
            Arc::new(Labs::new(xen, options.accel, options.agent.as_deref())?)
        }
    };
    let mut campaign = campaign::Campaign::start(nodes)?;
    let passed = campaign.run(options.times, &options.steps)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
