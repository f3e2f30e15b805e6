//! Paths of the agent's files: options and defaults.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::agent::options::Control;
use crate::base::dirs::Dirs;
use crate::host::adapters::Files;

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

/// Default paths that depend on whether Xen is simulated, other than the run directory.
struct Defaults {
    config_dir: PathBuf,
    state_dir: PathBuf,
    image_dir: PathBuf,
    verified_dir: PathBuf,
    global_config: PathBuf,
    dump_dir: PathBuf,
    model: PathBuf,
    network: PathBuf,
}

impl Defaults {
    /// Returns the paths for an agent on a Xen host.
    fn host() -> Self {
        Self {
            config_dir: CONFIG.into(),
            state_dir: STATE.into(),
            image_dir: IMAGES.into(),
            verified_dir: VERIFIED.into(),
            global_config: GLOBAL.into(),
            dump_dir: DUMPS.into(),
            model: ADAPTERS.into(),
            network: NETWORK.into(),
        }
    }

    /// Returns the paths for a simulation. All are in its run directory, so that it needs no root.
    fn simulation(run: &Path) -> Self {
        Self {
            config_dir: run.join("DomainConfig"),
            state_dir: run.join("state"),
            image_dir: run.join("img"),
            verified_dir: run.join("verified"),
            global_config: run.join("GlobalConfig").join("global.json"),
            dump_dir: run.join("dump"),
            model: run.join("model"),
            network: run.join("DeviceNetworkStatus/global.json"),
        }
    }
}

impl Paths {
    /// Fills in the defaults. Those of a simulation need no root.
    pub(super) fn resolve(&self, simulate: bool) -> Result<Resolved, String> {
        let run_dir = match &self.run_dir {
            Some(given) => given.clone(),
            None if simulate => simulated()?,
            None => RUN.into(),
        };
        let defaults = if simulate {
            Defaults::simulation(&run_dir)
        } else {
            Defaults::host()
        };
        let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
        let adapters = Files {
            model: or(&self.adapters, defaults.model),
            network: or(&self.network_status, defaults.network),
        };
        let control = Control {
            path: or(&self.control, run_dir.join(SOCKET)),
            required: self.control.is_some() || self.control_group.is_some(),
            group: self.control_group.clone(),
        };
        Ok(Resolved {
            adapters,
            control,
            status_dir: or(&self.status_dir, run_dir.join("DomainStatus")),
            state_dir: or(&self.state_dir, defaults.state_dir),
            config_dir: or(&self.config_dir, defaults.config_dir),
            xl_dir: self.xl_dir.clone(),
            run_dir,
            dump_dir: or(&self.dump_dir, defaults.dump_dir),
            image_dir: or(&self.image_dir, defaults.image_dir),
            verified_dir: or(&self.verified_dir, defaults.verified_dir),
            global_config: or(&self.global_config, defaults.global_config),
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
