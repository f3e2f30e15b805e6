//! Tests that need a quiet dom0: no other test runs beside these.

mod cpupool;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{agent::host::Host, support::wait_for};

#[test]
fn ten_domains_start_side_by_side() {
    let host = Host::start();
    // A domain with as much to load as a Linux, but with a guest that leaves the processors to the domains being
    // built. The guest ignores its ramdisk.
    let changes = json!({"Ramdisk": "/lab/guest/vmlinux", "Memory": 96 << 10});
    let start = |names: &[String]| {
        let apps: Vec<_> = names.iter().map(|name| host.app(name)).collect();
        let begin = Instant::now();
        for app in &apps {
            host.put_tiny(app, "PV", "", &changes);
        }
        for app in &apps {
            host.wait_state(app, "RUNNING");
        }
        begin.elapsed()
    };
    let numbered = |hint: &str| (0..10).map(|n| format!("{hint}{n}")).collect::<Vec<_>>();
    start(&["first".to_owned()]);
    let one_by_one: Duration = numbered("one")
        .iter()
        .map(|name| start(std::slice::from_ref(name)))
        .sum();
    let at_once = start(&numbered("ten"));
    let one = one_by_one / 10;
    let ratio = at_once.as_secs_f64() / one.as_secs_f64();
    println!(
        "bring-up of one PV domain: {one:.2?} (the mean of ten); of ten at once: {at_once:.2?}; ratio {ratio:.1}"
    );

    // No worker is blocked by another: all have begun to build before the first domain runs.
    let log = host.log();
    let first = log.find(" starting ten").unwrap();
    let running = log[first..].find(" running").unwrap();
    let begun = log[first..][..running].matches(" starting ten").count();
    assert_eq!(begun, 10, "{}", &log[first..]);
    // Two processors limit the ratio: libxl and xenstored are busy most of the time.
    assert!(ratio < 10.0, "{ratio}");
    // The domains are destroyed with the host.
}

/// Nothing is polled: an idle agent sleeps from one resync to the next. The end of any domain would wake it.
#[test]
fn an_idle_agent_sleeps() {
    let host = Host::start();
    let app = host.app("idle");
    host.put(&app, "PV", "", &json!({}));
    host.wait_up(&app);
    after_a_resync(&host);
    // Resyncs are 30 s apart.
    let window = Duration::from_secs(20);
    let before = host.switches();
    thread::sleep(window);
    let asleep = host.switches();
    let (idle, threads) = woken(&before, &asleep);
    println!("an idle agent with one domain woke up {idle} times in {window:?}: {threads:?}");
    // The main thread touches a file every 25 s and writes the metrics every 60 s, for which it asks Xen once. The
    // watcher has an interval of its own.
    assert!(idle <= 6, "{threads:?}");

    after_a_resync(&host);
    let (resync, threads) = woken(&asleep, &host.switches());
    println!("with a resync: {resync} times: {threads:?}");
    // It wakes the main thread, and the listing thread, which waits for xenstored's answers: a name, and once the
    // connection.
    assert!((1..=14).contains(&resync), "{threads:?}");
}

/// Waits for the next resync and its end: the listing thread has woken up, and sleeps again.
fn after_a_resync(host: &Host) {
    let listed = || host.switches().get("list").copied();
    let before = listed();
    wait_for("a resync", || listed() > before);
    let mut last = listed();
    wait_for("the end of the resync", || {
        thread::sleep(Duration::from_secs(2));
        let now = listed();
        now == std::mem::replace(&mut last, now)
    });
}

/// Returns how often each thread has woken up in between, and the sum.
fn woken(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> (u64, BTreeMap<String, u64>) {
    let mut threads = after.clone();
    for (name, count) in &mut threads {
        *count -= before.get(name).copied().unwrap_or_default();
    }
    threads.retain(|_, count| *count > 0);
    (threads.values().sum(), threads)
}
