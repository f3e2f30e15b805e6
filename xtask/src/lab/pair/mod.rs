//! Two Xen hosts, joined by a cable that can be cut, with a disk that both can use.
//!
//! Each has a saved state of its own, made by a boot of its own. So the hosts differ as two real ones do: in the random numbers of their
//! kernels, the boot id among them, in names and addresses, and in the keys of their SSH servers.

pub(crate) mod check;
pub(crate) mod durable;
mod states;

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};

use self::states::{ORDERS_PORT, PEER_PORT};
use super::accel::Backend;
use super::arguments::{SHARED_DISK, Start};
use super::cable::Cable;
use super::host::Host;
use super::model::Model;
use super::{Accel, DISK_ROOM, Hardware, Lab, OVERHEAD, Plan, Reservation, Up, put_all, room};
use crate::xen::Xen;

/// Size of the disk that both hosts use. The file is sparse.
const SHARED_BYTES: u64 = 1 << 30;

/// Two running hosts. Dropping the value switches both off.
#[derive(Debug)]
pub(crate) struct Pair {
    // Dropped in this order: alpha has the lock.
    beta: Up,
    alpha: Lab,
}

impl Pair {
    /// Builds the missing parts, starts both computers, joins them, and returns once commands can run.
    pub(crate) fn start(xen: Xen, accel: Accel) -> Result<Self> {
        let reservation = Reservation::of(xen)?;
        let (plan, backend) = prepare(&reservation, accel)?;
        let states = states::ready(&plan, backend)?;
        let [alpha, beta] = Host::BOTH.map(|host| {
            let start = Start::Resume(Model::Paired(host));
            plan.power_on(backend, &states.join(host.name()), start)
        });
        let (mut alpha, mut beta) = (alpha?, beta?);
        join(&mut alpha, &mut beta)?;
        Ok(Self {
            beta,
            alpha: Lab {
                ssh: alpha.ssh,
                machine: alpha.machine,
                dir: plan.dir,
                key: plan.image.key(),
                _lock: reservation.lock,
            },
        })
    }

    /// The host on which commands run.
    pub(crate) fn alpha(&self) -> &Lab {
        &self.alpha
    }

    /// As [`alpha`](Self::alpha), to collect its logs.
    pub(crate) fn alpha_mut(&mut self) -> &mut Lab {
        &mut self.alpha
    }

    /// Same as [`Lab::install`], on both hosts.
    pub(crate) fn install<'a>(
        &self,
        programs: impl IntoIterator<Item = (&'a Path, &'a str)>,
    ) -> Result<()> {
        let take = put_all(&self.alpha.dir, programs)?;
        self.alpha.output(&take)?;
        self.beta.output(&take)?;
        Ok(())
    }

    /// Runs a shell command in the dom0 of beta, and returns the output. A failure of the command is an error.
    pub(crate) fn output_of_beta(&self, line: &str) -> Result<String> {
        self.beta.output(line)
    }
}

/// Builds the missing parts, makes sure that there is room for two computers, and creates the disk that they share.
fn prepare(reservation: &Reservation, accel: Accel) -> Result<(Plan, Backend)> {
    let (plan, backend) = reservation.plan(Hardware::Plain, accel)?;
    let memory: u32 = Host::BOTH
        .map(|host| Model::Paired(host).memory_mib())
        .iter()
        .sum();
    room::check_memory(u64::from(memory) + 2 * OVERHEAD, "the lab with two hosts")?;
    room::check_disk(&plan.dir, 2 * DISK_ROOM, "the lab with two hosts")?;
    new_shared_disk(&plan.dir.join(SHARED_DISK))?;
    Ok((plan, backend))
}

/// Creates the shared disk: only zeros.
fn new_shared_disk(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    File::create(path)
        .and_then(|file| file.set_len(SHARED_BYTES))
        .with_context(|| format!("cannot create {}", path.display()))
}

/// Lays the cable, and has each dom0 reach the other dom0, and the orders of the cable, also when the cable is cut.
fn join(alpha: &mut Up, beta: &mut Up) -> Result<()> {
    let cable = Cable::new()?;
    cable.plug(Host::Alpha, &alpha.machine.cable())?;
    cable.plug(Host::Beta, &beta.machine.cable())?;
    let orders = alpha.machine.dir().join("orders");
    cable.take_orders(&orders)?;
    let ports = [beta.machine.ssh_port()?, alpha.machine.ssh_port()?];
    for (up, port) in [&*alpha, &*beta].into_iter().zip(ports) {
        up.ssh.forward(PEER_PORT, &format!("127.0.0.1:{port}"))?;
        up.ssh.forward(ORDERS_PORT, &orders.to_string_lossy())?;
    }
    Ok(())
}
