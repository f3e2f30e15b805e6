//! Conditions of the trial, and the files that its nodes are made from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::Cargo;
use crate::lab::cache::{self, Key};
use crate::lab::debian;
use crate::lab::lock::Lock;
use crate::{paths, tool};

/// Packages of a node. `libxen-dev` brings the libxl that the agent was built for.
const PACKAGES: &str = "pacemaker,corosync,crmsh,pacemaker-cli-utils,resource-agents,openssh-server,openssh-client,iproute2,\
     procps,libxml2-utils,libxen-dev,ca-certificates";

/// Commands that make places in the tree onto which files of the trial are mounted.
const PLACES: &str = "cd \"$1\" && mkdir -p trial xen etc/xen/auto etc/corosync var/lib/domainmgr \
     usr/lib/ocf/resource.d/libxl && touch etc/hosts usr/sbin/domainmgr usr/sbin/fence_trial usr/lib/ocf/resource.d/libxl/Domain";

/// Names of the nodes. The number of each is its place, from 1.
pub(crate) const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// The uuid of the guest, and its name.
pub(crate) const GUEST: &str = "77656200-0000-4000-8000-000000000001";
pub(crate) const NAME: &str = "web";

/// Says in words what the trial lacks.
pub(crate) fn check() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the nodes need namespaces of their own, which only root can make here: run this as root"
        );
    }
    let tried = Command::new("unshare")
        .args(["--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /mnt && hostname trial && ip link add trial0 type veth peer name trial1 && ip link add br0 type bridge")
        .output()
        .context("cannot run unshare, of the package util-linux")?;
    if !tried.status.success() {
        bail!(
            "this machine gives no namespaces with mounts, bridges and virtual cables, as in a container with fewer rights: {}",
            String::from_utf8_lossy(&tried.stderr).trim()
        );
    }
    Ok(())
}

/// The files of the trial.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The file tree of all nodes.
    pub(crate) tree: PathBuf,
    /// Directory of the nodes.
    pub(crate) dir: PathBuf,
    _lock: Lock,
}

impl Trial {
    /// Makes them. The tree is kept for the next trial, and everything else is made anew.
    pub(crate) fn make(built: Option<&Path>) -> Result<Self> {
        let lock = Lock::take("cluster")?;
        let tree = tree()?;
        let agent = match built {
            Some(path) => path.to_owned(),
            None => agent()?,
        };
        let dir = paths::root().join("target/cluster");
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", dir.display()));
            }
            _ => {}
        }
        let trial = Self {
            tree,
            dir,
            _lock: lock,
        };
        trial.fill(&agent)?;
        Ok(trial)
    }

    /// The directory that all nodes have as /trial.
    pub(crate) fn all(&self) -> PathBuf {
        self.dir.join("all")
    }

    fn fill(&self, agent: &Path) -> Result<()> {
        let all = self.all();
        for dir in ["bin", "auto", "ssh", "power"] {
            fs::create_dir_all(all.join(dir))?;
        }
        let program = |name: &str, text: &str| -> Result<()> {
            let path = all.join("bin").join(name);
            fs::write(&path, text)?;
            Ok(fs::set_permissions(
                &path,
                fs::Permissions::from_mode(0o755),
            )?)
        };
        fs::copy(agent, all.join("bin/domainmgr"))?;
        program("fence_trial", include_str!("fence_trial.sh"))?;
        let resource_agent = paths::root().join("packaging/pacemaker/Domain");
        program("Domain", &fs::read_to_string(resource_agent)?)?;
        fs::write(all.join("services.sh"), include_str!("services.sh"))?;
        fs::write(all.join("node.sh"), include_str!("node.sh"))?;
        fs::write(all.join("corosync.conf"), corosync())?;
        let numbered = NODES.iter().zip(1..);
        let hosts: String = numbered
            .map(|(node, n)| format!("10.77.0.{n} {node}\n"))
            .collect();
        fs::write(all.join("hosts"), format!("127.0.0.1 localhost\n{hosts}"))?;
        fs::write(all.join("kernel"), "a kernel that nobody runs\n")?;
        fs::write(
            all.join("auto/web.cfg"),
            format!(
                "name = \"{NAME}\"\nuuid = \"{GUEST}\"\ntype = \"pvh\"\nkernel = \"/trial/kernel\"\nmemory = 128\n\
                 extra = \"sim.stop=0.5\"\ndomainmgr_activate = 0\n"
            ),
        )?;
        fs::write(
            all.join("ssh/config"),
            "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n  ConnectTimeout 3\n  \
             ServerAliveInterval 2\n  ServerAliveCountMax 3\n",
        )?;
        tool::output(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(all.join("ssh/key")),
        )?;
        Ok(())
    }
}

/// Makes the file tree of the nodes, unless the cache has it.
fn tree() -> Result<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context(
            "/etc/os-release names no release of Debian, whose packages the nodes are made from",
        )?;
    let parent = paths::lab_dir().join("cluster");
    let key = Key::default().add(suite).add(PACKAGES).add(PLACES);
    let dir = cache::get(&parent, "nodes", key, |part| {
        eprintln!(
            "cluster: making the file tree of the nodes from Debian's packages (a minute or two)"
        );
        let mut command = debian::command();
        command
            .args(["--variant=apt", "--mode=root"])
            .arg(format!("--include={PACKAGES}"))
            .arg(format!("--customize-hook={PLACES}"))
            .arg(suite)
            .arg(part.join("tree"));
        debian::run(&mut command, &parent.join("nodes.log"))
    })?;
    Ok(dir.join("tree"))
}

/// Builds the agent.
fn agent() -> Result<PathBuf> {
    eprintln!("cluster: building domainmgr");
    let words = [
        "build",
        "--release",
        "--package=domainmgr",
        "--bin=domainmgr",
    ];
    let built = Cargo::native().programs(&words)?;
    let found = built
        .into_iter()
        .find(|program| program.name == "domainmgr");
    Ok(found.context("cargo has built no domainmgr")?.path)
}

fn corosync() -> String {
    let nodes: String = NODES
        .iter()
        .zip(1..)
        .map(|(node, n)| {
            format!(
                "  node {{\n    ring0_addr: 10.77.0.{n}\n    name: {node}\n    nodeid: {n}\n  }}\n"
            )
        })
        .collect();
    format!(
        "totem {{\n  version: 2\n  cluster_name: trial\n  transport: knet\n  crypto_cipher: none\n  crypto_hash: none\n  token: 2000\n}}\n\
         nodelist {{\n{nodes}}}\n\
         quorum {{\n  provider: corosync_votequorum\n}}\n\
         system {{\n  sched_rr: no\n  allow_knet_handle_fallback: yes\n}}\n\
         logging {{\n  to_logfile: yes\n  logfile: /var/log/corosync/corosync.log\n  to_syslog: no\n  timestamp: on\n}}\n"
    )
}
