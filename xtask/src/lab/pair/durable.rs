//! Two hosts that are switched off and on again. Each has a disk that outlives that, and boots anew each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::accel::Backend;
use super::super::arguments::{DATA_DISK, Start};
use super::super::cable::Cable;
use super::super::host::Host;
use super::super::lock::Lock;
use super::super::machine::Machine;
use super::super::model::Model;
use super::super::{Accel, Plan, Reservation, Up, connect, settle};
use crate::xen::Xen;

/// Both hosts, which are off at first. It is dropped after all computers that are on.
#[derive(Debug)]
pub(crate) struct DurablePair {
    plan: Plan,
    backend: Backend,
    cable: Cable,
    states: PathBuf,
    _lock: Lock,
}

/// A computer whose dom0 does not take commands yet. Dropping it switches it off.
#[derive(Debug)]
pub(crate) struct Starting(Machine);

/// A computer whose dom0 takes commands. Dropping it switches it off: what was not flushed to its disk is lost.
#[derive(Debug)]
pub(crate) struct Started(Up);

impl DurablePair {
    /// Builds the missing parts. `content` is what is on the disks of both at first, `/dev/vdb` there. `/dev/vdc` is a disk that both use.
    pub(crate) fn new(xen: Xen, accel: Accel, content: &Path) -> Result<Self> {
        let reservation = Reservation::of(xen)?;
        let (plan, backend) = super::prepare(&reservation, accel)?;
        let states = plan.dir.join("durable-pair");
        for host in Host::BOTH {
            let state = states.join(host.name());
            if state.exists() {
                fs::remove_dir_all(&state)?;
            }
            fs::create_dir_all(&state)
                .with_context(|| format!("cannot create {}", state.display()))?;
            plan.emulator.overlay(content, &state.join(DATA_DISK))?;
        }
        Ok(Self {
            plan,
            backend,
            cable: Cable::new()?,
            states,
            _lock: reservation.lock,
        })
    }

    /// Directory that both have as `/share`.
    pub(crate) fn share(&self) -> PathBuf {
        self.plan.dir.join("share")
    }

    /// Switches a host on, and plugs the cable in.
    pub(crate) fn power_on(&self, host: usize) -> Result<Starting> {
        let host = Host::BOTH[host];
        let start = Start::Durable(Model::Paired(host));
        let state = self.states.join(host.name());
        let machine = self.plan.machine(self.backend, &state, start)?;
        self.cable.plug(host, &machine.cable())?;
        Ok(Starting(machine))
    }

    /// Waits until the dom0 takes commands.
    pub(crate) fn wait_up(&self, Starting(mut machine): Starting) -> Result<Started> {
        machine.wait_ready()?;
        let ssh = connect(&mut machine, &self.plan.image.key())?;
        settle(&ssh)?;
        Ok(Started(Up { ssh, machine }))
    }

    /// Cuts the cable in both directions, or mends it.
    pub(crate) fn plug(&self, plugged: bool) {
        self.cable.cut(!plugged);
    }
}

impl Started {
    /// Returns a command of the dom0's shell, not yet started.
    pub(crate) fn command(&self, line: &str) -> Command {
        self.0.ssh.command(line)
    }

    /// Runs a command of the dom0's shell, and returns the output. A failure of the command is an error.
    pub(crate) fn output(&self, line: &str) -> Result<String> {
        self.0.output(line)
    }
}
