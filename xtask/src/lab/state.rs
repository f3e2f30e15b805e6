//! The saved state of a dom0 that is up, from which labs resume.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use super::accel::Backend;
use super::arguments::{self, Start};
use super::cache::{self, Key};
use super::machine::Machine;
use super::model::Model;
use super::ssh::Ssh;
use super::{Plan, connect, output};
use crate::tool;

/// Reads files, which are in the memory of every later lab then.
const WARM: &str = "cat /lab/guest/* /usr/lib/xen-*/bin/* /usr/lib/xen-*/boot/* /usr/libexec/xen-qemu-system-i386 \
    /usr/lib/x86_64-linux-gnu/*.so* >/dev/null; xl info >/dev/null; xl list >/dev/null; rm -rf /tmp/* && sync";

impl Plan {
    /// Returns a directory with the disk, the memory and the devices of a dom0 that is up.
    pub(super) fn ready_state(&self, backend: Backend, model: Model) -> Result<PathBuf> {
        let (kind, with) = match model {
            Model::Plain => ("ready", ""),
            Model::Devices => ("ready_devices", " with devices to give away"),
            Model::Large => ("ready_large", " with much memory"),
            Model::Sanitizer => ("ready_sanitizer", " for the thread sanitizer"),
            // The states of a pair are in one directory: see `pair`.
            Model::Paired(_) => ("ready_paired", " of a pair"),
        };
        let kind = format!("{kind}_{}", backend.as_str());
        let key = self.state_key(backend, &[model]);
        cache::get(&self.dir, &kind, key, |state| {
            eprintln!("lab: booting Xen and dom0{with} for the first time (less than a minute)");
            let begin = Instant::now();
            let mut machine = self.first_boot(backend, model, state)?;
            machine.wait_ready()?;
            eprintln!(
                "lab: dom0 is ready ({:.1} s), saving its state",
                begin.elapsed().as_secs_f32()
            );
            let ssh = connect(&mut machine, &self.image.key())?;
            if model == Model::Devices {
                output(&ssh, arguments::LOAD_LATE)?;
            }
            save(machine, ssh, state)
        })
    }

    /// Digest of everything that the states of these computers are made from.
    pub(super) fn state_key(&self, backend: Backend, models: &[Model]) -> Key {
        // A state works only with the emulator that made it.
        let key = Key::default()
            .add(include_str!("state.rs"))
            .add(self.image.dir.as_os_str().as_encoded_bytes())
            .add(self.emulator.dir.as_os_str().as_encoded_bytes());
        models.iter().fold(key, |key, model| {
            key.add(arguments::arguments(Start::Boot(*model), backend).join("\n"))
        })
    }

    /// Starts a computer with a new disk in `state`.
    pub(super) fn first_boot(
        &self,
        backend: Backend,
        model: Model,
        state: &Path,
    ) -> Result<Machine> {
        self.overlay(state)?;
        self.machine(backend, state, Start::Boot(model))
    }

    /// Creates the disk of a computer: a file in `dir` that takes the changes.
    pub(super) fn overlay(&self, dir: &Path) -> Result<()> {
        self.emulator
            .overlay(&self.image.dir.join("disk"), &dir.join("disk.qcow2"))
    }
}

/// Saves the state of a computer whose dom0 is as every later lab finds it. The computer ends.
pub(super) fn save(machine: Machine, ssh: Ssh, state: &Path) -> Result<()> {
    tool::output(&mut ssh.command(WARM))?;
    drop(ssh);
    fs::write(state.join("boot.log"), machine.console())?;
    machine.freeze()
}
