//! The lab: a real Xen with a dom0, emulated by QEMU.
//!
//! A dom0 is installed and booted once; its memory and devices are saved when it is ready, and every later lab starts from there in about
//! a second. Nothing that happens in a lab outlives it, except for what it writes to the shared directory.

pub(crate) mod cache;
mod image;
pub(crate) mod lock;
mod machine;
mod qmp;
mod scratch;
mod ssh;
mod tiny;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};

use self::cache::Key;
use self::image::Image;
use self::lock::Lock;
use self::machine::{Machine, Start};
use self::ssh::Ssh;
use crate::paths;
use crate::tool;
use crate::xen::Xen;

/// A running dom0. Dropping it switches the computer off.
#[derive(Debug)]
pub(crate) struct Lab {
    // In the order in which they have to go.
    ssh: Ssh,
    _machine: Machine,
    dir: PathBuf,
    _lock: Lock,
}

/// What the lab's computer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hardware {
    /// What dom0 needs.
    Plain,
    /// An IOMMU as well, and devices to give to guests. It boots anew each time, which takes half a minute.
    Devices,
}

impl Lab {
    /// Makes what is missing and returns once commands can run.
    pub(crate) fn start(xen: Xen, hardware: Hardware) -> Result<Self> {
        let lock = Lock::take("lab")?;
        let dir = paths::xen_dir(xen);
        let image = image::ensure(xen)?;
        let (state, start) = match hardware {
            Hardware::Plain => (ready_state(&dir, &image)?, Start::Resume),
            // It has no state to start from.
            Hardware::Devices => (image.dir.clone(), Start::Devices),
        };
        let share = dir.join("share");
        tiny::ensure(&dir, &share)?;

        let begin = Instant::now();
        let mut machine = Machine::start(&image, &state, &share, &dir.join("serial.log"), start)?;
        if hardware == Hardware::Devices {
            machine.wait_ready()?;
        }
        let ssh = connect(&mut machine, &image)?;
        let lab = Self {
            ssh,
            _machine: machine,
            dir,
            _lock: lock,
        };
        // The clock still shows when the state was saved.
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_secs_f64();
        lab.output(&format!(
            "date --set=@{now:.3} >/dev/null && mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 share /share"
        ))?;
        if hardware == Hardware::Devices {
            lab.output(machine::LOAD_LATE)?;
        }
        eprintln!(
            "lab: Xen {xen} is up ({:.1} s)",
            begin.elapsed().as_secs_f32()
        );
        Ok(lab)
    }

    /// Runs a line of shell in dom0, with this process's standard input and output.
    pub(crate) fn run(&self, line: &str) -> Result<ExitStatus> {
        self.command(line).status().context("cannot run ssh")
    }

    /// A line of shell for dom0, not yet started.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.ssh.command(line)
    }

    /// Runs a line of shell in dom0 and returns what it printed; failure is an error.
    pub(crate) fn output(&self, line: &str) -> Result<String> {
        tool::output(&mut self.command(line)).with_context(|| format!("in dom0: {line}"))
    }

    /// Brings a program into dom0, as `/share/bin/<name>`.
    ///
    /// Without debugging sections: dom0 reads it through the shared directory, which is slow.
    pub(crate) fn put(&self, program: &Path, name: &str) -> Result<()> {
        let bin = self.dir.join("share/bin");
        fs::create_dir_all(&bin)?;
        tool::output(
            Command::new("strip")
                .arg("--strip-debug")
                .arg("-o")
                .arg(bin.join(name))
                .arg(program),
        )?;
        Ok(())
    }

    /// Takes `xl` away, and everything else of its package that a person would type.
    pub(crate) fn hide_xl(&self) -> Result<()> {
        self.output(
            "cd / && mkdir -p /root/hidden && mv /usr/lib/xen-*/bin/xl /root/hidden/ && \
             for file in $(dpkg -L xen-utils-common | grep -E '^(/usr)?/s?bin/'); do mv \"$file\" /root/hidden/ 2>/dev/null; done; ! command -v xl",
        )?;
        Ok(())
    }

    /// An interactive shell in dom0.
    pub(crate) fn shell(&self) -> Result<ExitStatus> {
        self.ssh.shell()
    }
}

fn connect(machine: &mut Machine, image: &Image) -> Result<Ssh> {
    let port = machine.ssh_port()?;
    Ssh::connect(machine.dir(), port, &image.dir.join("ssh_key"))
}

/// A directory with the disk, the memory and the devices of a dom0 that is up.
fn ready_state(parent: &Path, image: &Image) -> Result<PathBuf> {
    // A state fits only the QEMU that made it.
    let key = Key::default()
        .add(include_str!("mod.rs"))
        .add(image.dir.as_os_str().as_encoded_bytes())
        .add(machine::arguments(Start::Boot).join("\n"))
        .add(tool::output(
            Command::new("qemu-system-x86_64").arg("--version"),
        )?);
    cache::get(parent, "ready", key, |state| {
        eprintln!("lab: booting Xen and dom0 for the first time (less than a minute)");
        tool::output(
            Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
                .arg(image.dir.join("disk"))
                .arg(state.join("disk.qcow2")),
        )?;
        let begin = Instant::now();
        // Kept outside, so that it can be read when the boot failed.
        let serial = parent.join("boot.log");
        let mut machine =
            Machine::start(image, state, &parent.join("share"), &serial, Start::Boot)?;
        machine.wait_ready()?;
        eprintln!(
            "lab: dom0 is ready ({:.1} s), saving its state",
            begin.elapsed().as_secs_f32()
        );
        let ssh = connect(&mut machine, image)?;
        // What is read once is in memory for every lab to come.
        tool::output(&mut ssh.command(
            "cat /lab/guest/* /usr/lib/xen-*/bin/* /usr/lib/xen-*/boot/* /usr/libexec/xen-qemu-system-i386 \
             /usr/lib/x86_64-linux-gnu/*.so* >/dev/null; xl info >/dev/null; xl list >/dev/null; rm -rf /tmp/* && sync",
        ))?;
        drop(ssh);
        fs::copy(&serial, state.join("boot.log"))?;
        machine.freeze()
    })
}
