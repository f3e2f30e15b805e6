//! The things that the threads of the agent share.

use std::sync::{Arc, RwLock};

use crossbeam_channel::Sender;
use uuid::Uuid;

use crate::adapters::Adapters;
use crate::clock::Clock;
use crate::control::Board;
use crate::dirs::Dirs;
use crate::disks::register::Register;
use crate::inputs::Inputs;
use crate::metrics;
use crate::owners::Owners;
use crate::records::Records;
use crate::settings::Settings;
use crate::toolstack::Toolstack;

/// The things that all workers and services share.
pub struct Env {
    /// Xen.
    pub toolstack: Arc<dyn Toolstack>,
    /// Time.
    pub clock: Clock,
    /// Files.
    pub dirs: Dirs,
    /// Settings.
    pub settings: RwLock<Settings>,
    /// Bytes per second that a copy may make, in a simulation.
    pub copy_rate: Option<u64>,
    /// The copies of images that each domain uses.
    pub register: Register,
    /// The domains whose figures are wanted.
    pub metrics: metrics::Table,
    /// What was measured last.
    pub figures: Arc<metrics::Figures>,
    /// Adapters of the host.
    pub adapters: Adapters,
    /// Who has what the host has once.
    pub owners: Owners,
    /// DomainConfig files.
    pub inputs: Inputs,
    /// The record of each key.
    pub records: Records,
    /// Published statuses, and references to the workers.
    pub board: Arc<Board>,
    /// The supervisor's ear.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has published for the first time.
    Settled(Uuid),
    /// It has ended: its key is gone, or it was told to stop.
    Finished(Uuid),
    /// What was refused to a worker, because another had it, may be had now.
    Freed,
}
