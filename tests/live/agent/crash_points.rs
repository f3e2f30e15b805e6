//! The agent is killed at points before and after what outlives it, on a real Xen, and started again: nothing is lost,
//! doubled or mixed. The simulated Xen sees every point (`domainmgr/tests/crashes/`); this is a sample of them, and of
//! moments in between, at which libxl is at work.
//!
//! `LAB_CRASH_POINTS` sets how many points are tried, in all scenarios together.

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

/// In every run; more are for a day on which something was changed here.
const USUAL: usize = 10;

/// The program that can be made to die, which xtask puts beside this test, and the variable that it obeys.
const PROGRAM: &str = "domainmgr-crash-points";
const POINT: &str = "DOMAINMGR_CRASH_POINT";

/// A number that no agent reaches: it says which points it passes.
const NEVER: u32 = u32::MAX;

/// About how many points a scenario has.
const LIKELY: u32 = 10;

/// Between two looks. Each costs dom0 some milliseconds, and other tests wait for it as well.
const PAUSE: Duration = Duration::from_millis(200);

/// How long after a point the agent is killed, in milliseconds: at it, and in the middle of what follows.
const LATER: [u64; 4] = [0, 150, 600, 1500];

/// What two of the disks hold at first, and the third one, which is to be kept.
const HASHES: [&str; 3] = ["aa", "bb", "cc"];

const SETTINGS: [&str; 2] = ["--config", "timer.boot.retry:10"];

/// How a scenario begins and what happens in it.
struct Scenario {
    name: &'static str,
    /// The domain runs, and its disks have been written to, when the agent that is killed starts.
    running: Option<Value>,
    play: fn(&mut Run),
}

/// The moment at which an agent is killed.
#[derive(Clone, Copy, Debug)]
struct Moment {
    nth: u32,
    later_ms: u64,
    /// The next agent is killed as well, at its second point.
    twice: bool,
}

/// An agent that is killed, and the one domain it looks after.
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
    /// Makes a host ready for a scenario, and starts the agent that dies.
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

    /// Waits until it is shown to be in this state.
    #[track_caller]
    fn state(&mut self, name: &str) -> Value {
        self.until(name, |host, app| {
            host.status(app).unwrap_or_default()["StateName"] == name
        });
        self.host.status(&self.app).unwrap_or_default()
    }

    /// Waits until the agent has seen the domain that was there before it.
    fn looked(&mut self) -> u32 {
        self.until("the agent to have looked", |host, _| {
            host.log().contains(" found")
        });
        domid(&self.state("RUNNING"))
    }

    fn put(&self, words: &str, more: &Value) {
        self.host.put_tiny(&self.app, "PV", words, &config(more));
    }

    /// Has the guest crash, which it does when it goes on after a suspend.
    fn crash(&mut self) {
        self.looked();
        let domain = self.host.outsider(&self.app);
        let suspended = domain.suspend_only(&Limits::none()).unwrap();
        suspended.resume().unwrap();
    }

    /// What explains a failure.
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

    /// What must hold in the end: so many domains, and these disks.
    #[track_caller]
    fn check(&mut self, domains: usize, disks: Option<[&str; 3]>) {
        self.until("the right number of domains", |host, app| {
            host.domains(app).len() == domains
        });
        // Nothing more comes of it.
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

/// What a disk holds that begins with `text`: whole sectors.
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

/// Its memory outlives the domain, whatever happens in between.
fn is_saved_and_restored(run: &mut Run) {
    run.looked();
    // It fails if the agent is killed meanwhile.
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
    // It crashes once: the next domain is suspended by nobody.
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

/// Moments in the life of an agent that passes so many points, without end: `wanted` of them are evenly spread. The same
/// point comes again, and the agent is killed later after it, once all have been had.
fn moments(points: u32, wanted: u32) -> impl Iterator<Item = Moment> {
    let stride = (points / wanted.max(1)).max(1);
    let round = points.div_ceil(stride);
    (0..).map(move |n| Moment {
        nth: n % round * stride + (stride / 2 + n / round) % stride + 1,
        later_ms: LATER[usize::try_from(n / round).unwrap() % LATER.len()],
        twice: n % 3 == 2,
    })
}

/// The number of points that the agent passes in a scenario, if nobody kills it.
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

/// The number of points that an agent has passed that nobody has killed.
fn passed(scenario: &Scenario, run: &Run) -> u32 {
    let passed = run.host.log().matches("passes: ").count();
    assert!(passed > 2, "{}: {}", scenario.name, run.said());
    u32::try_from(passed).unwrap()
}

/// Two scenarios at once. Each starts three scripts for its disks; with more of them libxl would end some, because it gives a
/// script 40 s, and the domain would be built again and again.
static AT_ONCE: [Mutex<()>; 2] = [const { Mutex::new(()) }; 2];

/// Plays this scenario for its share of the points that are to be tried.
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
    // Counting is as long as a try: it is worth that if there are many.
    let mut points = if few > 2 { count(scenario) } else { LIKELY };
    let (mut tried, mut twice, mut missed) = (0, 0, 0);
    let mut moments_left = moments(points, few);
    while let Some(moment) = moments_left.next() {
        let mut run = Run::start(scenario, moment);
        (scenario.play)(&mut run);
        // A point that is passed only now and then is not always met.
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
