//! The files that the nodes of a trial are made from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::Cargo;
use crate::lab::cache::{self, Key};
use crate::lab::debian;
use crate::{paths, tool};

/// Packages of a node. `libxen-dev` brings the libxl that the agent was built for.
const PACKAGES: &str = "pacemaker,corosync,crmsh,pacemaker-cli-utils,resource-agents,openssh-server,openssh-client,iproute2,\
     procps,libxml2-utils,libxen-dev,ca-certificates";

/// Size of the disk of a node.
const DISK_SIZE: &str = "3G";

/// Commands that make places in the tree onto which files of the trial are mounted.
const PLACES: &str = "cd \"$1\" && mkdir -p trial xen etc/xen/auto etc/corosync var/lib/domainmgr \
     usr/lib/ocf/resource.d/libxl && touch etc/hosts usr/sbin/domainmgr usr/sbin/fence_trial usr/lib/ocf/resource.d/libxl/Domain";

/// The uuid of the guest, and its name.
pub(crate) const GUEST: &str = "77656200-0000-4000-8000-000000000001";
pub(crate) const NAME: &str = "web";

/// The files of a trial that all its nodes have.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    /// Names of the nodes. The number of each is its place, from 1.
    pub(crate) names: &'a [&'a str],
    /// The program.
    pub(crate) agent: &'a Path,
    /// The guest's file, but for its name and uuid.
    pub(crate) guest: &'a str,
    /// Time in milliseconds after which corosync takes a node that says nothing for lost.
    pub(crate) token: u32,
    /// Further files, which only the nodes of this trial have.
    pub(crate) scripts: &'a [(&'a str, &'a str)],
}

impl Files<'_> {
    /// Makes the directory that all nodes have as `/trial`.
    pub(crate) fn make(&self, all: &Path) -> Result<()> {
        remove(all)?;
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
        tool::output(
            Command::new("strip")
                .args(["--strip-debug", "-o"])
                .arg(all.join("bin/domainmgr"))
                .arg(self.agent),
        )?;
        program("fence_trial", include_str!("fence_trial.sh"))?;
        let resource_agent = paths::root().join("packaging/pacemaker/Domain");
        program("Domain", &fs::read_to_string(resource_agent)?)?;
        fs::write(all.join("cluster.sh"), include_str!("cluster.sh"))?;
        for (name, text) in self.scripts {
            fs::write(all.join(name), text)?;
        }
        fs::write(all.join("corosync.conf"), self.corosync())?;
        let numbered = self.names.iter().zip(1..);
        let hosts: String = numbered
            .map(|(node, n)| format!("10.77.0.{n} {node}\n"))
            .collect();
        fs::write(all.join("hosts"), format!("127.0.0.1 localhost\n{hosts}"))?;
        fs::write(
            all.join("auto/web.cfg"),
            format!(
                "name = \"{NAME}\"\nuuid = \"{GUEST}\"\n{}\ndomainmgr_activate = 0\n",
                self.guest
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

    fn corosync(&self) -> String {
        let numbered = self.names.iter().zip(1..);
        let nodes: String = numbered
            .map(|(node, n)| {
                format!(
                    "  node {{\n    ring0_addr: 10.77.0.{n}\n    name: {node}\n    nodeid: {n}\n  }}\n"
                )
            })
            .collect();
        let votes = if self.names.len() == 2 {
            "  two_node: 1\n"
        } else {
            ""
        };
        format!(
            "totem {{\n  version: 2\n  cluster_name: trial\n  transport: knet\n  crypto_cipher: none\n  crypto_hash: none\n  token: {}\n}}\n\
             nodelist {{\n{nodes}}}\n\
             quorum {{\n  provider: corosync_votequorum\n{votes}}}\n\
             system {{\n  sched_rr: no\n  allow_knet_handle_fallback: yes\n}}\n\
             logging {{\n  to_logfile: yes\n  logfile: /var/log/corosync/corosync.log\n  to_syslog: no\n  timestamp: on\n}}\n",
            self.token
        )
    }
}

/// Removes a directory, if it is there.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Builds the agent, with further words for cargo.
pub(crate) fn agent(cargo: &Cargo, words: &[&str]) -> Result<PathBuf> {
    eprintln!("cluster: building domainmgr");
    let words = [&["build", "--bin=domainmgr"], words].concat();
    let built = cargo.programs(&words)?;
    let found = built
        .into_iter()
        .find(|program| program.name == "domainmgr");
    Ok(found.context("cargo has built no domainmgr")?.path)
}

/// Returns the release of Debian that this machine runs, whose packages simulated nodes are made from.
pub(crate) fn suite_here() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context(
            "/etc/os-release names no release of Debian, whose packages the nodes are made from",
        )?;
    Ok(suite.to_owned())
}

/// Makes the file tree of the nodes from the packages of this release, unless the cache has it.
pub(crate) fn tree(suite: &str) -> Result<PathBuf> {
    let parent = parent(suite);
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

/// Makes a disk with the file tree of a node, unless the cache has it.
pub(crate) fn disk(suite: &str) -> Result<PathBuf> {
    let (parent, tree) = (parent(suite), tree(suite)?);
    let key = Key::default()
        .add(DISK_SIZE)
        .add(tree.as_os_str().as_encoded_bytes());
    let dir = cache::get(&parent, "disk", key, |part| {
        let mut command = Command::new("mke2fs");
        tool::with_system_path(&mut command)
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&tree)
            .arg(part.join("disk"))
            .arg(DISK_SIZE);
        tool::logged(&mut command, &parent.join("disk.log"))
    })?;
    Ok(dir.join("disk"))
}

fn parent(suite: &str) -> PathBuf {
    paths::lab_dir().join("cluster").join(suite)
}
