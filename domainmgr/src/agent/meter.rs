//! The thread that measures the usage of the domains and of the host, and publishes it for EVE.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crossbeam_channel::after;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::agent::env::Env;
use crate::base::services::Services;
use crate::base::store;
use crate::frontends::eve::{DomainMetric, HostMemory, UuidAndVersion};
use crate::frontends::metrics::{Measured, Sample};
use crate::toolstack::{HostInfo, Session, Usage};

/// Starts the thread that measures. It ends with the agent.
///
/// # Errors
/// The system has no thread to give.
pub fn start(env: Arc<Env>, services: &Services) -> std::io::Result<()> {
    services.start("metrics", 256 << 10, move || {
        let mut meter = Meter::default();
        meter.forget_old(&env.dirs.metrics());
        loop {
            let interval = env
                .settings
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .metric_interval;
            meter.measure(&env);
            // A clock for others: what is measured here announces nothing.
            let _ = after(env.clock.real(interval)).recv();
        }
    })
}

#[derive(Default)]
struct Meter {
    session: Option<Box<dyn Session>>,
    /// Maximum memory that each domain has had, in MiB, for the keys whose files exist.
    known: HashMap<Uuid, u32>,
}

impl Meter {
    /// Registers the files of an earlier run of the agent, so that the next measurement removes those that are not wanted any more.
    fn forget_old(&mut self, dir: &Path) {
        for name in store::list(dir).unwrap_or_default() {
            if let store::Named::Key(key) = store::key_of(&name) {
                self.known.insert(key, 0);
            }
        }
    }

    fn measure(&mut self, env: &Env) {
        let read = match &mut self.session {
            Some(session) => read(session.as_mut()),
            slot => match env.toolstack.session() {
                Ok(session) => read(slot.insert(session).as_mut()),
                Err(e) => Err(e),
            },
        };
        let (host, usage) = match read {
            Ok(read) => read,
            Err(e) => {
                log::warn!("what domains use cannot be read: {e}");
                self.session = None;
                return;
            }
        };
        let wanted = env.metrics.lock().clone();
        let now = env.clock.now().wall;
        env.figures.set(Sample {
            host: host.clone(),
            usage: usage.clone(),
            at: now,
        });
        let dir = env.dirs.metrics();
        let by_id: HashMap<_, _> = usage.iter().map(|u| ((u.id.domid, u.id.uuid), u)).collect();
        for (key, measured) in &wanted {
            let used = by_id.get(&(measured.domid, *key)).copied();
            let most = self.known.entry(*key).or_default();
            let metric = domain(*key, measured, used, most, now);
            write(&dir.join(format!("{key}.json")), &metric);
        }
        let most = self.known.entry(Uuid::nil()).or_default();
        let whole = whole(&host, &usage, most, now);
        write(&dir.join(format!("{}.json", Uuid::nil())), &whole);
        self.known.retain(|key, _| {
            let stays = key.is_nil() || wanted.contains_key(key);
            if !stays {
                let path = dir.join(format!("{key}.json"));
                if let Err(e) = store::withdraw(&path) {
                    log::warn!("{}: {e}", path.display());
                }
            }
            stays
        });
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        write(
            &env.dirs.run.join("HostMemory/global.json"),
            &memory(&host, &meminfo),
        );
    }
}

fn read(session: &mut dyn Session) -> crate::toolstack::Result<(HostInfo, Vec<Usage>)> {
    Ok((session.host()?, session.usage()?))
}

fn write<T: Serialize>(path: &Path, value: &T) {
    let written = serde_json::to_vec(value)
        .map_err(std::io::Error::other)
        .and_then(|text| store::publish(path, &text));
    if let Err(e) = written {
        log::warn!("{}: {e}", path.display());
    }
}

fn mib(kib: u64) -> u32 {
    u32::try_from(kib >> 10).unwrap_or(u32::MAX)
}

fn domain(
    key: Uuid,
    measured: &Measured,
    used: Option<&Usage>,
    most: &mut u32,
    now: OffsetDateTime,
) -> DomainMetric {
    let mut metric = DomainMetric {
        uuid_and_version: UuidAndVersion {
            uuid: key.to_string(),
            version: measured.version.clone(),
        },
        last_heard: Some(now),
        activated: measured.activated && used.is_some(),
        ..DomainMetric::default()
    };
    let Some(used) = used.filter(|_| measured.activated) else {
        metric.max_used_memory = *most;
        return metric;
    };
    metric.cpu_scaled = used.vcpus.max(1);
    metric.cpu_total_ns = used.cpu_time_ns / u64::from(metric.cpu_scaled);
    fill(&mut metric, used.memory_kib, used.max_memory_kib);
    *most = metric.used_memory.max(*most);
    metric.max_used_memory = *most;
    metric
}

/// All domains together, as if they were one with all processors and all memory.
fn whole(host: &HostInfo, usage: &[Usage], most: &mut u32, now: OffsetDateTime) -> DomainMetric {
    let cpus = host.cpus.max(1);
    let time: u64 = usage.iter().map(|u| u.cpu_time_ns).sum();
    let mut metric = DomainMetric {
        uuid_and_version: UuidAndVersion {
            uuid: Uuid::nil().to_string(),
            version: String::new(),
        },
        cpu_total_ns: time / u64::from(cpus),
        cpu_scaled: cpus,
        last_heard: Some(now),
        activated: true,
        ..DomainMetric::default()
    };
    let used = host.memory_mib.saturating_sub(host.free_memory_mib);
    fill(&mut metric, used << 10, host.memory_mib << 10);
    *most = metric.used_memory.max(*most);
    metric.max_used_memory = *most;
    metric
}

fn fill(metric: &mut DomainMetric, has_kib: u64, may_kib: u64) {
    metric.allocated_mb = mib(may_kib);
    metric.used_memory = mib(has_kib);
    metric.available_memory = mib(may_kib.saturating_sub(has_kib));
    // A percentage with one decimal.
    if let Some(tenths) = has_kib.saturating_mul(1000).checked_div(may_kib) {
        metric.used_memory_percent = f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0;
    }
}

fn memory(host: &HostInfo, meminfo: &str) -> HostMemory {
    let kib = |name: &str| -> u64 {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name));
        let number = line.and_then(|l| l.trim_start_matches(':').split_whitespace().next());
        number.and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    let kernel = kib("Slab") + kib("KernelStack") + kib("PageTables");
    HostMemory {
        total_memory_mb: host.memory_mib,
        free_memory_mb: host.free_memory_mib,
        used_eve_mb: kib("MemTotal").saturating_sub(kib("MemAvailable")) >> 10,
        kmem_used_eve_mb: kernel >> 10,
        ncpus: host.cpus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolstack::DomainId;

    fn usage(domid: u32, cpu_time_ns: u64) -> Usage {
        Usage {
            id: DomainId {
                domid,
                uuid: Uuid::from_u128(domid.into()),
            },
            cpu_time_ns,
            vcpus: 2,
            memory_kib: 96 << 10,
            max_memory_kib: 128 << 10,
        }
    }

    #[test]
    fn a_domain_is_measured_while_it_is_there() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let key = Uuid::from_u128(7);
        let mut measured = Measured {
            version: "3".into(),
            domid: 7,
            activated: true,
        };
        let mut most = 0;
        let m = domain(
            key,
            &measured,
            Some(&usage(7, 3_000_000_001)),
            &mut most,
            now,
        );
        assert_eq!((m.cpu_total_ns, m.cpu_scaled), (1_500_000_000, 2));
        assert_eq!(
            (m.used_memory, m.allocated_mb, m.available_memory),
            (96, 128, 32)
        );
        assert_eq!(m.used_memory_percent.to_string(), "75");
        assert_eq!(m.uuid_and_version.version, "3");
        assert!(m.activated);
        // It is gone: what it used is nothing, and what it had at most is remembered.
        measured.activated = false;
        let m = domain(key, &measured, None, &mut most, now);
        assert_eq!(
            (m.used_memory, m.max_used_memory, m.activated),
            (0, 96, false)
        );
    }

    #[test]
    fn the_host_is_the_sum_of_all() {
        let mut host = HostInfo {
            xen_version: String::new(),
            memory_mib: 4096,
            free_memory_mib: 1024,
            cpus: 4,
            cpu_features: Vec::new(),
        };
        let used = [usage(0, 6_000), usage(1, 2_000)];
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut most = 0;
        let m = whole(&host, &used, &mut most, now);
        assert_eq!((m.cpu_total_ns, m.cpu_scaled), (2_000, 4));
        assert_eq!((m.used_memory, m.available_memory), (3072, 1024));
        let meminfo = "MemTotal:  2048000 kB\nMemFree: 1 kB\nMemAvailable:  1024000 kB\nSlab:  10240 kB\nKernelStack: 1024 kB\n";
        let m = memory(&host, meminfo);
        assert_eq!(
            (m.total_memory_mb, m.free_memory_mb, m.ncpus),
            (4096, 1024, 4)
        );
        assert_eq!((m.used_eve_mb, m.kmem_used_eve_mb), (1000, 11));
        // A domain has ended.
        host.free_memory_mib = 2048;
        let m = whole(&host, &used, &mut most, now);
        assert_eq!((m.used_memory, m.max_used_memory), (2048, 3072));
        // Nothing of it is known: no figure is made up.
        assert_eq!(memory(&host, "").used_eve_mb, 0);
    }
}
