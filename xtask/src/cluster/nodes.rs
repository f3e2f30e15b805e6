//! The nodes of a trial: simulated ones, or hosts of the lab.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

/// All nodes, which are off at first, and what joins them. A node is known by its place.
pub(crate) trait Nodes: Debug + Send + Sync {
    /// Their names.
    fn names(&self) -> &'static [&'static str];

    /// The directory that all nodes have as `/trial`.
    fn shared(&self) -> &Path;

    /// Switches a node on, if it is off, and returns before its programs run.
    fn boot(&self, node: usize) -> Result<()>;

    /// Cuts the power of a node. Its Xen forgets its domains, and its disks stay.
    fn cut(&self, node: usize) -> Result<()>;

    /// Cuts the cable of a node, or plugs it in again.
    fn plug(&self, node: usize, plugged: bool);

    /// Returns whether the node is on, and takes commands.
    fn is_on(&self, node: usize) -> bool;

    /// Returns whether the node is on, takes commands, and can be reached by others.
    fn is_reachable(&self, node: usize) -> bool;

    /// Returns a command that runs in the node, and is killed if it takes minutes. It fails if the node is off.
    fn command(&self, node: usize, words: &[&str]) -> Command;

    /// Kills the agent of a node, which is started again.
    fn kill_agent(&self, node: usize);

    /// Destroys the guest behind the agent's back.
    fn destroy_guest(&self, node: usize) -> Result<()>;

    /// Returns the nodes on which a copy of the guest runs. More than one is returned only if they have run at the same time.
    fn copies(&self) -> Vec<usize>;

    /// Number of times that the guest has booted since the last power cut. A migration is no boot.
    fn boots(&self) -> u64;

    /// The node that is always fenced when the nodes cannot see each other, if there is one.
    fn loses_split(&self) -> Option<usize>;

    /// Steps that are left out here, unless they are asked for.
    fn left_out(&self) -> &'static [&'static str];

    /// Time that a migration takes, about.
    fn migration(&self) -> Duration;

    /// Time after which a migration is given up.
    fn migration_at_most(&self) -> Duration;

    /// Time in which the cluster has to come to rest.
    fn patience(&self) -> Duration;

    /// Interval between two looks at the copies.
    fn interval(&self) -> Duration;
}
