//! A thousand domains: none is lost, none is doubled, and the agent stays within bounds.
//!
//! They need a lab with much memory: `cargo xtask test --large`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, thread,
    time::{Duration, Instant},
};

use libxl::{Context, xenstore::Xenstore};
use serde_json::json;
use uuid::Uuid;

use crate::agent::host::{App, Host};
use crate::support::{LONG, context};

/// Variable with another number of domains.
const COUNT: &str = "LAB_THOUSAND";

/// File descriptors that an agent may have whatever happens.
const DESCRIPTORS: usize = 1024;

/// Memory (PSS) that an agent may have: for each domain, and by itself, in KiB.
const MEMORY: usize = 57;
const MEMORY_ALONE: usize = 64 << 10;

/// Time between two looks at the host.
const PAUSE: Duration = Duration::from_secs(2);

/// The host, and what was seen of its agent.
struct Seen {
    host: Host,
    ctx: Context,
    keys: BTreeSet<Uuid>,
    descriptors: usize,
    /// Largest memory, in KiB.
    memory: usize,
}

impl Seen {
    /// Returns the ids of the domains by their keys. No key has two.
    fn domains(&self) -> BTreeMap<Uuid, u32> {
        let all = self.ctx.list_domains().unwrap();
        let ours: Vec<_> = all
            .iter()
            .filter(|info| self.keys.contains(&info.uuid) && !info.dying)
            .map(|info| (info.uuid, info.domid.0))
            .collect();
        let by_key: BTreeMap<Uuid, u32> = ours.iter().copied().collect();
        assert_eq!(by_key.len(), ours.len(), "one of them is there twice");
        by_key
    }

    fn look_at_agent(&mut self) {
        let proc = format!("/proc/{}", self.host.process());
        let open = fs::read_dir(format!("{proc}/fd")).map_or(0, Iterator::count);
        self.descriptors = self.descriptors.max(open);
        let text = fs::read_to_string(format!("{proc}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        let kib = kib.and_then(|kib| kib.parse().ok()).unwrap_or(0);
        self.memory = self.memory.max(kib);
    }

    /// Waits until `count` of the domains are as wanted. Gives up if their number does not change for a long time.
    fn until(
        &mut self,
        what: &str,
        wanted: usize,
        mut count: impl FnMut(&BTreeMap<Uuid, u32>) -> usize,
    ) {
        let begin = Instant::now();
        let (mut last, mut progress) = (usize::MAX, Instant::now());
        loop {
            self.look_at_agent();
            let now = count(&self.domains());
            if now == wanted {
                println!("{what}: {:.0} s", begin.elapsed().as_secs_f64());
                return;
            }
            if now != last {
                (last, progress) = (now, Instant::now());
            }
            assert!(progress.elapsed() < LONG, "{what}: {now} of {wanted}");
            thread::sleep(PAUSE);
        }
    }
}

#[test]
fn they_start_reboot_at_once_are_adopted_and_stop() {
    let count = env::var(COUNT).map_or(1000, |n| n.parse().unwrap());
    let host = Host::start_with(&["--log-level", "warn"]);
    let apps: Vec<App> = (0..count).map(|_| host.app("small")).collect();
    let mut seen = Seen {
        keys: apps.iter().map(|app| app.key.parse().unwrap()).collect(),
        host,
        ctx: context(),
        descriptors: 0,
        memory: 0,
    };
    for app in &apps {
        seen.host.put_tiny(app, "PV", "", &json!({}));
    }
    seen.until("all are there", count, BTreeMap::len);
    for app in &apps {
        seen.host.wait_state(app, "RUNNING");
    }
    let first = seen.domains();

    // All guests are asked at once, and each obeys by itself.
    let store = Xenstore::open().unwrap();
    let begin = Instant::now();
    for domid in first.values() {
        let path = format!("/local/domain/{domid}/control/shutdown");
        store.write(&path, "reboot").unwrap();
    }
    println!("all were asked within {:?}", begin.elapsed());
    let rebooted = |now: &BTreeMap<Uuid, u32>| {
        let other = |(key, domid): &(&Uuid, &u32)| first.get(key) != Some(domid);
        now.iter().filter(other).count()
    };
    let some = count / 3;
    seen.until("a third has rebooted", some, |now| rebooted(now).min(some));
    seen.host.kill();
    seen.host.start_again();
    seen.until("all have rebooted", count, rebooted);
    for app in &apps {
        seen.host.wait_state(app, "RUNNING");
    }
    assert_eq!(seen.domains().len(), count);

    for app in &apps {
        seen.host.remove(app);
    }
    seen.until("all are gone", 0, BTreeMap::len);
    for app in &apps {
        seen.host.wait_gone(app);
    }
    let (descriptors, memory) = (seen.descriptors, seen.memory);
    println!("at most {descriptors} descriptors and {memory} KiB");
    assert!(descriptors <= DESCRIPTORS, "{descriptors} descriptors");
    let bound = MEMORY * count + MEMORY_ALONE;
    assert!(memory <= bound, "{memory} KiB, more than {bound}");
}
