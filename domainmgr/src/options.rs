//! How to run the agent.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::adapters::Files;
use crate::dirs::Dirs;

/// The control socket.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where it is.
    pub path: PathBuf,
    /// It was asked for by name: the agent does not start without it.
    pub required: bool,
    /// Group whose members may connect.
    pub group: Option<String>,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the files are.
    pub dirs: Dirs,
    /// Settings for all.
    pub global_config: PathBuf,
    /// What there is to give to domains, and what the host needs itself.
    pub adapters: Files,
    /// Settings that override those.
    pub overrides: Vec<(String, String)>,
    /// Bytes per second that a copy of an image may make, in a simulation.
    pub copy_rate: Option<u64>,
    /// The control socket.
    pub control: Control,
    /// Where Prometheus can fetch the figures.
    pub metrics_address: Option<SocketAddr>,
    /// A journal that is damaged is put aside, and everything in it forgotten.
    pub forget: bool,
}
