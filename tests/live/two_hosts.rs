//! Guests that move between two hosts, whose cable is cut and whose agents are killed.
//!
//! They need a pair of labs: `cargo xtask test --hosts 2`. The tests run on alpha, and reach beta by ssh: over the cable as `beta`, and past
//! it as `beta-oob`.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::agent::host::{App, Host};
use crate::support::{LONG, is_up, unique, wait_for};

/// Where the cable takes orders.
const CABLE: &str = "127.0.0.1:2201";

/// Gives the cable an order, and returns its state.
fn cable(order: &str) -> String {
    let mut stream = TcpStream::connect(CABLE).unwrap();
    writeln!(stream, "{order}").unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert!(!answer.contains("\"error\""), "{order}: {answer}");
    answer
}

/// Mends the cable at the end of a test, whatever has become of that.
struct Mended;

impl Drop for Mended {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(CABLE) {
            let _ = writeln!(stream, "mend");
            let mut answer = String::new();
            let _ = BufReader::new(&stream).read_line(&mut answer);
        }
    }
}

/// The agent of the other host.
struct Beta {
    dir: String,
    agent: Option<Child>,
}

impl Beta {
    fn start() -> Self {
        let mut beta = Self {
            dir: format!("/tmp/{}", unique("beta")),
            agent: None,
        };
        beta.run();
        beta
    }

    /// Runs a command of the shell there, past the cable.
    fn shell(line: &str) -> String {
        let out = Command::new("ssh")
            .args(["beta-oob", line])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "{line}: {said}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        said
    }

    fn run(&mut self) {
        let dir = &self.dir;
        let program = program("domainmgr");
        let line = format!(
            "mkdir -p {dir}/config; exec {program} run --log-level debug --config-dir {dir}/config --run-dir {dir}/run \
             --state-dir {dir}/state --dump-dir {dir}/dump --image-dir {dir}/img --verified-dir {dir}/verified \
             --hotplug-dir /nowhere 2>>{dir}/log",
        );
        let agent = Command::new("ssh")
            .args(["beta-oob", &line])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(agent);
        wait_for("the agent of beta", || self.verb("jobs").0);
    }

    /// Runs a verb there. Returns whether it succeeded, and what it said.
    fn verb(&self, words: &str) -> (bool, String) {
        let line = format!(
            "{} {words} --control {}",
            program("domainmgr"),
            self.socket()
        );
        let out = Command::new("ssh")
            .args(["beta-oob", &line])
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    fn socket(&self) -> String {
        format!("{}/run/control.sock", self.dir)
    }

    fn kill(&mut self) {
        Self::shell("pkill -9 -x domainmgr || true");
        let mut agent = self.agent.take().unwrap();
        agent.wait().unwrap();
    }

    /// The command that takes the place of ssh, for `--via`. A host that is gone is noticed soon.
    fn via(&self) -> String {
        format!(
            "f() {{ exec ssh -o ServerAliveInterval=2 -o ServerAliveCountMax=4 \"$1\" \
             \"domainmgr() {{ exec {} \\\"\\$@\\\" --control {}; }}; $2\"; }}; f",
            program("domainmgr"),
            self.socket()
        )
    }

    /// Returns how many domains have this uuid there, and how many of them run.
    fn domains(app: &App) -> (usize, usize) {
        let list = Self::shell(&format!("xl list -v | grep {} || true", app.key));
        // The state: r or b for one that runs, p or s for one that does not.
        let runs = |line: &&str| {
            let state = line.split_whitespace().nth(4).unwrap_or_default();
            !state.contains(['p', 's', 'c', 'd'])
        };
        (list.lines().count(), list.lines().filter(runs).count())
    }

    fn log(&self) -> String {
        Self::shell(&format!("tail -n 60 {}/log", self.dir))
    }
}

impl Drop for Beta {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("beta's log:\n{}", self.log());
        }
        Self::shell(
            "pkill -x domainmgr; for d in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $d; done; true",
        );
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// Path of a program that xtask puts beside this test, on both hosts.
fn program(name: &str) -> String {
    let path: PathBuf = env::current_exe().unwrap().with_file_name(name);
    path.to_str().unwrap().to_owned()
}

/// Runs a verb of the agent on this host.
fn verb(host: &Host, words: &[&str]) -> (bool, String) {
    let out = Command::new(program("domainmgr"))
        .args(words)
        .arg("--control")
        .arg(host.path("run/control.sock"))
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].concat();
    (
        out.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn migrate(host: &Host, app: &App, beta: &Beta) -> (bool, String) {
    verb(
        host,
        &["migrate", &app.name(), "beta", "--via", &beta.via()],
    )
}

/// A small PVH guest that runs, and two agents. Debian's Xen cannot send a PV guest while it runs.
fn two() -> (Host, Beta, App) {
    let beta = Beta::start();
    let host = Host::start();
    let app = host.app("mover");
    host.put_tiny(&app, "PVH", "tick=5", &json!({"Memory": 8 << 10}));
    host.wait_up(&app);
    (host, beta, app)
}

/// Returns the guest's state on this host.
fn state(host: &Host, app: &App) -> (String, bool) {
    let status = host.status(app).unwrap_or_default();
    let state = status["StateName"].as_str().unwrap_or_default().to_owned();
    (state, status["MovedTo"] == "beta")
}

/// Waits until one guest runs, and this host knows where. Returns whether it runs here.
#[track_caller]
fn settled(host: &Host, beta: &Beta, app: &App) -> bool {
    let begin = Instant::now();
    loop {
        let here = host.domains(app).len();
        let (there, running) = Beta::domains(app);
        let own = state(host, app);
        let runs_here = own.0 == "RUNNING" && here == 1;
        assert!(!(runs_here && running == 1), "it runs twice");
        if runs_here && there == 0 {
            return true;
        }
        if own == ("HALTED".to_owned(), true) && here == 0 && running == 1 {
            return false;
        }
        assert!(
            begin.elapsed() < LONG,
            "{own:?}: {here} domains here, {there} there, {running} of them run\n{}",
            beta.log()
        );
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_guest_moves_there_and_back() {
    let (mut host, mut beta, app) = two();
    let begin = Instant::now();
    let (done, said) = migrate(&host, &app, &beta);
    assert!(done, "{said}\n{}", beta.log());
    println!("to beta in {:.1} s", begin.elapsed().as_secs_f64());
    assert!(said.contains("being sent to beta"), "{said}");
    assert!(!settled(&host, &beta, &app));
    // Both agents know it after they were killed.
    host.kill();
    host.start_again();
    beta.kill();
    beta.run();
    host.wait(&app, "the agent", |s| s["MovedTo"] == "beta");
    wait_for("beta's guest", || {
        beta.verb(&format!("wait {} RUNNING --timeout 5", app.name()))
            .0
    });
    assert!(!settled(&host, &beta, &app));
    let (done, said) = verb(&host, &["start", &app.name()]);
    assert!(!done && said.contains("migrated to beta"), "{said}");

    // Back, by the agent of beta.
    let here = host.path("run/control.sock");
    let back = format!(
        "migrate {} alpha --via 'f() {{ exec ssh \"$1\" \"domainmgr() {{ exec {} \\\"\\$@\\\" --control {}; }}; $2\"; }}; f'",
        app.name(),
        program("domainmgr"),
        here.display()
    );
    let (done, said) = beta.verb(&back);
    assert!(done, "{said}\n{}", beta.log());
    assert!(settled(&host, &beta, &app));
    wait_for("it is forgotten there", || {
        !beta.verb(&format!("show {}", app.key)).0
    });
    assert!(is_up(&app.name()));
    let (done, said) = verb(&host, &["stop", &app.name()]);
    assert!(done, "{said}");
}

/// Either end may be xl.
#[test]
fn xl_sends_and_receives_as_well() {
    let (host, beta, app) = two();
    let via = "f() { exec ssh \"$1\" \"$2\"; }; f";
    let (done, said) = verb(
        &host,
        &["migrate", &app.name(), "beta", "--to-xl", "--via", via],
    );
    assert!(done, "{said}");
    assert!(!settled(&host, &beta, &app));

    // xl of beta sends it to the agent of alpha, which has a file for it.
    let command = format!(
        "ssh alpha {} migrate-receive --control {}",
        program("domainmgr"),
        host.path("run/control.sock").display()
    );
    Beta::shell(&format!(
        "xl migrate -s '' {} '{command}' >/tmp/xl-migrate 2>&1 || {{ cat /tmp/xl-migrate; false; }}",
        app.name()
    ));
    assert!(settled(&host, &beta, &app));
    let status = host.status(&app).unwrap();
    assert_eq!(
        (&status["Held"], &status["MovedTo"]),
        (&json!(""), &json!(""))
    );
}

/// Number of cuts in each direction.
const CUTS: &str = "LAB_CUTS";

/// Returns how many bytes have gone in each direction, from alpha and from beta.
fn bytes() -> [u64; 2] {
    let state: Value = serde_json::from_str(&cable("")).unwrap();
    ["alpha", "beta"].map(|host| state[host]["arrived_bytes"].as_u64().unwrap())
}

/// Returns the places of so many cuts in a stream of `all` bytes: some in the transfer, and most around its end, where the guest is given
/// away.
fn places(all: u64, count: u64) -> Vec<u64> {
    let early = count / 3;
    let late = count - early;
    let early = (0..early).map(|n| all * (2 * n + 1) / (2 * early));
    // From the last bytes on, each twice as far from the end as the one before.
    let late = (0..late).map(|n| all.saturating_sub(60 << (n * 12 / late)));
    early.chain(late).collect()
}

/// The cable is cut at places all over the migration, in each direction.
#[test]
fn a_cut_at_any_moment_leaves_one_guest() {
    let count = env::var(CUTS).map_or(4, |n| n.parse().unwrap());
    let (host, beta, app) = two();
    let _mended = Mended;
    let before = bytes();
    let (done, said) = migrate(&host, &app, &beta);
    assert!(done, "{said}\n{}", beta.log());
    let after = bytes();
    for (i, direction) in ["alpha", "beta"].into_iter().enumerate() {
        let all = after[i] - before[i];
        let (mut here, mut there, mut asked) = (0, 0, 0);
        for place in places(all, count) {
            bring_back(&host, &beta, &app);
            cable(&format!("mend cut-after {place} from {direction}"));
            let (done, said) = migrate(&host, &app, &beta);
            // A cut in one direction only would let the other end talk on.
            cable("cut");
            asked += u32::from(said.contains("has not said"));
            let last = said.lines().last().unwrap_or_default();
            println!("from {direction}, after {place} of {all}: {last}");
            thread::sleep(Duration::from_secs(2));
            cable("mend");
            let runs_here = settled(&host, &beta, &app);
            assert!(!done || !runs_here, "{said}");
            *(if runs_here { &mut here } else { &mut there }) += 1;
        }
        println!(
            "cuts from {direction}: {here} ended here, {there} there ({asked} had to ask), 0 lost, 0 twice"
        );
    }
}

/// Has the guest run here again, wherever it is.
fn bring_back(host: &Host, beta: &Beta, app: &App) {
    if state(host, app).0 == "RUNNING" {
        return;
    }
    // Destroyed by somebody, as after the failure of a host.
    let (done, said) = beta.verb(&format!("stop --destroy {}", app.key));
    assert!(done, "{said}");
    let (done, said) = beta.verb(&format!("forget {}", app.key));
    assert!(done, "{said}");
    let (done, said) = verb(host, &["start", &app.name(), "--anyway"]);
    assert!(done, "{said}");
    host.wait_up(app);
}

/// Either agent is killed while it is at work, and started again.
#[test]
fn an_agent_that_is_killed_at_any_moment_leaves_one_guest() {
    let (mut host, mut beta, app) = two();
    let mut ends = [0, 0];
    for (source, pause_ms) in [
        (true, 3_000),
        (true, 12_000),
        (false, 3_000),
        (false, 12_000),
        (true, 20_000),
        (false, 20_000),
    ] {
        let via = beta.via();
        let mut client = Command::new(program("domainmgr"))
            .args(["migrate", &app.name(), "beta", "--via", &via, "--control"])
            .arg(host.path("run/control.sock"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(pause_ms));
        if source {
            host.kill();
            host.start_again();
        } else {
            beta.kill();
            beta.run();
        }
        client.wait().unwrap();
        let runs_here = settled(&host, &beta, &app);
        ends[usize::from(!runs_here)] += 1;
        println!(
            "{} killed after {pause_ms} ms: it runs {}",
            if source { "alpha" } else { "beta" },
            if runs_here { "here" } else { "there" }
        );
        bring_back(&host, &beta, &app);
    }
    println!("{} ended here, {} there, 0 lost, 0 twice", ends[0], ends[1]);
}

/// What the other host lacks is said before the guest is touched.
#[test]
fn what_the_other_host_lacks_is_named() {
    let (host, beta, app) = two();
    let fails = |via: &str, why: &str| {
        let (done, said) = verb(&host, &["migrate", &app.name(), "beta", "--via", via]);
        assert!(!done && said.contains(why), "{said}");
        assert_eq!(state(&host, &app).0, "RUNNING");
    };
    fails(
        "f() { exec ssh -o ConnectTimeout=5 gamma \"$2\"; }; f",
        "gamma",
    );
    fails("f() { exec ssh \"$1\" \"$2\"; }; f", "domainmgr: ");
    fails(
        &format!(
            "f() {{ exec ssh \"$1\" \"{} migrate-receive --control /none --check\"; }}; f",
            program("domainmgr")
        ),
        "no agent listens",
    );
    // Another disk under the same path.
    let disk = host.path("disk.raw");
    fs::write(&disk, vec![1; 1 << 20]).unwrap();
    let (done, said) = verb(
        &host,
        &[
            "attach",
            &app.name(),
            "disk",
            &format!("{},raw,xvdb,r", disk.display()),
        ],
    );
    assert!(done, "{said}");
    let path = disk.to_str().unwrap();
    fails(&beta.via(), &format!("{path}: No such file"));
    Beta::shell(&format!(
        "mkdir -p {}; head -c 1048576 /dev/zero >{path}",
        host.path("").display()
    ));
    fails(&beta.via(), &format!("{path} is other storage here"));
}
