//! DomainMetric and HostMemory, as EVE reads them.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::UuidAndVersion;
use super::status::go_time;

/// What one domain uses. Memory is in MiB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DomainMetric {
    /// Which application; zeros for the host as a whole.
    #[serde(rename = "UUIDandVersion")]
    pub uuid_and_version: UuidAndVersion,
    /// Processor time in nanoseconds, divided by the number of processors.
    #[serde(rename = "CPUTotalNs")]
    pub cpu_total_ns: u64,
    /// The number of processors by which it was divided.
    #[serde(rename = "CPUScaled")]
    pub cpu_scaled: u32,
    /// Memory the domain may have.
    #[serde(rename = "AllocatedMB")]
    pub allocated_mb: u32,
    /// Memory it has. How much of that the guest uses, nobody outside can see.
    pub used_memory: u32,
    /// The most it has had since this agent started.
    pub max_used_memory: u32,
    /// Memory it may have and has not.
    pub available_memory: u32,
    /// What it has, in percent of what it may have.
    pub used_memory_percent: f64,
    /// When this was so.
    #[serde(with = "go_time")]
    pub last_heard: Option<OffsetDateTime>,
    /// There is a domain, and it has been started.
    pub activated: bool,
    /// EVE's clusters have names for their computers; there is none here.
    pub node_name: String,
}

/// Memory of the host, in MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HostMemory {
    /// All of it.
    #[serde(rename = "TotalMemoryMB")]
    pub total_memory_mb: u64,
    /// What no domain has, dom0 included.
    #[serde(rename = "FreeMemoryMB")]
    pub free_memory_mb: u64,
    /// What dom0 uses of its own.
    #[serde(rename = "UsedEveMB")]
    pub used_eve_mb: u64,
    /// What dom0's kernel uses of that.
    #[serde(rename = "KmemUsedEveMB")]
    pub kmem_used_eve_mb: u64,
    /// Physical processors.
    pub ncpus: u32,
}
