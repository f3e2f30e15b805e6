//! The lab: a real Xen with a dom0, emulated by QEMU.
//!
//! dom0 is installed and booted once. Its memory and devices are saved when it is ready, and every later lab resumes from this state in
//! about a second. Changes in a lab are discarded, except for the shared directory.

pub(crate) mod accel;
mod arguments;
mod cable;
pub(crate) mod cache;
pub(crate) mod debian;
mod emulator;
mod evidence;
mod host;
mod image;
pub(crate) mod lock;
mod machine;
mod model;
pub(crate) mod pair;
mod patience;
pub(crate) mod power_cuts;
mod qmp;
mod room;
mod scratch;
pub(crate) mod soak;
mod ssh;
mod state;
mod tiny;
mod trial;

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};

pub(crate) use self::accel::Accel;
use self::accel::Backend;
use self::arguments::{SHARED_DISK, Start};
use self::emulator::Emulator;
use self::image::{Image, Init};
use self::lock::Lock;
use self::machine::{Machine, Parts};
use self::model::Model;
use self::ssh::Ssh;
use crate::paths;
use crate::tool;
use crate::xen::Xen;

/// A running dom0. Dropping it switches the computer off.
#[derive(Debug)]
pub(crate) struct Lab {
    // Dropped in this order.
    ssh: Ssh,
    machine: Machine,
    dir: PathBuf,
    key: PathBuf,
    _lock: Lock,
}

/// A computer that is up, with a connection to its dom0.
#[derive(Debug)]
pub(crate) struct Up {
    ssh: Ssh,
    machine: Machine,
}

/// The hardware of the lab's computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hardware {
    /// Only the hardware that dom0 needs.
    Plain,
    /// Also an IOMMU and devices to give to guests.
    Devices,
    /// The plain hardware, with memory for a thousand small guests.
    Large,
    /// A processor and memory for programs with the thread sanitizer.
    Sanitizer,
    /// The plain hardware, with Debian's systemd as dom0's first process.
    ///
    /// The computer boots anew each time and may restart: its disk keeps the changes.
    Systemd,
}

impl Hardware {
    fn init(self) -> Init {
        match self {
            Self::Plain | Self::Devices | Self::Large | Self::Sanitizer => Init::Small,
            Self::Systemd => Init::Systemd,
        }
    }

    fn model(self) -> Model {
        match self {
            Self::Plain | Self::Systemd => Model::Plain,
            Self::Devices => Model::Devices,
            Self::Large => Model::Large,
            Self::Sanitizer => Model::Sanitizer,
        }
    }
}

/// The right to run a lab, with enough memory and disk space. It is taken before anything that takes long.
#[derive(Debug)]
pub(crate) struct Reservation {
    xen: Xen,
    lock: Lock,
}

/// The files on disk that a computer needs before it starts.
#[derive(Debug)]
struct Plan {
    xen: Xen,
    hardware: Hardware,
    emulator: Emulator,
    image: Image,
    /// `target/lab/VERSION`.
    dir: PathBuf,
}

/// Directory in dom0 for the programs that are brought there. It is in dom0's memory: each page of a program in the shared directory would
/// come from outside of the lab, one at a time, again for each process.
pub(crate) const PROGRAMS: &str = "/run/programs";

/// Disk space that a running lab may fill, in MiB. Its changes go to files that are removed with it.
const DISK_ROOM: u64 = 2000;

/// Memory that a lab needs in addition to that of its computer, in MiB: the emulator's translations.
const OVERHEAD: u64 = 1200;

/// Fails if the host has too little memory or disk space for a lab. While another lab runs this check may be too strict.
pub(crate) fn check_room(xen: Xen) -> Result<()> {
    check_memory(Hardware::Plain)?;
    let missing = emulator::disk_room()? + image::disk_room(xen, Init::Small);
    room::check_disk(&paths::xen_dir(xen), DISK_ROOM + missing, "the lab")
}

fn check_memory(hardware: Hardware) -> Result<()> {
    let memory = u64::from(hardware.model().memory_mib());
    room::check_memory(memory + OVERHEAD, "the lab")
}

/// Builds the emulator and dom0's image if they are missing, both at once: the first takes the processors, and the second waits for the
/// network and for the disk.
fn parts(xen: Xen, init: Init) -> Result<(Emulator, Image)> {
    thread::scope(|scope| {
        let emulator = scope.spawn(emulator::ensure);
        let image = image::ensure(xen, init);
        let emulator = emulator.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok((emulator?, image?))
    })
}

impl Reservation {
    /// Waits until no other process runs a lab. Then fails if the host has too little memory or disk space for one.
    pub(crate) fn of(xen: Xen) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("the lab needs root: its dom0 is a Debian that is installed with chroot");
        }
        let lock = Lock::take("lab")?;
        // No other builder runs, so incomplete entries belong to interrupted ones.
        cache::remove_parts(&paths::lab_dir())?;
        cache::remove_parts(&paths::xen_dir(xen))?;
        check_room(xen)?;
        Ok(Self { xen, lock })
    }

    /// Builds the missing parts.
    pub(crate) fn prepare(&self) -> Result<()> {
        parts(self.xen, Init::Small)?;
        Ok(())
    }

    /// Builds the missing parts, starts the computer, and returns once commands can run.
    pub(crate) fn start(self, hardware: Hardware, accel: Accel) -> Result<Lab> {
        let (plan, backend) = self.plan(hardware, accel)?;
        let up = plan.up(backend)?;
        Ok(Lab {
            ssh: up.ssh,
            machine: up.machine,
            dir: plan.dir,
            key: plan.image.key(),
            _lock: self.lock,
        })
    }

    /// Builds the missing parts, and chooses the backend.
    fn plan(&self, hardware: Hardware, accel: Accel) -> Result<(Plan, Backend)> {
        let xen = self.xen;
        check_memory(hardware)?;
        let (emulator, image) = parts(xen, hardware.init())?;
        let plan = Plan {
            xen,
            hardware,
            emulator,
            image,
            dir: paths::xen_dir(xen),
        };
        tiny::ensure(&plan.dir, &plan.dir.join("share"))?;
        let computer = match hardware {
            Hardware::Plain => "plain",
            Hardware::Devices => "devices",
            Hardware::Large => "large",
            Hardware::Sanitizer => "sanitizer",
            Hardware::Systemd => "systemd",
        };
        let backend = accel::choose(accel, computer, &plan.emulator, || {
            trial::run(&plan.up(Backend::Kvm)?, hardware)
        })?;
        Ok((plan, backend))
    }
}

impl Lab {
    /// Same as [`Reservation::start`], with a new reservation.
    pub(crate) fn start(xen: Xen, hardware: Hardware, accel: Accel) -> Result<Self> {
        Reservation::of(xen)?.start(hardware, accel)
    }

    /// Runs a shell command in dom0, with this process's standard input and output.
    pub(crate) fn run(&self, line: &str) -> Result<ExitStatus> {
        self.command(line).status().context("cannot run ssh")
    }

    /// Returns a shell command for dom0, not yet started.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.ssh.command(line)
    }

    /// Same as [`Self::command`], but killed after this many seconds: all of dom0 may hang.
    pub(crate) fn command_within(&self, seconds: u32, line: &str) -> Command {
        let remote = self.command(line);
        let mut command = Command::new("timeout");
        command
            .args(["--foreground", "--kill-after=10", &seconds.to_string()])
            .arg(remote.get_program())
            .args(remote.get_args());
        command
    }

    /// Runs a shell command in dom0 and returns the output. A failure of the command is an error.
    pub(crate) fn output(&self, line: &str) -> Result<String> {
        tool::output(&mut self.command_within(120, line))
            .with_context(|| format!("in dom0: {line}"))
    }

    /// Copies programs into dom0, each to [`PROGRAMS`] under its name.
    pub(crate) fn install<'a>(
        &self,
        programs: impl IntoIterator<Item = (&'a Path, &'a str)>,
    ) -> Result<()> {
        self.output(&put_all(&self.dir, programs)?)?;
        Ok(())
    }

    /// Copies a file into dom0, as `/share/<name>`.
    pub(crate) fn bring(&self, file: &Path, name: &str) -> Result<()> {
        let to = self.dir.join("share").join(name);
        fs::copy(file, &to).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(())
    }

    /// Hides `xl` and all other commands of its package.
    pub(crate) fn hide_xl(&self) -> Result<()> {
        self.output(
            "cd / && mkdir -p /root/hidden && mv /usr/lib/xen-*/bin/xl /root/hidden/ && \
             for file in $(dpkg -L xen-utils-common | grep -E '^(/usr)?/s?bin/'); do mv \"$file\" /root/hidden/ 2>/dev/null; done; ! command -v xl",
        )?;
        Ok(())
    }

    /// Waits until the restarting computer takes commands.
    pub(crate) fn wait_restarted(&mut self) -> Result<()> {
        self.machine.wait_ready()?;
        self.ssh = connect(&mut self.machine, &self.key)?;
        settle(&self.ssh)
    }

    /// Waits until the computer has switched itself off.
    pub(crate) fn wait_off(&mut self) -> Result<()> {
        self.machine.wait_off()
    }

    /// Returns the output of Xen and dom0 on the serial port.
    pub(crate) fn console(&self) -> String {
        self.machine.console()
    }

    /// Tells whether the computer still runs, with the last lines that Xen and dom0 have printed on the serial port.
    pub(crate) fn last_words(&mut self) -> String {
        match self.machine.check_alive() {
            Ok(()) => format!(
                "the computer still runs; its console ends with:\n{}",
                tool::tail(&self.dir.join("serial.log"), 20)
            ),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Runs an interactive shell in dom0.
    pub(crate) fn shell(&self) -> Result<ExitStatus> {
        self.ssh.shell()
    }
}

/// Copies programs into the shared directory of the dom0s below `dir`, and returns the shell command with which a dom0 takes them to
/// [`PROGRAMS`].
fn put_all<'a>(
    dir: &Path,
    programs: impl IntoIterator<Item = (&'a Path, &'a str)>,
) -> Result<String> {
    let mut names = Vec::new();
    for (program, name) in programs {
        put(dir, program, name)?;
        names.push(tool::quote(name));
    }
    Ok(format!(
        "mkdir -p {PROGRAMS} && cd /share/bin && cp {} {PROGRAMS}",
        names.join(" ")
    ))
}

/// Copies a program into the shared directory of the dom0s below `dir`.
///
/// Debugging sections are stripped: the shared directory is slow, and dom0's copy takes its memory.
fn put(dir: &Path, program: &Path, name: &str) -> Result<()> {
    let bin = dir.join("share/bin");
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

impl Plan {
    /// Starts the computer with this state and kind of start.
    fn machine(&self, backend: Backend, state: &Path, start: Start) -> Result<Machine> {
        let parts = Parts {
            emulator: &self.emulator,
            backend,
            image: &self.image,
            state,
            share: &self.dir.join("share"),
            serial: &self.dir.join(start.log()),
            shared_disk: &self.dir.join(SHARED_DISK),
        };
        Machine::start(&parts, start)
    }

    /// Starts the computer, and waits until its dom0 takes commands.
    fn up(&self, backend: Backend) -> Result<Up> {
        if self.hardware == Hardware::Systemd {
            return self.power_on(backend, &self.new_disk("systemd")?, Start::Systemd);
        }
        let model = self.hardware.model();
        let state = self.ready_state(backend, model)?;
        self.power_on(backend, &state, Start::Resume(model))
    }

    /// Same as [`Self::up`], with this state and kind of start.
    fn power_on(&self, backend: Backend, state: &Path, start: Start) -> Result<Up> {
        let begin = Instant::now();
        let mut machine = self.machine(backend, state, start)?;
        if !matches!(start, Start::Resume(_)) {
            machine.wait_ready()?;
        }
        let ssh = connect(&mut machine, &self.image.key())?;
        settle(&ssh)?;
        eprintln!(
            "lab: {}Xen {} is up ({:.1} s{})",
            start
                .model()
                .host()
                .map_or(String::new(), |host| format!("{}, ", host.name())),
            self.xen,
            begin.elapsed().as_secs_f32(),
            match backend {
                Backend::Kvm => ", on KVM",
                Backend::Tcg => ", emulated",
            }
        );
        Ok(Up { ssh, machine })
    }

    /// Returns a directory with a disk as it was after the installation of dom0.
    fn new_disk(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        self.overlay(&dir)?;
        Ok(dir)
    }
}

/// Connects to the dom0 of a computer that is up.
fn connect(machine: &mut Machine, key: &Path) -> Result<Ssh> {
    let port = machine.ssh_port()?;
    let patience = machine.patience();
    Ssh::connect(machine.dir(), port, key, patience)
}

/// Sets dom0's clock, which may still show the time at which the state was saved, and mounts the shared directory.
fn settle(ssh: &Ssh) -> Result<()> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs_f64();
    output(
        ssh,
        &format!(
            "date --set=@{now:.3} >/dev/null && mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 share /share"
        ),
    )?;
    Ok(())
}

/// Runs a shell command in dom0 and returns the output. A failure of the command is an error.
fn output(ssh: &Ssh, line: &str) -> Result<String> {
    // A computer on KVM may hang where an emulated one is slow.
    let remote = ssh.command(line);
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=10", "180"])
        .arg(remote.get_program())
        .args(remote.get_args());
    tool::output(&mut command).with_context(|| format!("in dom0: {line}"))
}

impl Up {
    /// Runs a shell command in dom0 and returns the output. A failure of the command is an error.
    fn output(&self, line: &str) -> Result<String> {
        output(&self.ssh, line)
    }
}
