//! The agent compared with the least that a manager does and with `xl`, for growing numbers of domains.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use libxl::{Context, DomainEvent, Watcher};

use crate::{
    managers::{Agent, C, Manager, Xl, dom0_nanos, proc},
    support::{LONG, context, watcher, xl_is_there},
    table::{Row, Samples, Table, Unit},
};

/// Number of domains that die for each figure.
const DEATHS: usize = 5;
/// Time for which dom0 is watched while nothing happens: two of the agent's periodic looks at all domains. In a shorter
/// time there may be none, and those that come later would count as work for deaths.
const IDLE: Duration = Duration::from_secs(65);

/// Time that dom0 gets to become quiet.
const QUIET: Duration = Duration::from_secs(2);

/// Measurements of one manager with a given number of domains.
#[derive(Debug)]
struct Seen {
    domains: usize,
    /// Start time of one domain: the time for all that were started together, divided by their number.
    start: Duration,
    /// Memory (PSS) of one domain, in bytes.
    memory: f64,
    /// Times from the acknowledged shutdown of each guest until the manager has dealt with its death.
    deaths: Vec<Duration>,
    /// CPU time of the whole dom0 for one death.
    dom0: Duration,
    /// CPU time of the manager's own processes for one death.
    own: Duration,
}

pub(crate) fn run(table: &mut Table, domains: usize) {
    let sizes: Vec<usize> = [1, 10, 100, 1000]
        .into_iter()
        .filter(|size| *size <= domains)
        .collect();
    let ctx = context();
    let watcher = watcher();

    let c = measure(&mut C::start(&ctx), &ctx, &watcher, &sizes);
    let mut agent = Agent::start();
    let ours = measure(&mut agent, &ctx, &watcher, &sizes);
    table.add(stuck(&mut agent));
    drop(agent);
    let xl = if xl_is_there() {
        measure(&mut Xl::start(&ctx), &ctx, &watcher, &sizes)
    } else {
        Vec::new()
    };
    for (at, ours) in ours.iter().enumerate() {
        for (name, theirs) in [(C::NAME, c.get(at)), (Xl::NAME, xl.get(at))] {
            if let Some(theirs) = theirs {
                compare(table, ours, name, theirs);
            }
        }
    }
}

/// Adds the figures of the agent beside those of another manager.
fn compare(table: &mut Table, ours: &Seen, name: &'static str, theirs: &Seen) {
    let mut row = |what: &str, unit, figure: &dyn Fn(&Seen) -> Samples| {
        table.add(Row {
            what: what.to_owned(),
            domains: Some(ours.domains),
            unit,
            ours: figure(ours),
            theirs: Some((name, figure(theirs))),
        });
    };
    row("start of one", Unit::Seconds, &|s| vec![s.start].into());
    row("memory (PSS) of one", Unit::Bytes, &|s| {
        Samples::new(vec![s.memory])
    });
    row("shutdown to end", Unit::Seconds, &|s| {
        s.deaths.clone().into()
    });
    row("the manager's CPU time for a death", Unit::Seconds, &|s| {
        vec![s.own].into()
    });
    row("dom0's CPU time for a death", Unit::Seconds, &|s| {
        vec![s.dom0].into()
    });
}

fn measure<M: Manager>(
    manager: &mut M,
    ctx: &Context,
    watcher: &Watcher,
    sizes: &[usize],
) -> Vec<Seen> {
    let empty = memory(&manager.processes());
    let mut seen = Vec::new();
    for &size in sizes {
        let count = size - manager.domains().len();
        let begin = Instant::now();
        manager.start_domains(count);
        let start = begin.elapsed() / u32::try_from(count).unwrap();
        let memory = (memory(&manager.processes()) - empty) / size as f64;
        // The domains that will die are started in addition.
        manager.start_domains(DEATHS);
        let (deaths, dom0, own) = deaths(manager, ctx, watcher);
        println!(
            "  {} with {size} domains: {} per start, {} from shutdown to end",
            M::NAME,
            show(start),
            show(deaths[deaths.len() / 2])
        );
        seen.push(Seen {
            domains: size,
            start,
            memory,
            deaths,
            dom0,
            own,
        });
    }
    seen
}

/// Shuts the newest domains down one after the other, and measures their deaths.
fn deaths<M: Manager>(
    manager: &mut M,
    ctx: &Context,
    watcher: &Watcher,
) -> (Vec<Duration>, Duration, Duration) {
    // Not within what is measured: to find the domains takes time, too.
    let victims: Vec<_> = manager.domains().into_iter().rev().take(DEATHS).collect();
    thread::sleep(QUIET);
    let idle = dom0_nanos(ctx);
    thread::sleep(IDLE);
    let before = dom0_nanos(ctx);
    let idle_rate = (before - idle) as f64 / IDLE.as_nanos() as f64;

    let begin = Instant::now();
    let own: Vec<(u32, u64)> = manager
        .processes()
        .into_iter()
        .filter_map(|pid| Some((pid, nanos_of(pid)?)))
        .collect();
    let times = victims
        .iter()
        .map(|domain| {
            let (_watch, events) = watcher.watch_channel(domain.id()).unwrap();
            // The guest acknowledges the request, and stops a moment later.
            domain.shutdown().wait().unwrap();
            let begin = Instant::now();
            while events.recv_timeout(LONG).unwrap() != DomainEvent::Death {}
            manager.wait_dealt_with(domain);
            begin.elapsed()
        })
        .collect();
    thread::sleep(QUIET);
    let idle = idle_rate * begin.elapsed().as_nanos() as f64;
    let dom0 = (dom0_nanos(ctx) - before) as f64 - idle;
    // Only the processes that still exist. The work of an xl monitor for the end of its own domain is not included.
    let own: u64 = own
        .into_iter()
        .filter_map(|(pid, before)| Some(nanos_of(pid)?.saturating_sub(before)))
        .sum();
    let each = |nanos: f64| Duration::from_secs_f64((nanos / 1e9 / DEATHS as f64).max(0.0));
    (times, each(dom0), each(own as f64))
}

/// Compares the start time of a domain beside a guest that ignores its shutdown with the start time without such a
/// guest.
fn stuck(agent: &mut Agent) -> Row {
    let start = |agent: &mut Agent| {
        let begin = Instant::now();
        let app = agent.put("");
        agent.wait_state(&app, "RUNNING");
        let took = begin.elapsed();
        // The next start finds as many domains as this one.
        agent.remove(&app);
        agent.wait_gone(&app);
        took
    };
    let without: Vec<Duration> = (0..DEATHS).map(|_| start(agent)).collect();
    let deaf = agent.put("lab.requests=ignore");
    agent.wait_state(&deaf, "RUNNING");
    agent.remove(&deaf);
    agent.wait_state(&deaf, "HALTING");
    let with: Vec<Duration> = (0..DEATHS).map(|_| start(agent)).collect();
    Row {
        what: "start beside a guest that will not stop".to_owned(),
        domains: None,
        unit: Unit::Seconds,
        ours: with.into(),
        theirs: Some(("without", without.into())),
    }
}

/// Memory (PSS) of some processes, in bytes. Memory that several of them share is divided among them.
fn memory(processes: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(proc(*pid).join("smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
    };
    processes.iter().map(of).sum()
}

/// CPU time of the threads of a process, in nanoseconds. `None` if the process has ended.
pub(crate) fn nanos_of(pid: u32) -> Option<u64> {
    let tasks = fs::read_dir(proc(pid).join("task")).ok()?.flatten();
    let nanos = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
    Some(nanos.sum())
}

fn show(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}
