//! Hundreds of domains at once: none is lost, none is doubled, and the agent stays within bounds.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Host, domainmgr, domid, text};
use serde_json::json;

const COUNT: usize = 200;
/// File descriptors that an agent may have whatever happens, as many as a process may have without being asked.
const DESCRIPTORS: usize = 1024;
/// Threads of an agent beside the one of each domain.
const SERVICES: usize = 24;

fn key(n: usize) -> String {
    format!("aaaaaaaa-0000-4000-8000-{n:012x}")
}

/// Returns the numbers of the domains that run, as their statuses say.
fn running(host: &Host) -> BTreeSet<u64> {
    let statuses = (0..COUNT).filter_map(|n| host.status(&key(n)));
    statuses
        .filter(|status| status["StateName"] == "RUNNING")
        .map(|status| domid(&status))
        .collect()
}

/// Returns how many of these domains are not the first ones of their guests. Xen's numbers count up, and on a slow machine some guests have
/// rebooted before all of them run.
fn again(domains: &BTreeSet<u64>) -> usize {
    domains.iter().filter(|&&id| id > COUNT as u64).count()
}

fn descriptors(host: &Host) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", host.pid()));
    open.map_or(0, Iterator::count)
}

fn threads(host: &Host) -> usize {
    let all = fs::read_dir(format!("/proc/{}/task", host.pid()));
    all.map_or(0, Iterator::count)
}

/// Waits, and counts the file descriptors of the agent meanwhile.
fn until(host: &Host, what: &str, most: &mut usize, mut holds: impl FnMut() -> bool) {
    host.until(what, || {
        *most = descriptors(host).max(*most);
        holds()
    });
}

#[test]
fn hundreds_start_reboot_at_once_are_adopted_and_stop() {
    let mut host = Host::new();
    host.log_level = Some("warn");
    host.run(&["--simulate-memory", "65536"]);
    let mut most = 0;
    for n in 0..COUNT {
        host.put(
            &key(n),
            &json!({
                "AppNum": n + 1,
                "DisplayName": format!("d{n}"),
                "Memory": 65_536,
                "ExtraArgs": "lab.action=reboot lab.after=120 sim.once",
            }),
        );
    }
    until(&host, "all to run", &mut most, || {
        running(&host).len() == COUNT
    });
    // A turn gives its thread back: a domain that sleeps has one thread.
    until(&host, "the workers to sleep", &mut most, || {
        threads(&host) <= COUNT + SERVICES
    });
    until(&host, "the first to reboot", &mut most, || {
        again(&running(&host)) > COUNT / 10
    });
    host.kill();
    host.run(&["--simulate-memory", "65536"]);
    until(&host, "all to have rebooted", &mut most, || {
        let now = running(&host);
        now.len() == COUNT && again(&now) == COUNT
    });
    assert_eq!(host.domains(), COUNT);
    for n in 0..COUNT {
        host.remove(&key(n));
    }
    until(&host, "all to be gone", &mut most, || {
        (0..COUNT).all(|n| !host.status_file(&key(n)).exists())
    });
    assert_eq!(host.domains(), 0);
    assert_eq!(fs::read_dir(host.path("run/xen")).unwrap().count(), 0);
    assert!(most <= DESCRIPTORS, "{most} file descriptors");
    assert!(threads(&host) <= SERVICES, "{} threads", threads(&host));
}

/// Returns the number of transactions of the journal.
fn transactions(host: &Host) -> u64 {
    let out = domainmgr(&["metrics", "--control"], &[&host.path("run/control.sock")]);
    let figures = text(&out.stdout);
    let mut lines = figures.lines();
    let line = lines.find_map(|line| line.strip_prefix("domainmgr_journal_transactions_total "));
    line.unwrap().parse().unwrap()
}

/// `CROWD=1000 cargo test -p domainmgr --test process -- hundreds:: --nocapture` counts those of a thousand.
#[test]
fn a_crowd_that_starts_waits_for_the_disk_together() {
    let crowd = std::env::var("CROWD").map_or(COUNT, |n| n.parse().unwrap());
    let mut host = Host::new();
    host.log_level = Some("warn");
    for n in 0..crowd {
        let name = format!("d{n}");
        let config = json!({"AppNum": n + 1, "DisplayName": name, "Memory": 16_384});
        host.put(&key(n), &config);
    }
    let begin = Instant::now();
    host.run(&["--simulate-memory", "65536"]);
    let runs = |n: &usize| {
        let status = host.status(&key(*n));
        status.is_some_and(|status| status["StateName"] == "RUNNING")
    };
    // Each wait has its limit.
    for some in (COUNT..=crowd).step_by(COUNT) {
        host.until("more to run", || {
            // A thousand files are many to read.
            std::thread::sleep(Duration::from_millis(200));
            (0..crowd).filter(runs).count() >= some
        });
    }
    host.until("all to run", || (0..crowd).all(|n| runs(&n)));
    let (transactions, took) = (transactions(&host), begin.elapsed());
    println!("{crowd} starts in {took:.1?}: {transactions} transactions");
    // Each takes two when it starts alone: before it may have run, and when it runs.
    let most = 60 + 4 * took.as_secs();
    assert!(transactions < most, "{transactions}");
}
