//! The disk of dom0, and the files from which QEMU boots it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cache::{self, Key};
use super::debian;
use crate::paths;
use crate::tool;
use crate::xen::Xen;

/// A directory with `disk`, `xen`, `vmlinuz`, `initrd` and `ssh_key`.
#[derive(Debug)]
pub(crate) struct Image {
    /// Directory of the files. The name changes with the inputs of the build.
    pub(crate) dir: PathBuf,
}

impl Image {
    /// The private key for dom0's SSH server.
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("ssh_key")
    }
}

/// This source file. It is part of the cache keys, because it determines how the image is built.
const THIS: &str = include_str!("image.rs");

/// Packages that dom0 needs beyond a minimal Debian. `xl` comes with `xen-utils`; the tests compare with it as an outsider.
fn packages(xen: Xen, init: Init) -> String {
    let version = xen.as_str();
    let init = match init {
        Init::Small => "",
        Init::Systemd => "systemd-sysv,udev,dbus,apt,",
    };
    format!(
        "{init}xen-utils-{version},xen-hypervisor-{version}-amd64,xenstore-utils,qemu-system-xen,qemu-utils,linux-image-amd64,\
         busybox-static,e2fsprogs,iproute2,kmod,openssh-server,procps,xz-utils,zstd"
    )
}

/// The init process of dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    /// A script of the lab that starts only what a toolstack needs.
    Small,
    /// The systemd of Debian.
    Systemd,
}

impl Init {
    /// Returns the cache kind of a directory for this init process.
    fn kind(self, kind: &str) -> String {
        match self {
            Self::Small => kind.to_owned(),
            Self::Systemd => format!("{kind}_systemd"),
        }
    }

    /// Path of the program.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Small => "/lab/dom0/init",
            Self::Systemd => "/sbin/init",
        }
    }
}

/// Disk space that [`ensure`] will take, in MiB.
pub(super) fn disk_room(xen: Xen, init: Init) -> u64 {
    let parent = paths::xen_dir(xen);
    let missing = |kind, mib| {
        if cache::is_there(&parent, &init.kind(kind)) {
            0
        } else {
            mib
        }
    };
    missing("rootfs", 2500) + missing("image", 2500)
}

/// Builds the missing parts.
///
/// The root file system takes about a minute and depends on the package list alone. The image takes seconds and also depends on the files
/// in `lab/`.
pub(crate) fn ensure(xen: Xen, init: Init) -> Result<Image> {
    let parent = paths::xen_dir(xen);
    let rootfs = rootfs(xen, init, &parent)?;
    let sources = paths::root().join("lab");
    let mut key = Key::default()
        .add(THIS)
        .add(rootfs.as_os_str().as_encoded_bytes())
        .add_dir(&sources.join("dom0"))?
        .add_dir(&sources.join("guest"))?;
    if init == Init::Systemd {
        key = key.add_dir(&sources.join("systemd"))?;
    }
    let dir = cache::get(&parent, &init.kind("image"), key, |part| {
        eprintln!("lab: making the disk image of dom0 (seconds)");
        build(&rootfs, init, &sources, part)
    })?;
    Ok(Image { dir })
}

/// Returns the file tree that Debian's packages make.
fn rootfs(xen: Xen, init: Init, parent: &Path) -> Result<PathBuf> {
    let packages = packages(xen, init);
    let key = Key::default().add(THIS).add(xen.suite()).add(&packages);
    let dir = cache::get(parent, &init.kind("rootfs"), key, |part| {
        eprintln!(
            "lab: installing Debian {} with Xen {xen} as dom0 (about a minute)",
            xen.suite()
        );
        let tree = part.join("tree");
        let mut command = debian::command();
        command
            .args(["--variant=minbase", "--include", &packages])
            // Nothing in dom0 reads these files.
            .args([
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
            ])
            .args([
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--aptopt=Acquire::Languages \"none\"",
            ])
            .arg(xen.suite())
            .arg(&tree);
        debian::run(&mut command, &parent.join("rootfs.log"))
    })?;
    Ok(dir.join("tree"))
}

/// Builds the image. All files of this project are below `/lab`, so that the tree can be reused for the next image.
fn build(rootfs: &Path, init: Init, sources: &Path, out: &Path) -> Result<()> {
    let log = out.join("build.log");
    let lab = rootfs.join("lab");
    if lab.exists() {
        fs::remove_dir_all(&lab)?;
    }
    fs::create_dir(&lab)?;
    tool::logged(
        Command::new("cp")
            .args(["--recursive", "--dereference"])
            .args(["dom0", "guest", "systemd"].map(|part| sources.join(part)))
            .arg(&lab),
        &log,
    )?;

    for name in ["ssh_key", "ssh_host_ed25519_key"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"])
            .arg(out.join(name));
        tool::logged(&mut keygen, &log)?;
    }
    fs::copy(out.join("ssh_key.pub"), lab.join("dom0/authorized_keys"))?;
    fs::rename(
        out.join("ssh_host_ed25519_key"),
        lab.join("dom0/ssh_host_ed25519_key"),
    )?;

    tool::logged(
        tool::builder("chroot").arg(rootfs).arg("/lab/guest/build"),
        &log,
    )?;

    if init == Init::Systemd {
        tool::logged(
            tool::builder("chroot")
                .arg(rootfs)
                .arg("/lab/systemd/prepare"),
            &log,
        )?;
    }

    let boot = rootfs.join("boot");
    fs::copy(find(&boot, "vmlinuz-", "")?, out.join("vmlinuz"))?;
    fs::copy(find(&boot, "initrd.img-", "")?, out.join("initrd"))?;
    // QEMU cannot decompress Xen.
    let packed = out.join("xen.gz");
    fs::copy(find(&boot, "xen-", ".gz")?, &packed)?;
    tool::logged(Command::new("gunzip").arg(&packed), &log)?;

    let mut mke2fs = Command::new("mke2fs");
    tool::with_system_path(&mut mke2fs)
        .args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"])
        .arg(rootfs)
        .arg(out.join("disk"))
        .arg("6G");
    tool::logged(&mut mke2fs, &log)
}

fn find(dir: &Path, prefix: &str, suffix: &str) -> Result<PathBuf> {
    fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.starts_with(prefix) && name.ends_with(suffix)
            })
        })
        .with_context(|| format!("no {prefix}*{suffix} in {}", dir.display()))
}
