//! The emulated computer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::accel::Backend;
use super::emulator::Emulator;
use super::image::{Image, Init};
use super::model::Model;
use super::patience::Patience;
use super::qmp::Qmp;
use super::scratch::Scratch;
use crate::tool;

// Names of QEMU's files, as links in its working directory. A space or a comma in a path would end it for QEMU or begin an option, and
// each option has its own syntax for escaping them.
const EMULATOR: &str = "emulator";
const IMAGE: &str = "image";
const STATE: &str = "state";
const SHARE: &str = "share";
const SERIAL: &str = "serial.log";

/// File with the state of everything except the memory and the disk.
const DEVICE_STATE: &str = "state/devices";

/// A starting computer hangs if it prints nothing for this long although it gets the processors.
const SILENCE: Duration = Duration::from_secs(90);

/// Command line of Xen. `bootscrub=0` leaves unused memory untouched, which keeps the saved state small. A large log keeps the messages
/// that explain a failure.
const XEN_LINE: &str = "console=com1 conring_size=1M dom0_max_vcpus=2 bootscrub=0 loglvl=info guest_loglvl=info spec-ctrl=no";

const DOM0_LINE: &str =
    "console=hvc0 root=/dev/vda rw rootfstype=ext4 panic=5 mitigations=off net.ifnames=0 init=";

/// Drivers of the devices to give away. They are loaded later than those of dom0's own devices, so that eth0 is always the link to the
/// host.
const LATE_DRIVERS: &str = "e1000 xhci_pci";

/// Command that dom0 runs first on a computer with devices to give away.
pub(crate) const LOAD_LATE: &str = "modprobe -a xen-pciback e1000 xhci_pci";

/// The devices to give away: two network adapters and a USB controller. `tests/live/devices` knows their addresses.
const SPARE: [(&str, &str); 6] = [
    ("-device", "amd-iommu,intremap=on"),
    ("-netdev", "user,id=spare0,restrict=on"),
    (
        "-device",
        "e1000,netdev=spare0,addr=10,mac=52:54:00:00:00:10,romfile=",
    ),
    ("-netdev", "user,id=spare1,restrict=on"),
    (
        "-device",
        "e1000,netdev=spare1,addr=11,mac=52:54:00:00:00:11,romfile=",
    ),
    ("-device", "qemu-xhci,addr=12"),
];

/// The way a computer starts: anew, or from a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Powers on, and writes to the disk and the memory file.
    Boot(Model),
    /// Resumes from the state next to the disk, and changes no file.
    Resume(Model),
    /// Powers on a computer with a second disk, [`DATA_DISK`] in the state directory, which outlives the computer.
    ///
    /// Changes no other file. Data that dom0 has flushed to this disk survives a power cut; other data may not.
    Durable,
    /// Powers on, and writes to the disk. The computer may restart. Its first process is Debian's systemd.
    Systemd,
}

impl Start {
    fn model(self) -> Model {
        match self {
            Self::Boot(model) | Self::Resume(model) => model,
            Self::Durable | Self::Systemd => Model::Plain,
        }
    }

    fn init(self) -> Init {
        match self {
            Self::Boot(_) | Self::Resume(_) | Self::Durable => Init::Small,
            Self::Systemd => Init::Systemd,
        }
    }
}

/// File of the disk that outlives its computer. It is `/dev/vdb` in dom0.
pub(crate) const DATA_DISK: &str = "data.qcow2";

/// A running QEMU. It ends when this value is dropped or this process ends.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
    qmp: Option<Qmp>,
    serial: PathBuf,
    /// Number of times dom0 has reported that it is ready.
    starts: usize,
    dir: Scratch,
}

/// The parts of a computer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// QEMU, which runs the computer.
    pub(crate) emulator: &'a Emulator,
    /// Hardware virtualisation or emulation.
    pub(crate) backend: Backend,
    /// The disk of dom0, Xen, and dom0's kernel.
    pub(crate) image: &'a Image,
    /// Directory of the disk, the memory and, in a saved state, the devices.
    pub(crate) state: &'a Path,
    /// Directory on the host that dom0 can mount.
    pub(crate) share: &'a Path,
    /// File for the output of Xen and dom0 on the serial port.
    pub(crate) serial: &'a Path,
}

impl Machine {
    /// Starts QEMU. With [`Start::Resume`] the computer runs on from its saved state.
    pub(crate) fn start(parts: &Parts<'_>, start: Start) -> Result<Self> {
        let Parts {
            emulator,
            backend,
            image,
            state,
            share,
            serial,
        } = *parts;
        let dir = Scratch::new()?;
        fs::create_dir_all(share)?;
        fs::write(serial, "")?;
        for (name, path) in [
            (EMULATOR, &*emulator.dir),
            (IMAGE, &*image.dir),
            (STATE, state),
            (SHARE, share),
            (SERIAL, serial),
        ] {
            symlink(path, dir.path().join(name))
                .with_context(|| format!("cannot link to {}", path.display()))?;
        }
        let words = Emulator::words(EMULATOR, "qemu-system-x86_64");
        let mut command = tool::dies_with_us("KILL", &words[0]);
        command
            .args(&words[1..])
            .args(["-L", &format!("{EMULATOR}/firmware")])
            .args(arguments(start, backend))
            .args(["-qmp", "unix:qmp,server=on,wait=off"])
            .current_dir(dir.path())
            // Directory for the file of `snapshot=on`. The file is large, and a small `/tmp` in memory may not hold it.
            .env("TMPDIR", share.parent().unwrap_or(share))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("qemu.log"))?);
        let child = command.spawn().context("cannot run QEMU")?;
        let mut machine = Self {
            child,
            qmp: None,
            serial: serial.to_owned(),
            starts: 0,
            dir,
        };
        let socket = machine.dir.path().join("qmp");
        let connected = Qmp::connect(&socket, || machine.check_alive());
        machine.qmp = Some(machine.or_its_own_words(connected)?);
        if matches!(start, Start::Resume(_)) {
            let resumed = machine.resume();
            machine.or_its_own_words(resumed)?;
        }
        Ok(machine)
    }

    /// Takes over the saved state, and lets the computer run.
    fn resume(&mut self) -> Result<()> {
        self.ignore_memory()?;
        self.qmp()?.execute(
            "migrate-incoming",
            &json!({ "uri": format!("exec:cat {DEVICE_STATE}") }),
        )?;
        self.qmp()?.wait_migrated()?;
        self.qmp()?.execute("cont", &json!({}))?;
        Ok(())
    }

    /// Waits for dom0's init to report once more that dom0 is ready.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let mut patience = self.patience();
        let mut said = 0;
        loop {
            let text = fs::read(&self.serial).unwrap_or_default();
            if text.len() > said {
                said = text.len();
                patience.renew();
            }
            let text = String::from_utf8_lossy(&text);
            if text.matches("lab: READY").count() > self.starts {
                self.starts += 1;
                return Ok(());
            }
            for trouble in ["lab: FAILED", "Kernel panic", "Panic on CPU"] {
                if text.contains(trouble) {
                    // More lines that explain the failure may follow.
                    thread::sleep(Duration::from_secs(1));
                    bail!(
                        "dom0 did not start; its console ends with:\n{}",
                        tool::tail(&self.serial, 40)
                    );
                }
            }
            self.check_alive()?;
            if patience.is_over() {
                bail!(
                    "dom0 is not ready, and has been silent for {} s in which it could run; its console ends with:\n{}",
                    SILENCE.as_secs(),
                    tool::tail(&self.serial, 40)
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the computer has switched itself off.
    pub(crate) fn wait_off(&mut self) -> Result<()> {
        let mut patience = self.patience();
        let mut said = 0;
        while self.child.try_wait()?.is_none() {
            let length = fs::metadata(&self.serial).map_or(0, |found| found.len());
            if length > said {
                said = length;
                patience.renew();
            }
            if patience.is_over() {
                bail!(
                    "the computer does not switch itself off; its console ends with:\n{}",
                    tool::tail(&self.serial, 40)
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Returns the output of Xen and dom0 on the serial port.
    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.serial).unwrap_or_default()).into_owned()
    }

    /// Stops the computer for good and saves the state of its devices, from which a later one resumes. The memory file is already
    /// complete.
    pub(crate) fn freeze(mut self) -> Result<()> {
        let saved = self.save();
        self.or_its_own_words(saved)?;
        // QEMU is asked to quit, and not killed: it must write out its metadata of the disk.
        self.qmp()?.quit()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "QEMU ended ({status})");
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.qmp()?.execute("stop", &json!({}))?;
        self.ignore_memory()?;
        self.qmp()?.execute(
            "migrate",
            &json!({ "uri": format!("exec:cat >{DEVICE_STATE}") }),
        )?;
        self.qmp()?.wait_migrated()
    }

    /// Returns the port of dom0's sshd on the loopback address. QEMU lets the kernel choose this port, so it is always free.
    pub(crate) fn ssh_port(&mut self) -> Result<u16> {
        let text = self.ask("info usernet")?;
        // TCP[HOST_FORWARD]  13  127.0.0.1 37929  10.0.2.15 22  0 0
        text.lines()
            .find(|line| line.contains("HOST_FORWARD"))
            .and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
            .with_context(|| format!("QEMU does not say which port it forwards: {text}"))
    }

    /// Returns the answer of QEMU's monitor for people.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String> {
        let answer = self.qmp()?.execute(
            "human-monitor-command",
            &json!({ "command-line": question }),
        )?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Returns a deadline for waiting until something in this computer answers.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.child.id(), SILENCE)
    }

    /// A directory with a short path, removed together with the computer.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Fails if QEMU has ended, with the exit status and the last output as the reason.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "QEMU ended ({status})\n{}\nThe console ends with:\n{}",
                tool::tail(&self.dir.path().join("qemu.log"), 20),
                tool::tail(&self.serial, 40)
            ),
        }
    }

    /// If the connection broke because QEMU has ended, returns an error with QEMU's last output.
    fn or_its_own_words<T>(&mut self, result: Result<T>) -> Result<T> {
        result.or_else(|error| {
            // QEMU may be about to end.
            thread::sleep(Duration::from_millis(200));
            self.check_alive()?;
            Err(error)
        })
    }

    /// Leaves the memory out of the migration stream, which would take seconds. The memory file already holds it.
    fn ignore_memory(&mut self) -> Result<()> {
        let capabilities =
            json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] });
        self.qmp()?
            .execute("migrate-set-capabilities", &capabilities)?;
        Ok(())
    }

    fn qmp(&mut self) -> Result<&mut Qmp> {
        self.qmp.as_mut().context("QEMU is not connected")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns QEMU's arguments that must be the same when a state is saved and when it is resumed.
pub(crate) fn arguments(start: Start, backend: Backend) -> Vec<String> {
    let image = |name: &str| format!("{IMAGE}/{name}");
    let resume = matches!(start, Start::Resume(_));
    let model = start.model();
    let devices = model == Model::Devices;
    let memory = model.memory_mib();
    let durable = start == Start::Durable;
    let systemd = start == Start::Systemd;
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add(
        "-machine",
        match start {
            Start::Durable | Start::Systemd => "pc",
            // The IOMMU is made for this machine.
            _ if devices => "q35,memory-backend=ram",
            Start::Boot(_) | Start::Resume(_) => "pc,memory-backend=ram",
        }
        .into(),
    );
    let (accel, processor) = backend.words();
    add("-accel", accel.into());
    add("-cpu", processor.into());
    add("-smp", "2".into());
    add("-m", format!("{memory}M"));
    // `share=off` is a private mapping: a resumed computer writes to pages of its own.
    let (ram, shared) = (format!("{STATE}/ram"), if resume { "off" } else { "on" });
    if !durable && !systemd {
        add(
            "-object",
            format!("memory-backend-file,id=ram,size={memory}M,mem-path={ram},share={shared}"),
        );
    }
    add("-kernel", image("xen"));
    let dom0 = model.dom0_mib();
    add(
        "-append",
        format!("{XEN_LINE} dom0_mem={dom0}M,max:{dom0}M"),
    );
    let late = if devices {
        format!(" modprobe.blacklist={}", LATE_DRIVERS.replace(' ', ",,"))
    } else {
        String::new()
    };
    add(
        "-initrd",
        format!(
            "{} {DOM0_LINE}{}{late},{}",
            image("vmlinuz"),
            start.init().program(),
            image("initrd")
        ),
    );
    let (disk, format) = if durable {
        (image("disk"), "raw")
    } else {
        (format!("{STATE}/disk.qcow2"), "qcow2")
    };
    let throw_away = if resume || durable {
        ",snapshot=on"
    } else {
        ""
    };
    add(
        "-drive",
        format!("file={disk},if=virtio,format={format},cache=unsafe{throw_away}"),
    );
    if durable {
        // QEMU obeys flushes. Until a flush only QEMU knows where new clusters are, so they are lost with it, as with the cache of a real
        // drive.
        add(
            "-drive",
            format!("file={STATE}/{DATA_DISK},if=virtio,format=qcow2,cache=writeback"),
        );
    }
    add(
        "-netdev",
        "user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22".into(),
    );
    add("-device", "virtio-net-pci,netdev=net0,romfile=".into());
    add("-device", "virtio-rng-pci".into());
    add(
        "-virtfs",
        format!("local,path={SHARE},mount_tag=share,security_model=none,id=share"),
    );
    add("-serial", format!("file:{SERIAL}"));
    if resume {
        add("-incoming", "defer".into());
    }
    if devices {
        for (option, value) in SPARE {
            add(option, value.into());
        }
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-display", "none"].map(String::from));
    if !systemd {
        arguments.push("-no-reboot".to_owned());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the arguments that describe disks.
    fn disks(start: Start) -> Vec<String> {
        let words = arguments(start, Backend::Tcg);
        let pairs = words.windows(2).filter(|pair| pair[0] == "-drive");
        pairs.map(|pair| pair[1].clone()).collect()
    }

    #[test]
    fn only_a_disk_that_has_to_survive_a_power_cut_is_flushed() {
        let root = "file=image/disk,if=virtio,format=raw,cache=unsafe,snapshot=on";
        let data = "file=state/data.qcow2,if=virtio,format=qcow2,cache=writeback";
        assert_eq!(disks(Start::Durable), [root, data]);
        for model in [Model::Plain, Model::Devices, Model::Large] {
            assert_eq!(
                disks(Start::Boot(model)),
                ["file=state/disk.qcow2,if=virtio,format=qcow2,cache=unsafe"]
            );
            assert_eq!(
                disks(Start::Resume(model)),
                ["file=state/disk.qcow2,if=virtio,format=qcow2,cache=unsafe,snapshot=on"]
            );
        }
    }
}
