//! State that the threads of the agent share.

use std::sync::{Arc, RwLock};

use crossbeam_channel::Sender;
use uuid::Uuid;

use crate::agent::arrivals::Arrivals;
use crate::agent::records::Records;
use crate::agent::turns::Turns;
use crate::base::clock::Clock;
use crate::base::dirs::Dirs;
use crate::base::queue::Queue;
use crate::frontends::board::Board;
use crate::frontends::inputs::Inputs;
use crate::frontends::metrics;
use crate::host::adapters::Adapters;
use crate::host::cfgs::Cfgs;
use crate::host::disks::register::Register;
use crate::host::owners::Owners;
use crate::spec::settings::Settings;
use crate::toolstack::Toolstack;

/// State that all workers and services share.
pub struct Env {
    /// Access to Xen.
    pub toolstack: Arc<dyn Toolstack>,
    /// The agent's clock.
    pub clock: Clock,
    /// Directories of the agent.
    pub dirs: Dirs,
    /// The files that say what domains were built from.
    pub cfgs: Cfgs,
    /// The present settings.
    pub settings: RwLock<Settings>,
    /// Rate at which images are copied in a simulation, in bytes per second.
    pub copy_rate: Option<u64>,
    /// The queue for copies of images.
    pub copying: Arc<Queue>,
    /// The copies of images that each domain uses.
    pub register: Register,
    /// The domains whose figures are wanted.
    pub metrics: metrics::Table,
    /// The last measurement.
    pub figures: Arc<metrics::Figures>,
    /// Adapters of the host.
    pub adapters: Adapters,
    /// Owners of the things that the host has only once.
    pub owners: Owners,
    /// Files in which people write what is to run.
    pub inputs: Inputs,
    /// Domains that come from other hosts.
    pub arrivals: Arrivals,
    /// The record of each key.
    pub records: Records,
    /// Published statuses, and references to the workers.
    pub board: Arc<Board>,
    /// The domains that are about to start.
    pub turns: Turns,
    /// Channel to the supervisor.
    pub reports: Sender<Report>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("dirs", &self.dirs)
            .finish_non_exhaustive()
    }
}

/// A worker's message to the supervisor.
#[derive(Clone, Debug)]
pub enum Report {
    /// The worker has published a status for the first time.
    Settled(Uuid),
    /// The worker has ended: its key is gone, or it was told to stop.
    Finished(Uuid),
    /// A domain comes from another host. The answer is sent once there is a worker for it, or cannot be one now.
    Arrives(Uuid, Sender<()>),
    /// Something that a worker was refused, because another one had it, may be free now.
    Freed,
}
