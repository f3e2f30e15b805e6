//! The acceptance cases of `domainmgr/tests/process/acceptance.rs` that touch Xen, under the same numbers.
//!
//! Cases 10 and 11 are about adapters and in `devices`, because they need a computer with some. Cases 13 and 14 are
//! about files alone.

mod golden;
pub(crate) mod machine;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use libxl::{DomId, DomainState, Limits, ShutdownReason};
use serde_json::{Value, json};

use crate::{
    agent::host::{App, Host, domid},
    support::outsider_is_there,
};

/// Runs a program of dom0.
#[track_caller]
fn tool(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/xen/bin")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {error}");
    String::from_utf8(out.stdout).unwrap()
}

const NEVER: &str = "0001-01-01T00:00:00Z";
const QUICK: [&str; 2] = ["--config", "timer.boot.retry:10"];

/// Starts the small guest, and waits until it is up.
fn up(host: &Host, hint: &str, changes: &Value) -> (App, Value) {
    let app = host.app(hint);
    host.put_tiny(&app, "PV", "", changes);
    let up = host.wait_up(&app);
    (app, up)
}

fn image(host: &Host, hash: &str, content: &[u8]) {
    let dir = host.path("verified").join(hash);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("disk.raw"), content).unwrap();
}

#[test]
fn acceptance_01_a_config_becomes_a_running_domain() {
    let host = Host::start();
    // `an_hvm_domain_runs_and_stops` covers an HVM domain, whose BIOS is slow.
    for mode in ["PV", "PVH"] {
        let app = host.app("one");
        host.put_tiny(&app, mode, "", &json!({}));
        let up = host.wait_up(&app);
        assert_eq!(up["PendingAdd"], false);
        assert!(domid(&up) > 0);
        assert_ne!(up["BootTime"], NEVER);
        assert_eq!(
            (&up["BootFailed"], &up["TriedCount"]),
            (&json!(false), &json!(1))
        );
        assert_eq!(host.domains(&app), [DomId(domid(&up))]);
    }
}

#[test]
fn acceptance_02_and_03_a_boot_is_tried_again_until_the_wish_ends() {
    let host = Host::start_with(&QUICK);
    let kernel = host.path("kernel");
    fs::write(&kernel, "not a kernel").unwrap();
    let config = json!({"Kernel": kernel});
    let [app, given_up] = ["two", "three"].map(|hint| host.app(hint));
    for app in [&app, &given_up] {
        host.put_tiny(app, "PV", "", &config);
    }
    for app in [&app, &given_up] {
        let failed = host.wait(app, "three tries", |s| s["BootFailed"] == true);
        assert_eq!(failed["TriedCount"], 3);
        assert_ne!(failed["LastErr"], "");
        assert_ne!(failed["NextRetry"], NEVER);
    }
    host.put_tiny(
        &given_up,
        "PV",
        "",
        &json!({"Kernel": kernel, "Activate": false}),
    );
    let down = host.wait_state(&given_up, "HALTED");
    assert_eq!(
        (&down["BootFailed"], &down["NextRetry"]),
        (&json!(false), &json!(NEVER))
    );
    fs::copy("/share/guest/tiny", &kernel).unwrap();
    let up = host.wait(&app, "a later try", |s| s["StateName"] == "RUNNING");
    assert_eq!(
        (&up["BootFailed"], &up["LastErr"]),
        (&json!(false), &json!(""))
    );
    assert_eq!(host.status(&given_up).unwrap()["StateName"], "HALTED");
    assert_eq!(host.domains(&given_up), []);
}

/// Returns the time that one domain takes to start, and another to stop. `check` runs once the first has started.
fn start_and_stop(host: &Host, check: impl FnOnce()) -> [Duration; 2] {
    let (old, _) = up(host, "stops", &json!({}));
    let new = host.app("starts");
    let begin = Instant::now();
    host.put_tiny(&new, "PV", "", &json!({}));
    host.wait_state(&new, "RUNNING");
    let start = begin.elapsed();
    check();
    let begin = Instant::now();
    host.put_tiny(&old, "PV", "", &json!({"Activate": false}));
    host.wait_state(&old, "HALTED");
    let stop = begin.elapsed();
    for app in [&old, &new] {
        host.remove(app);
        host.wait_gone(app);
    }
    [start, stop]
}

#[test]
fn acceptance_04_neither_a_stuck_shutdown_nor_a_copy_keeps_anybody_waiting() {
    // On the disk, because other temporary files of tests are in memory.
    let disk = tempfile::tempdir_in("/var/tmp").unwrap();
    let copies_in = disk.path().join("img");
    let patient = ["--config", "timer.shutdown.graceful:600", "--image-dir"];
    let host = Host::start_with(&[&patient[..], &[copies_in.to_str().unwrap()]].concat());
    image(&host, "cafe", &vec![7; 200 << 20]);
    let idle = start_and_stop(&host, || ());
    let stuck = host.app("stuck");
    host.put_tiny(&stuck, "PV", "lab.requests=acknowledge", &json!({}));
    host.wait_up(&stuck);
    let stop = json!({"Activate": false});
    host.put_tiny(&stuck, "PV", "lab.requests=acknowledge", &stop);
    host.wait_state(&stuck, "HALTING");
    let copies = host.app("copies");
    host.put_tiny(
        &copies,
        "PV",
        "",
        &json!({"DiskConfigList": [{"ImageSha256": "cafe"}]}),
    );
    host.wait(&copies, "a copy under way", |s| {
        s["StateReason"].as_str().unwrap().starts_with("copying")
    });
    let busy = start_and_stop(&host, || {
        assert_eq!(host.status(&copies).unwrap()["StateName"], "BOOTING");
        assert_eq!(host.status(&stuck).unwrap()["StateName"], "HALTING");
    });
    let still = host.status(&copies).unwrap()["StateName"] == "BOOTING";
    for (what, i) in [("start", 0), ("stop", 1)] {
        let ratio = busy[i].as_secs_f64() / idle[i].as_secs_f64();
        println!(
            "{what} beside a copy of 200 MiB (to the end: {still}) and a stuck shutdown: {:.2?}; idle: {:.2?}; \
             ratio {ratio:.2}",
            busy[i], idle[i]
        );
    }
    assert_eq!(host.status(&stuck).unwrap()["StateName"], "HALTING");
}

#[test]
fn acceptance_05_a_reboot_gives_a_new_domain_and_is_never_halted() {
    let host = Host::start();
    let app = host.app("five");
    host.put_tiny(&app, "PV", "lab.action=reboot lab.after=11", &json!({}));
    let first = host.wait_up(&app);
    let second = host.wait(&app, "a restart", |s| {
        let state = s["StateName"].as_str().unwrap();
        assert!(
            ["RUNNING", "BOOTING", "HALTING"].contains(&state),
            "{state}"
        );
        state == "RUNNING" && domid(s) != domid(&first)
    });
    assert_ne!(second["BootTime"], first["BootTime"]);
    assert_eq!(
        (&second["Restarts"], &second["ShutdownReason"]),
        (&json!(1), &json!("reboot"))
    );
    assert_eq!(
        host.log().matches(" created").count(),
        2,
        "one create for each start"
    );
    assert_eq!(host.domains(&app), [DomId(domid(&second))]);
}

#[test]
fn acceptance_06_a_suspend_is_no_end_and_what_follows_is_heard() {
    let host = Host::start();
    image(&host, "cafe", &[7; 1 << 20]);
    let disk = json!({"DiskConfigList": [{"ImageSha256": "cafe"}]});
    let (app, first) = up(&host, "six", &disk);
    let suspended = host.outsider(&app).suspend_only(&Limits::none()).unwrap();
    host.wait_state(&app, "SUSPENDED");
    let lines = host.log().lines().count();
    thread::sleep(Duration::from_secs(5));
    assert!(host.log().lines().count() < lines + 10, "no busy loop");
    let state = host.state(&app, domid(&first));
    assert_eq!(state, Some(DomainState::Shutdown(ShutdownReason::SUSPEND)));
    suspended.resume().unwrap();
    host.wait_state(&app, "RUNNING");
    host.outsider(&app).shutdown().wait().unwrap();
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(&app), []);
    host.remove(&app);
    host.wait_gone(&app);
    assert_eq!(fs::read_dir(host.path("img")).unwrap().count(), 0);
}

#[test]
fn acceptance_07_a_death_without_a_shutdown_is_an_outsiders() {
    let policy = ["--config", "domain.poweroff.policy:retry"];
    let host = Host::start_with(&[&QUICK[..], &policy].concat());
    let (app, _) = up(&host, "seven", &json!({}));
    host.outsider(&app).destroy().wait().unwrap();
    let down = host.wait_state(&app, "HALTED");
    assert_eq!((&down["Vanished"], domid(&down)), (&json!(true), 0));
    thread::sleep(Duration::from_secs(15));
    assert_eq!(host.domains(&app), [], "it may live on elsewhere");
    host.put_tiny(&app, "PV", "lab.tick=60", &json!({}));
    host.wait_state(&app, "RUNNING");
}

#[test]
fn acceptance_08_a_guest_is_asked_then_asked_otherwise_then_destroyed() {
    let graceful = ["--config", "timer.shutdown.graceful:4"];
    let forced = ["--config", "timer.shutdown.forced:2"];
    let host = Host::start_with(&[graceful, forced].concat());
    let (app, first) = up(&host, "obeys", &json!({}));
    host.put_tiny(&app, "PV", "", &json!({"Activate": false}));
    host.wait_state(&app, "HALTED");
    let id = domid(&first);
    assert!(
        !host
            .log()
            .contains(&format!("domain {id} does not shut down")),
        "it obeyed"
    );

    // Nothing to boot, so nothing has PV drivers or reacts to the power button.
    let empty = host.app("bios");
    let config = json!({"Kernel": "", "Ramdisk": "", "Memory": 32 << 10, "ExtraArgs": ""});
    host.put(&empty, "HVM", "", &config);
    let id = domid(&host.wait_state(&empty, "RUNNING"));
    let stop = json!({"Kernel": "", "Ramdisk": "", "Memory": 32 << 10, "ExtraArgs": "", "Activate": false});
    host.put(&empty, "HVM", "", &stop);
    host.wait_state(&empty, "HALTED");
    let log = host.log();
    let at = |text: String| log.find(&text).unwrap_or_else(|| panic!("{text}\n{log}"));
    let asked = at(format!("asking domain {id} to shut down"));
    let pressed = at(format!("pressing the power button of domain {id}"));
    let destroyed = at(format!("domain {id} does not shut down; destroying it"));
    assert!(asked < pressed && pressed < destroyed);
    assert_eq!(host.domains(&empty), []);
}

#[test]
fn acceptance_09_a_killed_agent_finds_its_domains_again() {
    let mut host = Host::start();
    let (stays, first) = up(&host, "stays", &json!({}));
    let (goes, _) = up(&host, "goes", &json!({}));
    host.kill();
    host.remove(&goes);
    host.start_again();
    host.wait_log(&format!("domain {} found", domid(&first)));
    host.wait_gone(&goes);
    let again = host.wait_state(&stays, "RUNNING");
    assert_eq!(
        (domid(&again), &again["BootTime"]),
        (domid(&first), &first["BootTime"])
    );
    assert_eq!(
        host.log().matches(" created").count(),
        2,
        "no second create"
    );
    assert_eq!(host.domains(&stays), [DomId(domid(&first))]);
}

#[test]
fn acceptance_12_preserved_disks_stay_and_others_are_fresh() {
    let host = Host::start();
    image(&host, "cafe", &[7; 1 << 20]);
    for (preserve, left) in [(true, &b"written"[..]), (false, &[7; 7])] {
        let with = |activate: bool| {
            let disk = json!({"ImageSha256": "cafe", "Preserve": preserve});
            json!({"DiskConfigList": [disk], "Activate": activate})
        };
        let app = host.app("twelve");
        host.put_tiny(&app, "PV", "", &with(true));
        host.wait_up(&app);
        let copy = host.path("img").join(format!("cafe-{}.raw", app.key));
        host.put_tiny(&app, "PV", "", &with(false));
        host.wait_state(&app, "HALTED");
        crate::support::wait_for("what becomes of the copy", || copy.exists() == preserve);
        if preserve {
            let mut content = fs::read(&copy).unwrap();
            content[..7].copy_from_slice(b"written");
            fs::write(&copy, content).unwrap();
        }
        host.put_tiny(&app, "PV", "", &with(true));
        host.wait_state(&app, "RUNNING");
        assert_eq!(&fs::read(&copy).unwrap()[..7], left);
        host.remove(&app);
        host.wait_gone(&app);
        assert!(!copy.exists());
    }
}

#[test]
fn acceptance_15_text_never_becomes_syntax() {
    if !outsider_is_there() {
        return;
    }
    let host = Host::start();
    let app = host.named("x\"\nkernel=\"/etc/passwd");
    host.put_tiny(&app, "PV", "", &json!({}));
    let refused = host.wait(&app, "refused", |s| s["LastErr"] != "");
    let words = refused["LastErr"].as_str().unwrap();
    assert!(
        words.ends_with("DisplayName: '\"' cannot be in the name of a domain"),
        "{words}"
    );
    assert_eq!(host.domains(&app), []);
    // Allowed characters reach the guest unchanged.
    let app = host.app("fifteen");
    let args = "lab.tick=60 \" kernel='/etc/passwd' \\ #";
    host.put_tiny(&app, "PV", args, &json!({}));
    host.wait_up(&app);
    let console = fs::read(format!("/var/log/xen/console/guest-{}.log", app.name())).unwrap();
    let said = String::from_utf8_lossy(&console);
    assert!(said.contains("lab.tick=60"), "{said}");
}
