//! Compares `libxl` (`peer.rs`) with the same work in C (`peer.c`). The two take turns, so that disturbances affect
//! both.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use libxl::{Context, DomainConfig, DomainId};

use crate::{
    support::{Guest, Kind, context, tiny_config, watcher},
    table::{Row, Samples, Table, Unit},
};

/// Number of measurements of each peer.
const ROUNDS: usize = 31;

/// First word of the command line that makes this program a peer.
pub(crate) const PEER: &str = "--peer";

pub(crate) fn run(table: &mut Table, domains: usize) {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "measured", "");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let this = env::current_exe().unwrap();
    let mut ours = Peer::start(Command::new(&this).arg(PEER), &config, guest.id());
    let mut c = Command::new(this.with_file_name("peer"));
    let mut theirs = Peer::start(&mut c, &config, guest.id());

    let mut compare = |what: &str, work: &str, count: u32| {
        table.add(turns(&mut ours, &mut theirs, what, work, count));
    };
    compare("a context, opened and dropped", "context", 5);
    compare("a configuration to libxl's and back", "config", 10);
    let what = "pause and unpause, with their completion events";
    compare(what, "operation", 10);

    let others: Vec<_> = (1..domains)
        .map(|_| Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "listed", "")))
        .collect();
    // The first guest makes up for dom0, which is in the list as well.
    assert!(ctx.list_domains().unwrap().len() > others.len() + 1);
    compare("a list of all guests and dom0", "list", 5);
    table.add(first_event(&ctx, &watcher));
}

/// Measures the time from watching a domain that has ended to the first event.
///
/// In this time the event source is armed, and the watcher's thread wakes up, reads the state, and calls back.
fn first_event(ctx: &Context, watcher: &libxl::Watcher) -> Row {
    let config = tiny_config(Kind::Pv, "ended", "lab.action=poweroff");
    let guest = Guest::start(ctx, watcher, &config);
    let _poweroff = guest.next();
    let times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            let (_watch, events) = watcher.watch_channel(guest.id()).unwrap();
            events.recv().unwrap();
            begin.elapsed()
        })
        .collect();
    Row {
        what: "a watch, and its first event".to_owned(),
        domains: None,
        unit: Unit::Seconds,
        ours: times.into(),
        theirs: None,
    }
}

/// Runs both peers in turns, with `count` repetitions in each turn.
fn turns(ours: &mut Peer, theirs: &mut Peer, what: &str, work: &str, count: u32) -> Row {
    let (mut rust, mut c) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (r, t) = (ours.time(work, count), theirs.time(work, count));
        // Discarded: the first round fills the caches.
        if round > 0 {
            rust.push(r / count);
            c.push(t / count);
        }
    }
    Row {
        what: what.to_owned(),
        domains: None,
        unit: Unit::Seconds,
        ours: Samples::from(rust),
        theirs: Some(("C", Samples::from(c))),
    }
}

/// A process that does the requested work and reports the time it took.
struct Peer {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Peer {
    fn start(command: &mut Command, config: &DomainConfig, domain: DomainId) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, serde_json::to_string(config).unwrap()).unwrap();
        let mut child = command
            .arg(file.path())
            .arg(domain.domid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let ask = child.stdin.take().unwrap();
        let answer = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, ask, answer };
        // The peer answers once it has read its configuration.
        peer.time("config", 1);
        peer
    }

    fn time(&mut self, work: &str, count: u32) -> Duration {
        writeln!(self.ask, "{work} {count}").unwrap();
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        let nanos = line.trim().parse();
        Duration::from_nanos(nanos.unwrap_or_else(|_| panic!("{work}: the peer has ended")))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
