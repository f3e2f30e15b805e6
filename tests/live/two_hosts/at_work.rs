//! Guests that work while they move: how long it takes, and for how long they stand still, beside `xl migrate`.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    beta::{Address, Beta, verb},
    courier, settled, start_again,
};
use crate::agent::host::{App, Host};
use crate::support::wait_for;

/// Disk that both hosts use.
const SHARED: &str = "/dev/vdb";
/// Address of the guest, and a port on which nothing listens.
const GUEST: ([u8; 4], u16) = ([192, 168, 99, 77], 9);
/// Moves with each, there and back.
const ROUNDS: usize = 2;

/// Asks the guest for a sign of life, again and again.
struct Pulse {
    ends: Arc<AtomicBool>,
    longest: JoinHandle<Duration>,
}

impl Pulse {
    fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let longest = thread::spawn(move || {
            let address = SocketAddr::from(GUEST);
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !ended.load(Ordering::SeqCst) {
                let answer = TcpStream::connect_timeout(&address, Duration::from_millis(100));
                // Its kernel refuses the connection, and so it runs.
                if answer.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                thread::sleep(Duration::from_millis(20));
            }
            longest.max(last.elapsed())
        });
        Self { ends, longest }
    }

    /// Returns the longest time without a sign of life.
    fn longest_silence(self) -> Duration {
        self.ends.store(true, Ordering::SeqCst);
        self.longest.join().unwrap()
    }
}

/// Returns how often the guest has written to its disk, and how many of its pings were answered.
fn work() -> (u64, u64) {
    let out = Command::new("dd")
        .args([
            &format!("if={SHARED}"),
            "bs=4096",
            "count=1",
            "iflag=direct",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["written", written, "answered", answered, ..] => {
            let answered = answered.trim_end_matches('\0');
            (written.parse().unwrap(), answered.parse().unwrap())
        }
        _ => (0, 0),
    }
}

/// One way of moving the guest.
#[derive(Default)]
struct Figures {
    whole: Vec<Duration>,
    still: Vec<Duration>,
}

impl Figures {
    /// Moves the guest, which must go on with its work afterwards.
    fn measure(&mut self, go: impl FnOnce()) {
        let (written, answered) = work();
        let pulse = Pulse::start();
        thread::sleep(Duration::from_secs(2));
        let begin = Instant::now();
        go();
        self.whole.push(begin.elapsed());
        println!("  moved in {:.1} s", begin.elapsed().as_secs_f64());
        wait_for("its work goes on", || {
            let now = work();
            assert!(now.0 >= written, "it has begun anew: {written}, {now:?}");
            now.0 > written + 20 && now.1 > answered
        });
        let still = pulse.longest_silence();
        println!("  was silent for {:.1} s", still.as_secs_f64());
        self.still.push(still);
    }

    fn show(&self, who: &str) -> [f64; 2] {
        let seconds = |all: &[Duration]| {
            let mut all: Vec<f64> = all.iter().map(Duration::as_secs_f64).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (whole, still) = (seconds(&self.whole), seconds(&self.still));
        println!("  {who}: {whole:.2?} s in all, silent for {still:.2?} s");
        [median(&whole), median(&still)]
    }
}

/// Median of figures in ascending order.
fn median(all: &[f64]) -> f64 {
    f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2])
}

/// xl of this host or of the other one sends the guest.
fn xl_sends(beta: &Beta, app: &App, back: bool) {
    let to = if back { "alpha" } else { "beta" };
    let line = format!(
        "xl migrate -s '' {} '{} {to} xl migrate-receive' 2>&1",
        app.name(),
        courier::command()
    );
    let mut xl = if back {
        beta.command(&line)
    } else {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        shell
    };
    let begin = Instant::now();
    let mut xl = xl.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for text in BufReader::new(xl.stdout.take().unwrap()).lines() {
        let text = text.unwrap();
        if text.contains("migration") {
            println!("    {:5.1} s: {text}", begin.elapsed().as_secs_f64());
        }
        said.push_str(&text);
    }
    assert!(xl.wait().unwrap().success(), "{line}: {said}");
}

fn beside_xl(mode: &str, mib: u32) {
    // As xl: each of thousands of messages of libxl's would be written to the log.
    let mut beta = Beta::start_with("info");
    let mut host = Host::start_with(&["--hotplug-dir", "/nowhere", "--log-level", "info"]);
    let zeros = [
        "if=/dev/zero",
        "of=/dev/vdb",
        "bs=4096",
        "count=1",
        "oflag=direct",
    ];
    assert!(Command::new("dd").args(zeros).status().unwrap().success());
    let app = host.app("worker");
    let does = "lab.ip=192.168.99.77/24 lab.ping=192.168.99.1 lab.works=/dev/xvda";
    let devices = json!({
        "Memory": mib << 10,
        "DiskConfigList": [{"FileLocation": SHARED, "Format": "raw"}],
        "VifList": [{"Bridge": "xenbr0"}],
    });
    host.put(&app, mode, does, &devices);
    host.wait_up(&app);
    wait_for("it works", || work().1 > 0);

    // In the clear, for both: encryption takes most of the time under emulation.
    let (to, from) = (
        beta.address().via_courier(),
        Address::here(&host).via_courier(),
    );
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    // By turns: the machine becomes faster and slower by a third within minutes.
    for _ in 0..ROUNDS {
        ours.measure(|| {
            let (done, said) = verb(&host, &["migrate", &app.name(), "beta", "--via", &to]);
            assert!(done, "{said}\n{}", beta.log());
        });
        assert!(!settled(&host, &beta, &app));
        ours.measure(|| {
            let (done, said) = beta.send_back(&app, &from);
            assert!(done, "{said}\n{}", beta.log());
        });
        assert!(settled(&host, &beta, &app));
        // Now nobody but xl looks after it.
        host.kill();
        beta.kill();
        theirs.measure(|| xl_sends(&beta, &app, false));
        theirs.measure(|| xl_sends(&beta, &app, true));
        beta.run();
        start_again(&mut host);
        host.wait_state(&app, "RUNNING");
    }
    println!("{mode}:");
    let (ours, theirs) = (ours.show("the agent"), theirs.show("xl"));
    println!(
        "  ratio: {:.2} in all, {:.2} silent",
        ours[0] / theirs[0],
        ours[1] / theirs[1]
    );
    let (done, said) = verb(&host, &["stop", "--destroy", &app.name()]);
    assert!(done, "{said}");
}

#[test]
fn a_pvh_guest_at_work_moves_as_fast_as_with_xl() {
    beside_xl("PVH", 96);
}

#[test]
fn an_hvm_guest_at_work_moves_as_fast_as_with_xl() {
    // With less, its kernel runs out of memory while it boots.
    beside_xl("HVM", 128);
}
