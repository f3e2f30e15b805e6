//! `cargo xtask lab --hosts 2 --check`: tries the cable, the shared disk and the ways between two hosts.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::Pair;
use crate::tool;

/// The script that runs in the dom0 of alpha.
const SCRIPT: &str = include_str!("check.sh");

/// Prints a line for each property that must differ between the hosts.
const IDENTITY: &str = "cat /proc/sys/kernel/random/boot_id /etc/machine-id /etc/hostname /run/sshd/ssh_host_ed25519_key.pub \
    /sys/class/net/eth0/address /sys/class/net/eth1/address /sys/class/dmi/id/product_uuid";

/// Prints a line for each thing that works. The exit code is zero only if all do.
pub(crate) fn run(pair: &Pair) -> Result<ExitCode> {
    let alpha = pair.alpha().output(IDENTITY)?;
    let beta = pair.output_of_beta(IDENTITY)?;
    for (a, b) in alpha.lines().zip(beta.lines()) {
        ensure!(a != b, "both hosts have {a}");
    }
    println!(
        "ok: the hosts differ in boot id, machine id, name, SSH key, hardware addresses and UUID"
    );
    let status = pair.alpha().run(SCRIPT)?;
    Ok(tool::exit_code(status))
}
