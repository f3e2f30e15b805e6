//! What can be seen only while nothing else goes on in dom0: no other test runs beside these.

mod cpupool;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::agent::host::Host;

#[test]
fn ten_domains_start_side_by_side() {
    let host = Host::start();
    // As much to load as a Linux has, for a guest that leaves the processors to those that are being
    // built. It makes nothing of its ramdisk.
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

    // No worker is held up by another: all have come to the building before the first one runs.
    let log = host.log();
    let first = log.find(" starting ten").unwrap();
    let running = log[first..].find(" running").unwrap();
    let begun = log[first..][..running].matches(" starting ten").count();
    assert_eq!(begun, 10, "{}", &log[first..]);
    // Two processors do what they can: libxl and xenstored are busy most of the time.
    assert!(ratio < 10.0, "{ratio}");
    // They are destroyed with the host.
}

/// Nothing is polled: between two resyncs an agent with nothing to do does not even wake up. The end of anybody's
/// domain would be news.
#[test]
fn an_idle_agent_sleeps() {
    let host = Host::start();
    let app = host.app("idle");
    host.put(&app, "PV", "", &json!({}));
    host.wait_up(&app);
    thread::sleep(Duration::from_secs(5));
    // There is at least one resync in it, and at most two.
    let window = Duration::from_secs(35);
    let before = host.switches();
    thread::sleep(window);
    let mut threads = host.switches();
    for (name, count) in &mut threads {
        *count -= before.get(name).copied().unwrap_or_default();
    }
    threads.retain(|_, count| *count > 0);
    let woken: u64 = threads.values().sum();
    println!("an idle agent with one domain woke up {woken} times in {window:?}: {threads:?}");
    // A resync wakes the main thread and the one that lists, which waits for xenstored's answers: a name, and once the
    // connection. The watcher and the figures have their own pace.
    assert!((1..=16).contains(&woken), "{threads:?}");
}
