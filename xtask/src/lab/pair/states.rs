//! The saved states of both hosts.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use super::super::accel::Backend;
use super::super::cache;
use super::super::host::Host;
use super::super::model::Model;
use super::super::state::save;
use super::super::{Plan, connect, output};
use crate::tool::quote;

/// The script that prepares a dom0 before its state is saved.
const PREPARE: &str = include_str!("prepare.sh");

/// Port of dom0's loopback address that is the SSH server of the other dom0, by way of the machine that runs the lab.
pub(super) const PEER_PORT: u16 = 2200;

/// Port of dom0's loopback address that takes orders for the cable.
pub(super) const ORDERS_PORT: u16 = 2201;

/// Returns a directory with a directory for each host: its disk, memory and devices when dom0 is up.
pub(super) fn ready(plan: &Plan, backend: Backend) -> Result<PathBuf> {
    let kind = format!("ready_pair_{}", backend.as_str());
    let key = plan
        .state_key(backend, &Host::BOTH.map(Model::Paired))
        .add(include_str!("states.rs"))
        .add(PREPARE);
    cache::get(&plan.dir, &kind, key, |states| {
        eprintln!("lab: booting two hosts for the first time (about two minutes)");
        let begin = Instant::now();
        // Both boot side by side.
        let mut machines = Vec::new();
        for host in Host::BOTH {
            let state = states.join(host.name());
            fs::create_dir(&state)?;
            machines.push(plan.first_boot(backend, Model::Paired(host), &state)?);
        }
        let client_key = fs::read_to_string(plan.image.key())?;
        let mut connections = Vec::new();
        let mut known_hosts = String::new();
        for (host, machine) in Host::BOTH.into_iter().zip(&mut machines) {
            machine.wait_ready()?;
            let ssh = connect(machine, &plan.image.key())?;
            let host_key = output(&ssh, &prepare(host, &client_key))?;
            known_hosts += &format!("{},{} {host_key}", host.name(), host.address());
            connections.push(ssh);
        }
        eprintln!(
            "lab: both are ready ({:.1} s), saving their states",
            begin.elapsed().as_secs_f32()
        );
        for ((host, machine), ssh) in Host::BOTH.into_iter().zip(machines).zip(connections) {
            output(
                &ssh,
                &format!(
                    "printf %s {} >/etc/ssh/ssh_known_hosts",
                    quote(&known_hosts)
                ),
            )?;
            save(machine, ssh, &states.join(host.name()))?;
        }
        Ok(())
    })
}

/// Returns the commands that make this dom0 the one of `host`. They print the public key of its SSH server.
fn prepare(host: Host, client_key: &str) -> String {
    let [alpha, beta] = Host::BOTH.map(Host::address);
    format!(
        "host={} peer={} address={} alpha={alpha} beta={beta} peer_port={PEER_PORT} orders_port={ORDERS_PORT} client_key={}\n{PREPARE}",
        host.name(),
        host.peer().name(),
        host.address(),
        quote(client_key)
    )
}
