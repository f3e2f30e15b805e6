//! `DomainMetric` and `HostMemory`, as EVE reads them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::config::UuidAndVersion;
use super::status::go_time;

/// Resources that one domain uses. Memory is in MiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DomainMetric {
    /// The application; a uuid of zeros stands for the host as a whole.
    #[serde(rename = "UUIDandVersion")]
    pub uuid_and_version: UuidAndVersion,
    /// Processor time in nanoseconds, divided by the number of processors.
    #[serde(rename = "CPUTotalNs")]
    pub cpu_total_ns: u64,
    /// The number of processors by which it was divided.
    #[serde(rename = "CPUScaled")]
    pub cpu_scaled: u32,
    /// Memory that the domain may have.
    #[serde(rename = "AllocatedMB")]
    pub allocated_mb: u32,
    /// Memory that the domain has. The part of it that the guest uses cannot be seen from outside.
    pub used_memory: u32,
    /// The most memory that the domain has had since this agent started.
    pub max_used_memory: u32,
    /// Memory that the domain may have but does not have.
    pub available_memory: u32,
    /// Memory that the domain has, in percent of the memory that it may have.
    pub used_memory_percent: f64,
    /// Time of the measurement.
    #[serde(with = "go_time")]
    pub last_heard: Option<OffsetDateTime>,
    /// True if there is a domain that has been started.
    pub activated: bool,
    /// Name of a computer in one of EVE's clusters; empty here.
    pub node_name: String,
}

/// Memory of the host, in MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HostMemory {
    /// Total memory.
    #[serde(rename = "TotalMemoryMB")]
    pub total_memory_mb: u64,
    /// Memory that no domain has, where dom0 counts as a domain.
    #[serde(rename = "FreeMemoryMB")]
    pub free_memory_mb: u64,
    /// Memory that dom0 uses of its own.
    #[serde(rename = "UsedEveMB")]
    pub used_eve_mb: u64,
    /// The part of `UsedEveMB` that dom0's kernel uses.
    #[serde(rename = "KmemUsedEveMB")]
    pub kmem_used_eve_mb: u64,
    /// Number of physical processors.
    pub ncpus: u32,
}
