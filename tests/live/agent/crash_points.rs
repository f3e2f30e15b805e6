//! The agent is killed before and after steps whose effects outlive it, on a real Xen, and started again: nothing may
//! be lost, doubled or mixed.
//!
//! The simulated Xen covers every point (`domainmgr/tests/process/crashes/`). This test covers a sample of them, and moments
//! in between, at which libxl is at work.
//!
//! `LAB_CRASH_POINTS` sets the number of points that are tried, in all scenarios together.

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use libxl::Limits;
use serde_json::{Value, json};

use super::{
    host::{App, Host, domid},
    orders::verb,
};
use crate::support::LONG;

/// Number of points in an ordinary run. More are useful after a change to this code.
const USUAL: usize = 10;

/// The agent that can be made to die, which xtask puts beside this test, and the variable that names the point.
const PROGRAM: &str = "domainmgr-crash-points";
const POINT: &str = "DOMAINMGR_CRASH_POINT";

/// A point that no agent reaches. With this number the agent logs the points it passes.
const NEVER: u32 = u32::MAX;

/// Approximate number of points in a scenario.
const LIKELY: u32 = 10;

/// Pause between two looks. Each look costs dom0 some milliseconds, and other tests are waiting for it.
const PAUSE: Duration = Duration::from_millis(200);

/// Delays from a point to the kill, in milliseconds: at the point, and in the middle of the following work.
const LATER: [u64; 4] = [0, 150, 600, 1500];

/// Initial content of the three disks. The third disk is kept.
const HASHES: [&str; 3] = ["aa", "bb", "cc"];

const SETTINGS: [&str; 2] = ["--config", "timer.boot.retry:10"];

/// A scenario: its initial state and its events.
struct Scenario {
    name: &'static str,
    /// Config of a domain that already runs, with disks that have been written to, when the agent to be killed
    /// starts.
    running: Option<Value>,
    play: fn(&mut Run),
}

/// The moment at which the agent is killed.
#[derive(Clone, Copy, Debug)]
struct Moment {
    nth: u32,
    later_ms: u64,
    /// Also kills the next agent, at its second point.
    twice: bool,
}

/// An agent that is killed, and the single domain that it manages.
struct Run {
    host: Host,
    app: App,
    moment: Moment,
    killed_at: Option<String>,
}

fn config(more: &Value) -> Value {
    let disk = |hash: &str, preserve: bool| json!({"ImageSha256": hash, "Preserve": preserve, "Format": "raw"});
    let mut config =
        json!({"DiskConfigList": [disk("aa", false), disk("bb", false), disk("cc", true)]});
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

impl Run {
    /// Prepares a host for a scenario, and starts the agent that dies.
    fn start(scenario: &Scenario, moment: Moment) -> Self {
        let mut host = Host::without_agent(&SETTINGS);
        for hash in HASHES {
            let dir = host.path("verified").join(hash);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("disk.raw"), padded(hash)).unwrap();
        }
        let app = host.app("point");
        if let Some(more) = &scenario.running {
            host.start_again();
            let words = more["ExtraArgs"].as_str().unwrap_or_default();
            host.put_tiny(&app, "PV", words, &config(more));
            host.wait_up(&app);
            host.signal("TERM");
            let begin = Instant::now();
            while host.ended().is_none() {
                assert!(begin.elapsed() < LONG, "{}", host.log());
                thread::sleep(PAUSE);
            }
            for hash in HASHES {
                fs::write(disk(&host, &app, hash), padded("written")).unwrap();
            }
        }
        let mut run = Self {
            host,
            app,
            moment,
            killed_at: None,
        };
        run.spawn(Some((moment.nth, moment.later_ms)));
        run
    }

    fn spawn(&mut self, point: Option<(u32, u64)>) {
        let text = point.map(|(nth, later)| format!("{nth}+{later}"));
        let vars: Vec<(&str, &str)> = text.iter().map(|text| (POINT, text.as_str())).collect();
        self.host.run_program(PROGRAM, &vars, &SETTINGS);
    }

    /// Starts the agent again if it is dead.
    fn revive(&mut self) {
        let Some(status) = self.host.ended() else {
            return;
        };
        let log = self.host.log();
        assert_eq!(status.signal(), Some(9), "{status}\n{log}");
        let first = self.killed_at.is_none();
        let point = log.rsplit_once("crash point: ").unwrap().1;
        let point = point.lines().next().unwrap().to_owned();
        self.killed_at.get_or_insert(point);
        let again = first && self.moment.twice;
        self.spawn(again.then_some((2, 0)));
    }

    #[track_caller]
    fn until(&mut self, what: &str, holds: impl Fn(&Host, &App) -> bool) {
        let begin = Instant::now();
        while !holds(&self.host, &self.app) {
            self.revive();
            assert!(begin.elapsed() < LONG, "{what}: {}", self.said());
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the DomainStatus shows this state.
    #[track_caller]
    fn state(&mut self, name: &str) -> Value {
        self.until(name, |host, app| {
            host.status(app).unwrap_or_default()["StateName"] == name
        });
        self.host.status(&self.app).unwrap_or_default()
    }

    /// Waits until the agent has found the domain of its predecessor.
    fn looked(&mut self) -> u32 {
        self.until("the agent to have looked", |host, _| {
            host.log().contains(" found")
        });
        domid(&self.state("RUNNING"))
    }

    fn put(&self, words: &str, more: &Value) {
        self.host.put_tiny(&self.app, "PV", words, &config(more));
    }

    /// Makes the guest crash, which it does when it is resumed.
    fn crash(&mut self) {
        self.looked();
        let domain = self.host.outsider(&self.app);
        let suspended = domain.suspend_only(&Limits::none()).unwrap();
        suspended.resume().unwrap();
    }

    /// Returns details that explain a failure.
    fn said(&self) -> String {
        format!(
            "killed at {:?} ({:?}); domains {:?}\n{:#?}\n{}",
            self.killed_at,
            self.moment,
            self.host.domains(&self.app),
            self.host.status(&self.app),
            self.host.log()
        )
    }

    /// Checks the final state: the number of domains, and the content of the disks.
    #[track_caller]
    fn check(&mut self, domains: usize, disks: Option<[&str; 3]>) {
        self.until("the right number of domains", |host, app| {
            host.domains(app).len() == domains
        });
        // Waits for belated effects.
        thread::sleep(Duration::from_secs(1));
        self.revive();
        let found = self.host.domains(&self.app);
        assert_eq!(found.len(), domains, "{}", self.said());
        let shown = self.host.status(&self.app);
        if let Some(shown) = shown.filter(|shown| shown["StateName"] == "RUNNING") {
            let shown = domid(&shown);
            assert!(found.iter().any(|id| id.0 == shown), "{}", self.said());
        }
        let copies = self.host.path("img");
        for entry in fs::read_dir(&copies).unwrap() {
            let name = entry.unwrap().file_name();
            let half_made = name.to_string_lossy().starts_with('.');
            assert!(!half_made && disks.is_some(), "{name:?}: {}", self.said());
        }
        if let Some(disks) = disks {
            let found = HASHES.map(|hash| content(&disk(&self.host, &self.app, hash)));
            assert_eq!(found, disks, "{}", self.said());
        }
    }
}

fn disk(host: &Host, app: &App, hash: &str) -> PathBuf {
    host.path("img").join(format!("{hash}-{}.raw", app.key))
}

fn content(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim_end_matches('\0').to_owned()
}

/// Returns the content of a disk that begins with `text`, in whole sectors.
fn padded(text: &str) -> Vec<u8> {
    let mut content = text.as_bytes().to_vec();
    content.resize(64 << 10, 0);
    content
}

const WRITTEN: [&str; 3] = ["written"; 3];

fn starts(run: &mut Run) {
    run.put("", &json!({}));
    run.state("RUNNING");
    run.check(1, Some(HASHES));
}

fn restarts_by_wish(run: &mut Run) {
    run.put("", &json!({"Activate": false}));
    run.state("HALTED");
    run.put("lab.tick=60", &json!({}));
    run.state("RUNNING");
    run.check(1, Some(["aa", "bb", "written"]));
}

fn reboots(run: &mut Run) {
    let before = run.looked();
    run.host.outsider(&run.app).reboot().wait().unwrap();
    run.until("another domain", |host, app| {
        let status = host.status(app).unwrap_or_default();
        status["StateName"] == "RUNNING" && domid(&status) != before
    });
    let status = run.host.status(&run.app).unwrap();
    assert_eq!(status["Restarts"], 1, "{}", run.said());
    run.check(1, Some(WRITTEN));
}

fn powers_off(run: &mut Run) {
    run.looked();
    run.host.outsider(&run.app).shutdown().wait().unwrap();
    let down = run.state("HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff", "{}", run.said());
    run.check(0, Some(WRITTEN));
}

fn is_kept_and_built_again(run: &mut Run) {
    let before = run.looked();
    run.crash();
    run.until("another domain", |host, app| {
        let status = host.status(app).unwrap_or_default();
        status["StateName"] == "RUNNING" && domid(&status) != before
    });
    run.check(2, Some(WRITTEN));
}

fn is_preserved(run: &mut Run) {
    let before = run.looked();
    run.crash();
    let kept = run.state("PRESERVED");
    assert_eq!(domid(&kept), before, "{}", run.said());
    run.check(1, Some(WRITTEN));
    goes(run);
}

fn goes(run: &mut Run) {
    run.host.remove(&run.app);
    run.until("nothing to be left", |host, app| host.status(app).is_none());
    run.check(0, None);
}

fn goes_while_it_is_built(run: &mut Run) {
    run.put("", &json!({}));
    run.until("a status", |host, app| host.status(app).is_some());
    goes(run);
}

/// Checks that the memory outlives the domain, whatever happens in between.
fn is_saved_and_restored(run: &mut Run) {
    run.looked();
    // Fails if the agent is killed meanwhile.
    let _ = verb(&run.host, &["save"], &run.app);
    run.until("the save to have ended", |host, app| {
        let status = host.status(app).unwrap_or_default();
        status["StateName"] == "SAVED" || status["StateName"] == "RUNNING"
    });
    run.until("the order", |host, app| verb(host, &["start"], app).0 == 0);
    run.state("RUNNING");
    run.check(1, Some(WRITTEN));
    let built = run.host.log().matches(" created").count();
    assert_eq!(built, 1, "{}", run.said());
}

fn scenarios() -> Vec<Scenario> {
    let scenario = |name, running: Option<Value>, play: fn(&mut Run)| Scenario {
        name,
        running,
        play,
    };
    let plain = || Some(json!({}));
    // The guest crashes once: nobody suspends the next domain.
    let crash = |on: &str| Some(json!({"ExtraArgs": "lab.resumed=crash", "OnCrash": on}));
    vec![
        scenario("start", None, starts),
        scenario("restart by wish", plain(), restarts_by_wish),
        scenario("reboot of the guest", plain(), reboots),
        scenario("poweroff", plain(), powers_off),
        scenario(
            "rename-restart",
            crash("rename-restart"),
            is_kept_and_built_again,
        ),
        scenario("preserve", crash("preserve"), is_preserved),
        scenario("delete", plain(), goes),
        scenario("delete while building", None, goes_while_it_is_built),
        scenario("save and restore", plain(), is_saved_and_restored),
    ]
}

/// Returns an endless series of moments for an agent that passes `points` points; `wanted` of them are evenly spread.
///
/// Once all points have been used, they are repeated, and the agent is killed later after each.
fn moments(points: u32, wanted: u32) -> impl Iterator<Item = Moment> {
    let stride = (points / wanted.max(1)).max(1);
    let round = points.div_ceil(stride);
    (0..).map(move |n| Moment {
        nth: n % round * stride + (stride / 2 + n / round) % stride + 1,
        later_ms: LATER[usize::try_from(n / round).unwrap() % LATER.len()],
        twice: n % 3 == 2,
    })
}

/// Returns the number of points that an undisturbed agent passes in a scenario.
fn count(scenario: &Scenario) -> u32 {
    let never = Moment {
        nth: NEVER,
        later_ms: 0,
        twice: false,
    };
    let mut run = Run::start(scenario, never);
    (scenario.play)(&mut run);
    passed(scenario, &run)
}

/// Returns the number of points that an agent has passed that nobody has killed.
fn passed(scenario: &Scenario, run: &Run) -> u32 {
    let passed = run.host.log().matches("passes: ").count();
    assert!(passed > 2, "{}: {}", scenario.name, run.said());
    u32::try_from(passed).unwrap()
}

/// Limits the test to two scenarios at once.
///
/// Each starts three scripts for its disks. With more scripts at once, libxl would end some, because it gives a
/// script 40 s, and the domain would be rebuilt again and again.
static AT_ONCE: [Mutex<()>; 2] = [const { Mutex::new(()) }; 2];

/// Plays this scenario for its share of the points to be tried.
fn sample(name: &str) {
    let all: usize = env::var("LAB_CRASH_POINTS").map_or(USUAL, |n| n.parse().unwrap());
    let scenarios = scenarios();
    let at = scenarios.iter().position(|s| s.name == name).unwrap();
    let scenario = &scenarios[at];
    let share = all / scenarios.len() + usize::from(at < all % scenarios.len());
    if share == 0 {
        println!("{name}: 0 points tried, as was asked for");
        return;
    }
    let _turn = AT_ONCE[at % AT_ONCE.len()]
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let few = u32::try_from(share).unwrap();
    // Counting takes as long as a try, so it only pays off for many points.
    let mut points = if few > 2 { count(scenario) } else { LIKELY };
    let (mut tried, mut twice, mut missed) = (0, 0, 0);
    let mut moments_left = moments(points, few);
    while let Some(moment) = moments_left.next() {
        let mut run = Run::start(scenario, moment);
        (scenario.play)(&mut run);
        // Some points are only passed now and then, and may be missed.
        if run.killed_at.is_none() {
            missed += 1;
            assert!(missed <= share + 3, "{name}: the points are not reached");
            if missed == 1 {
                points = passed(scenario, &run);
                moments_left = moments(points, few);
            }
            continue;
        }
        tried += 1;
        twice += usize::from(run.host.log().matches("crash point: ").count() > 1);
        if tried == share {
            break;
        }
    }
    println!(
        "{name:<24}{points:>3} points, {tried:>3} tried, {twice:>3} of them twice, {missed} not met, 0 violations"
    );
}

#[test]
fn a_start_with_disks() {
    sample("start");
}

#[test]
fn a_restart_by_wish() {
    sample("restart by wish");
}

#[test]
fn a_reboot_of_the_guest() {
    sample("reboot of the guest");
}

#[test]
fn an_end_that_the_policy_leaves_as_it_is() {
    sample("poweroff");
}

#[test]
fn a_crash_that_is_kept_under_another_name() {
    sample("rename-restart");
}

#[test]
fn a_crash_that_is_preserved() {
    sample("preserve");
}

#[test]
fn a_key_that_is_removed() {
    sample("delete");
}

#[test]
fn a_key_that_is_removed_while_its_domain_is_built() {
    sample("delete while building");
}

#[test]
fn a_guest_that_is_saved_and_restored() {
    sample("save and restore");
}
