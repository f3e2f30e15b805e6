//! The figures as Prometheus reads them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};
use uuid::Uuid;

use super::figures::{Figures, Sample};
use super::process;
use super::traffic::{self, Traffic};
use crate::base::queue::Queues;
use crate::frontends::board::Board;
use crate::frontends::eve::DomainStatus;

/// Media type of the text.
pub const MEDIA_TYPE: &str = prometheus::TEXT_FORMAT;

/// Labels of each figure of a domain.
const DOMAIN: [&str; 2] = ["name", "uuid"];
/// Labels of each figure of a device of a domain.
const DEVICE: [&str; 3] = ["name", "uuid", "device"];

/// Returns all figures as text.
///
/// The states of domains come from `board`, their usage from the last measurement, and the traffic of their devices from
/// below `sys`, which is `/sys`. `transactions` are those of the journal, if there is one.
///
/// # Errors
/// A figure cannot be represented, which is a bug in this program.
pub fn text(
    board: &Board,
    figures: &Figures,
    queues: &Queues,
    transactions: Option<u64>,
    sys: &Path,
) -> Result<String, String> {
    let page = Page::default();
    let sample = figures.last();
    let statuses = board.all();
    agent(&page, queues, transactions)
        .and_then(|()| fill(&page, &statuses, sample.as_deref(), sys))
        .map_err(|e| e.to_string())?;
    let families = page.registry.gather();
    TextEncoder::new()
        .encode_to_string(&families)
        .map_err(|e| e.to_string())
}

/// One reply. Each begins with an empty registry, because domains come and go.
#[derive(Default)]
struct Page {
    registry: Registry,
}

impl Page {
    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// Adds a gauge without labels.
    fn figure(&self, name: &str, help: &str, value: u64) -> prometheus::Result<()> {
        let gauge = self.gauge(name, help, &[])?;
        gauge.with_label_values::<&str>(&[]).set(float(value));
        Ok(())
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        let counter = CounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }
}

/// The agent itself. The names of its processor time, memory, threads and descriptors are those that Prometheus' own clients
/// give to them.
fn agent(page: &Page, queues: &Queues, transactions: Option<u64>) -> prometheus::Result<()> {
    let process = process::now();
    page.counter(
        "process_cpu_seconds_total",
        "Processor time of the agent.",
        &[],
    )?
    .with_label_values::<&str>(&[])
    .inc_by(process.cpu.as_secs_f64());
    for (name, help, value) in [
        (
            "process_open_fds",
            "File descriptors of the agent.",
            process.descriptors,
        ),
        ("process_threads", "Threads of the agent.", process.threads),
        (
            "process_resident_memory_bytes",
            "Memory of the agent.",
            process.memory,
        ),
    ] {
        // Left out where the kernel does not say it.
        if let Some(value) = value {
            page.figure(name, help, value)?;
        }
    }
    if let Some(transactions) = transactions {
        page.counter(
            "domainmgr_journal_transactions_total",
            "Transactions of the journal, each of which waits for the disk.",
            &[],
        )?
        .with_label_values::<&str>(&[])
        .inc_by(float(transactions));
    }
    let work = page.gauge(
        "domainmgr_work",
        "Operations that wait for their turn, and those under way.",
        &["work", "state"],
    )?;
    for (name, queue) in queues {
        let load = queue.load();
        for (state, number) in [("waiting", load.waiting), ("under way", load.under_way)] {
            work.with_label_values(&[*name, state])
                .set(float(number as u64));
        }
    }
    Ok(())
}

fn fill(
    page: &Page,
    statuses: &[(Uuid, Arc<DomainStatus>)],
    sample: Option<&Sample>,
    sys: &Path,
) -> prometheus::Result<()> {
    states(page, statuses)?;
    let Some(sample) = sample else {
        return Ok(());
    };
    host(page, sample)?;
    usage(page, statuses, sample)?;
    devices(page, statuses, sys)
}

/// The name by which a domain is shown: its name in Xen, or else its `DisplayName`.
fn name(status: &DomainStatus) -> &str {
    if status.domain_name.is_empty() {
        &status.display_name
    } else {
        &status.domain_name
    }
}

fn states(page: &Page, statuses: &[(Uuid, Arc<DomainStatus>)]) -> prometheus::Result<()> {
    let info = page.gauge(
        "domainmgr_domain_info",
        "1; the labels say what the domain is and which state it is in.",
        &["name", "uuid", "domid", "mode", "state", "held"],
    )?;
    let restarts = page.counter(
        "domainmgr_domain_restarts_total",
        "How often the domain was built again because its guest ended.",
        &DOMAIN,
    )?;
    let error = page.gauge(
        "domainmgr_domain_error",
        "Whether something is wrong with the domain; domainmgr status says it in words.",
        &DOMAIN,
    )?;
    let since = page.gauge(
        "domainmgr_domain_start_time_seconds",
        "When the domain was started, in seconds since 1970.",
        &DOMAIN,
    )?;
    let domains = page.gauge(
        "domainmgr_domains",
        "Number of domains in each state.",
        &["state"],
    )?;
    for (key, status) in statuses {
        let (key, name) = (key.to_string(), name(status));
        let labels = [name, key.as_str()];
        let domid = match status.domain_id {
            0 => String::new(),
            domid => domid.to_string(),
        };
        let (mode, state) = (&status.virtualization_mode_name, &status.state_name);
        info.with_label_values(&[name, &key, &domid, mode, state, &status.held])
            .set(1.0);
        restarts
            .with_label_values(&labels)
            .inc_by(status.restarts.into());
        let wrong = !status.last_err.is_empty();
        error
            .with_label_values(&labels)
            .set(f64::from(u8::from(wrong)));
        if let (Some(at), true) = (status.boot_time, status.activated) {
            let seconds = at.unix_timestamp();
            since
                .with_label_values(&labels)
                .set(float(seconds.unsigned_abs()));
        }
        domains.with_label_values(&[state]).inc();
    }
    Ok(())
}

fn host(page: &Page, sample: &Sample) -> prometheus::Result<()> {
    for (name, help, value) in [
        (
            "domainmgr_host_memory_bytes",
            "Memory of the host.",
            sample.host.memory_mib << 20,
        ),
        (
            "domainmgr_host_memory_free_bytes",
            "Memory that no domain has.",
            sample.host.free_memory_mib << 20,
        ),
        (
            "domainmgr_host_cpus",
            "Physical processors of the host.",
            sample.host.cpus.into(),
        ),
        (
            "domainmgr_measurement_time_seconds",
            "When processor time and memory were measured last, in seconds since 1970.",
            sample.at.unix_timestamp().unsigned_abs(),
        ),
    ] {
        page.figure(name, help, value)?;
    }
    Ok(())
}

fn usage(
    page: &Page,
    statuses: &[(Uuid, Arc<DomainStatus>)],
    sample: &Sample,
) -> prometheus::Result<()> {
    let cpu = page.counter(
        "domainmgr_domain_cpu_seconds_total",
        "Processor time of the domain since it was built, of all its virtual processors together.",
        &DOMAIN,
    )?;
    let vcpus = page.gauge(
        "domainmgr_domain_vcpus",
        "Virtual processors that are switched on.",
        &DOMAIN,
    )?;
    let memory = page.gauge(
        "domainmgr_domain_memory_bytes",
        "Memory that the domain has.",
        &DOMAIN,
    )?;
    let most = page.gauge(
        "domainmgr_domain_memory_max_bytes",
        "Memory that the domain may have.",
        &DOMAIN,
    )?;
    let all: BTreeMap<_, _> = sample.usage.iter().map(|u| (u.id.domid, u)).collect();
    for (key, status) in statuses {
        let used = all.get(&status.domain_id).filter(|u| u.id.uuid == *key);
        let Some(used) = used.filter(|_| status.domain_id != 0) else {
            continue;
        };
        let key = key.to_string();
        let labels = [name(status), key.as_str()];
        let seconds = std::time::Duration::from_nanos(used.cpu_time_ns).as_secs_f64();
        cpu.with_label_values(&labels).inc_by(seconds);
        vcpus.with_label_values(&labels).set(used.vcpus.into());
        memory
            .with_label_values(&labels)
            .set(float(used.memory_kib << 10));
        most.with_label_values(&labels)
            .set(float(used.max_memory_kib << 10));
    }
    Ok(())
}

fn devices(
    page: &Page,
    statuses: &[(Uuid, Arc<DomainStatus>)],
    sys: &Path,
) -> prometheus::Result<()> {
    let counter = |what: &str, help: &str| {
        let name = format!("domainmgr_domain_{what}_total");
        page.counter(&name, help, &DEVICE)
    };
    let counters = [
        counter(
            "block_read_bytes",
            "Bytes that the domain has read from the disk.",
        )?,
        counter(
            "block_written_bytes",
            "Bytes that the domain has written to the disk.",
        )?,
        counter(
            "block_reads",
            "Requests of the domain to read from the disk.",
        )?,
        counter(
            "block_writes",
            "Requests of the domain to write to the disk.",
        )?,
    ];
    let network = [
        counter("network_sent_bytes", "Bytes that the domain has sent.")?,
        counter(
            "network_received_bytes",
            "Bytes that the domain has received.",
        )?,
        counter("network_sent_packets", "Packets that the domain has sent.")?,
        counter(
            "network_received_packets",
            "Packets that the domain has received.",
        )?,
    ];
    let traffic = traffic::read(sys);
    for (key, status) in statuses {
        let key = key.to_string();
        for (device, carried) in traffic.get(&status.domain_id).into_iter().flatten() {
            let labels = [name(status), key.as_str(), device.as_str()];
            let (counters, values) = match carried {
                Traffic::Disk(values) => (&counters, values),
                Traffic::Interface(values) => (&network, values),
            };
            for (counter, value) in counters.iter().zip(values) {
                counter.with_label_values(&labels).inc_by(float(*value));
            }
        }
    }
    Ok(())
}

/// Prometheus has only floating-point numbers; above 2^53 they lose the last digits.
#[allow(clippy::cast_precision_loss, reason = "said above")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::base::abort::AbortToken;
    use crate::base::queue::Queue;
    use crate::toolstack::{DomainId, HostInfo, Usage};

    #[test]
    fn each_figure_has_its_labels() {
        let key = Uuid::from_u128(7);
        let board = Board::default();
        let status = DomainStatus {
            domain_name: "a\"b.1".into(),
            domain_id: 3,
            state_name: "RUNNING".into(),
            virtualization_mode_name: "PVH".into(),
            activated: true,
            restarts: 2,
            boot_time: Some(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(9)),
            ..DomainStatus::default()
        };
        board.show(key, status);
        let figures = Figures::default();
        let sys = tempfile::tempdir().unwrap();
        let queue = Arc::new(Queue::always(1));
        let place = queue.take(&AbortToken::new(), false).unwrap();
        let queues = vec![("build", queue)];
        let before = text(&board, &figures, &queues, Some(7), sys.path()).unwrap();
        drop(place);
        for part in [
            "domainmgr_work{state=\"under way\",work=\"build\"} 1\n",
            "domainmgr_work{state=\"waiting\",work=\"build\"} 0\n",
            "\nprocess_open_fds ",
            "\ndomainmgr_journal_transactions_total 7\n",
        ] {
            assert!(before.contains(part), "{part}: {before}");
        }
        assert!(
            !before.contains("domain_cpu_seconds"),
            "nothing was measured: {before}"
        );
        figures.set(Sample {
            host: HostInfo {
                xen_version: String::new(),
                memory_mib: 4096,
                free_memory_mib: 1024,
                cpus: 4,
                cpu_features: Vec::new(),
            },
            usage: vec![Usage {
                id: DomainId {
                    domid: 3,
                    uuid: key,
                },
                cpu_time_ns: 1_500_000_000,
                vcpus: 2,
                memory_kib: 1024,
                max_memory_kib: 2048,
            }],
            at: OffsetDateTime::UNIX_EPOCH,
        });
        let found = text(&board, &figures, &queues, Some(7), sys.path()).unwrap();
        let labels = r#"name="a\"b.1",uuid="00000000-0000-0000-0000-000000000007""#;
        for line in [
            "# TYPE domainmgr_domain_restarts_total counter".to_owned(),
            r#"domainmgr_domain_info{domid="3",held="",mode="PVH",name="a\"b.1",state="RUNNING",uuid="00000000-0000-0000-0000-000000000007"} 1"#
                .to_owned(),
            format!("domainmgr_domain_restarts_total{{{labels}}} 2"),
            format!("domainmgr_domain_error{{{labels}}} 0"),
            format!("domainmgr_domain_start_time_seconds{{{labels}}} 9"),
            r#"domainmgr_domains{state="RUNNING"} 1"#.to_owned(),
            format!("domainmgr_domain_cpu_seconds_total{{{labels}}} 1.5"),
            format!("domainmgr_domain_vcpus{{{labels}}} 2"),
            format!("domainmgr_domain_memory_bytes{{{labels}}} 1048576"),
            format!("domainmgr_domain_memory_max_bytes{{{labels}}} 2097152"),
            "domainmgr_host_memory_free_bytes 1073741824".to_owned(),
        ] {
            assert!(found.lines().any(|l| l == line), "{line} in {found}");
        }
    }
}
