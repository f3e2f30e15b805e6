//! Guests that move between two hosts, whose cable is cut and whose agents are killed.
//!
//! They need a pair of labs: `cargo xtask test --hosts 2`. The tests run on alpha, and reach beta by ssh: over the cable as `beta`, and past
//! it as `beta-oob`.

mod at_work;
mod beta;
mod cable;
mod courier;
mod disturbed;
mod relay;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::json;

use self::{
    beta::{Address, Beta, program, verb},
    cable::Mended,
};
use crate::agent::host::{App, Host};
use crate::support::{LONG, is_up, wait_for};

fn migrate(host: &Host, app: &App, beta: &Beta) -> (bool, String) {
    verb(
        host,
        &[
            "migrate",
            &app.name(),
            "beta",
            "--via",
            &beta.address().via(),
        ],
    )
}

/// A small PVH guest that runs, and two agents. Debian's Xen cannot send a PV guest while it runs.
fn two() -> (Host, Beta, App) {
    let beta = Beta::start();
    let host = Host::start();
    let app = host.app("mover");
    host.put_tiny(&app, "PVH", "tick=5", &json!({}));
    host.wait_up(&app);
    (host, beta, app)
}

/// Starts the agent of this host again, and waits until it answers.
fn start_again(host: &mut Host) {
    host.start_again();
    wait_for("the agent of alpha", || verb(host, &["jobs"]).0);
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
        let (there, running) = beta.domains(app);
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
        thread::sleep(Duration::from_millis(200));
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
    start_again(&mut host);
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
    let (done, said) = beta.send_back(&app, &Address::here(&host).via());
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
    beta.shell(&format!(
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

/// The cable is cut at places of the stream that nobody has chosen, in each direction.
#[test]
fn a_cut_anywhere_leaves_one_guest() {
    let (host, beta, app) = two();
    let _mended = Mended;
    let before = cable::bytes();
    let (done, said) = migrate(&host, &app, &beta);
    assert!(done, "{said}\n{}", beta.log());
    let after = cable::bytes();
    for (i, direction) in ["alpha", "beta"].into_iter().enumerate() {
        let all = after[i] - before[i];
        for part in [10, 60, 95] {
            bring_back(&host, &beta, &app);
            let place = all * part / 100;
            cable::order(&format!("mend cut-after {place} from {direction}"));
            let (done, said) = migrate(&host, &app, &beta);
            // A cut in one direction only would let the other end talk on.
            cable::order("cut");
            thread::sleep(Duration::from_secs(2));
            cable::order("mend");
            let runs_here = settled(&host, &beta, &app);
            assert!(!done || !runs_here, "{said}");
            let place = if runs_here { "here" } else { "there" };
            println!("cut from {direction} after {part} %: it ended {place}");
        }
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

/// Everything that the other host lacks is said before the guest is touched.
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
    fails(&beta.address().via(), &format!("{path}: No such file"));
    beta.shell(&format!(
        "mkdir -p {}; head -c 1048576 /dev/zero >{path}",
        host.path("").display()
    ));
    fails(
        &beta.address().via(),
        &format!("{path} is other storage here"),
    );
}
