//! Options with which the agent runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::dirs::Dirs;
use crate::host::adapters::Files;

/// The control socket.
#[derive(Clone, Debug)]
pub struct Control {
    /// Path of the socket.
    pub path: PathBuf,
    /// True if the path or the group was given: the agent does not start without the socket.
    pub required: bool,
    /// Group whose members may connect.
    pub group: Option<String>,
}

/// Options with which the agent runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories of the agent.
    pub dirs: Dirs,
    /// File with the settings (GlobalConfig).
    pub global_config: PathBuf,
    /// Files that name the adapters that domains can have, and those that the host needs itself.
    pub adapters: Files,
    /// Settings that override those of `global_config`.
    pub overrides: Vec<(String, String)>,
    /// Rate at which images are copied in a simulation, in bytes per second.
    pub copy_rate: Option<u64>,
    /// The control socket.
    pub control: Control,
    /// Address at which Prometheus can fetch the figures.
    pub metrics_address: Option<SocketAddr>,
    /// True if a damaged journal is to be renamed, and everything in it forgotten.
    pub forget: bool,
}
