//! Devices of simulated domains, and of the simulated host.

use std::collections::BTreeSet;

use libxl::config;
use serde::{Deserialize, Serialize};

use crate::spec::Spec;
use crate::spec::render;

/// Figures and devices of a domain.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SimLive {
    pub(super) max_memory_mib: u64,
    pub(super) vcpus: u32,
    pub(super) max_vcpus: u32,
    pub(super) cpus: Vec<u32>,
    pub(super) weight: Option<u32>,
    pub(super) cap: Option<u32>,
    pub(super) disks: Vec<config::Disk>,
    pub(super) nics: Vec<config::Nic>,
    /// Number of devices that were attached, including attempts that failed.
    pub(super) attached: u32,
    /// Names and addresses of devices in the lists that the host has not set up.
    pub(super) unready: BTreeSet<String>,
}

impl SimLive {
    /// Returns the figures and devices of a domain that is built from `spec`.
    pub(super) fn of(spec: &Spec) -> Self {
        let config = render::domain_config(spec);
        Self {
            max_memory_mib: spec.max_memory_mib.unwrap_or(spec.memory_mib),
            vcpus: spec.vcpus,
            max_vcpus: spec.max_vcpus,
            cpus: spec.cpus.clone(),
            weight: spec.weight,
            cap: spec.cap,
            disks: config.disks,
            nics: config.nics,
            attached: 0,
            unready: BTreeSet::new(),
        }
    }

    /// Removes all devices.
    pub(super) fn strip(&mut self) {
        self.disks.clear();
        self.nics.clear();
        self.unready.clear();
    }
}

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SimPci {
    /// PCI address, as text.
    pub(super) address: String,
    /// Driver that the host has for the device.
    pub(super) home: String,
    /// The driver creates a network interface.
    pub(super) has_interface: bool,
    /// Name of the present network interface.
    pub(super) interface: Option<String>,
    pub(super) taken: bool,
    /// The driver does not release the device.
    pub(super) stuck: bool,
    /// Domid of the domain that has the device.
    pub(super) owner: Option<u32>,
    /// Number of times that the device was taken or given back.
    pub(super) moves: u32,
}
