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
use super::arguments::{
    CABLE, EMULATOR, IMAGE, SERIAL, SHARE, SHARED_DISK, STATE, Start, arguments,
};
use super::emulator::Emulator;
use super::image::Image;
use super::patience::Patience;
use super::qmp::Qmp;
use super::scratch::Scratch;
use crate::tool;

/// File with the state of everything except the memory and the disk.
const DEVICE_STATE: &str = "state/devices";

/// A starting computer hangs if it prints nothing for this long although it gets the processors.
const SILENCE: Duration = Duration::from_secs(90);

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
    /// File of the disk that both hosts of a pair use. Other computers do not open it.
    pub(crate) shared_disk: &'a Path,
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
            shared_disk,
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
            (SHARED_DISK, shared_disk),
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
        let asked = self.qmp()?.quit();
        self.or_its_own_words(asked)?;
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

    /// Socket of the end of the cable.
    pub(crate) fn cable(&self) -> PathBuf {
        self.dir().join(CABLE)
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
