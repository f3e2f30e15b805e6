//! Paths of the agent's files: options and defaults.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::adapters::Files;
use crate::dirs::Dirs;
use crate::options::Control;

const CONFIG: &str = "/run/zedmanager/DomainConfig";
const RUN: &str = "/var/run/domainmgr";
const SOCKET: &str = "control.sock";
const STATE: &str = "/var/lib/domainmgr";
const IMAGES: &str = "/persist/img";
const VERIFIED: &str = "/persist/downloads/appImg.obj/verified";
const ADAPTERS: &str = "/var/tmp/zededa/AssignableAdapters";
const NETWORK: &str = "/var/run/nim/DeviceNetworkStatus/global.json";
const GLOBAL: &str = "/var/tmp/zededa/GlobalConfig/global.json";
const DUMPS: &str = "/var/lib/xen/dump";

/// As given.
#[derive(Debug, Args)]
pub(super) struct Paths {
    /// DomainConfig files: what is to run [default: /run/zedmanager/DomainConfig]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Files of xl's, as xendomains reads them: what is to run as well, e.g. /etc/xen/auto [default: none]
    #[arg(long, value_name = "DIR")]
    xl_dir: Option<PathBuf>,
    /// DomainStatus files: what became of it [default: DomainStatus in the run directory]
    #[arg(long, value_name = "DIR")]
    status_dir: Option<PathBuf>,
    /// Everything else the agent writes [default: /var/run/domainmgr]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The journal: what the agent remembers of its domains, also over a reboot of the host [default:
    /// /var/lib/domainmgr]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Copies of read/write disks [default: /persist/img]
    #[arg(long, value_name = "DIR")]
    image_dir: Option<PathBuf>,
    /// Images, each the only file in a directory that is called after its hash [default:
    /// /persist/downloads/appImg.obj/verified]
    #[arg(long, value_name = "DIR")]
    verified_dir: Option<PathBuf>,
    /// Which adapters there are to assign: a file, or a directory of one for each hardware model [default:
    /// /var/tmp/zededa/AssignableAdapters]
    #[arg(long, value_name = "PATH")]
    adapters: Option<PathBuf>,
    /// Which adapters are the host's ports [default:
    /// /var/run/nim/DeviceNetworkStatus/global.json]
    #[arg(long, value_name = "FILE")]
    network_status: Option<PathBuf>,
    /// The control socket [default: control.sock in the run directory]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// The group whose members may use the control socket, besides root.
    #[arg(long, value_name = "GROUP")]
    control_group: Option<String>,
    /// Settings [default: /var/tmp/zededa/GlobalConfig/global.json]
    #[arg(long, value_name = "FILE")]
    global_config: Option<PathBuf>,
    /// Core dumps of guests, for the coredump actions [default: /var/lib/xen/dump]
    #[arg(long, value_name = "DIR")]
    dump_dir: Option<PathBuf>,
}

/// The paths in use, with defaults filled in.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) config_dir: PathBuf,
    pub(super) xl_dir: Option<PathBuf>,
    pub(super) status_dir: PathBuf,
    pub(super) run_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) dump_dir: PathBuf,
    pub(super) image_dir: PathBuf,
    pub(super) verified_dir: PathBuf,
    pub(super) global_config: PathBuf,
    pub(super) adapters: Files,
    pub(super) control: Control,
}

impl Paths {
    /// Fills in the defaults. Those of a simulation need no root.
    pub(super) fn resolve(&self, simulate: bool) -> Result<Resolved, String> {
        // A simulation needs no default directory if the run directory is given.
        let home = match (&self.run_dir, &self.config_dir) {
            (Some(run), config) if simulate => Some((run.clone(), config.clone())),
            _ if simulate => Some((simulated()?, self.config_dir.clone())),
            _ => None,
        };
        let (image_dir, verified_dir) = match &home {
            Some((run, _)) => (run.join("img"), run.join("verified")),
            None => (IMAGES.into(), VERIFIED.into()),
        };
        let (run_dir, config_dir, global_config, dump_dir) = match home {
            Some((run, config)) => (
                run.clone(),
                config.unwrap_or_else(|| run.join("DomainConfig")),
                run.join("GlobalConfig").join("global.json"),
                run.join("dump"),
            ),
            None => (
                self.run_dir.clone().unwrap_or_else(|| RUN.into()),
                self.config_dir.clone().unwrap_or_else(|| CONFIG.into()),
                GLOBAL.into(),
                DUMPS.into(),
            ),
        };
        let simulated = |path: &str| simulate.then(|| run_dir.join(path));
        let adapters = Files {
            model: self
                .adapters
                .clone()
                .or_else(|| simulated("model"))
                .unwrap_or_else(|| ADAPTERS.into()),
            network: self
                .network_status
                .clone()
                .or_else(|| simulated("DeviceNetworkStatus/global.json"))
                .unwrap_or_else(|| NETWORK.into()),
        };
        let control = Control {
            path: self.control.clone().unwrap_or_else(|| run_dir.join(SOCKET)),
            required: self.control.is_some() || self.control_group.is_some(),
            group: self.control_group.clone(),
        };
        Ok(Resolved {
            adapters,
            control,
            status_dir: self
                .status_dir
                .clone()
                .unwrap_or_else(|| run_dir.join("DomainStatus")),
            state_dir: self
                .state_dir
                .clone()
                .or_else(|| simulated("state"))
                .unwrap_or_else(|| STATE.into()),
            config_dir,
            xl_dir: self.xl_dir.clone(),
            run_dir,
            dump_dir: self.dump_dir.clone().unwrap_or(dump_dir),
            image_dir: self.image_dir.clone().unwrap_or(image_dir),
            verified_dir: self.verified_dir.clone().unwrap_or(verified_dir),
            global_config: self.global_config.clone().unwrap_or(global_config),
        })
    }
}

impl Resolved {
    pub(super) fn dirs(&self) -> Dirs {
        Dirs {
            config: self.config_dir.clone(),
            xl: self.xl_dir.clone(),
            status: self.status_dir.clone(),
            run: self.run_dir.clone(),
            state: self.state_dir.clone(),
            dump: self.dump_dir.clone(),
            copies: self.image_dir.clone(),
            images: self.verified_dir.clone(),
        }
    }
}

/// The directory of DomainStatus files, for commands that only read them.
pub(super) fn status_dir(given: Option<&Path>, simulate: bool) -> Result<PathBuf, String> {
    in_run_dir("DomainStatus", given, simulate)
}

/// The control socket, for clients.
pub(super) fn control(given: Option<&Path>, simulate: bool) -> Result<PathBuf, String> {
    in_run_dir(SOCKET, given, simulate)
}

/// Returns the path that was given; without one, `name` in the run directory of the agent or of the simulation.
fn in_run_dir(name: &str, given: Option<&Path>, simulate: bool) -> Result<PathBuf, String> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None if simulate => Ok(simulated()?.join(name)),
        None => Ok(Path::new(RUN).join(name)),
    }
}

/// Returns a directory of the user's own, for a simulation without a given run directory.
fn simulated() -> Result<PathBuf, String> {
    let uid = rustix::process::getuid().as_raw();
    let dir = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) => PathBuf::from(dir).join("domainmgr-simulated"),
        None => std::env::temp_dir().join(format!("domainmgr-simulated-{uid}")),
    };
    let fail = |e: std::io::Error| format!("{}: {e}", dir.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(fail)?;
    // If the parent can be written to by everybody, the directory might be somebody else's.
    let found = fs::symlink_metadata(&dir).map_err(fail)?;
    if !found.is_dir() || found.uid() != uid {
        return Err(format!("{}: belongs to somebody else", dir.display()));
    }
    Ok(dir)
}
