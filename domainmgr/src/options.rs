//! How to run the agent.

use std::path::PathBuf;

use crate::adapters::Files;
use crate::dirs::Dirs;

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
    /// A journal that is damaged is put aside, and everything in it forgotten.
    pub forget: bool,
}
