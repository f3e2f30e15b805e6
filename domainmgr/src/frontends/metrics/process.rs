//! The process of the agent.

use std::fs;
use std::time::Duration;

/// Usage of resources by this process. What the kernel does not say is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Processor time.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub memory: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// Number of file descriptors.
    pub descriptors: Option<u64>,
}

/// Returns the usage until now.
#[must_use]
pub fn now() -> Process {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Process {
        cpu: Duration::try_from(cpu).unwrap_or_default(),
        memory: resident(),
        threads: entries("/proc/self/task"),
        descriptors: entries("/proc/self/fd"),
    }
}

fn entries(dir: &str) -> Option<u64> {
    let entries = fs::read_dir(dir).ok()?;
    u64::try_from(entries.count()).ok()
}

fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
