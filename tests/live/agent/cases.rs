//! Shutdown is not death: actions of others on a domain that the agent manages.
//!
//! The numbers refer to the table in docs/architecture.md.

use std::{
    fs::File,
    os::unix::net::UnixStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use libxl::{
    Context, Domain, DomainConfig, DomainState, ErrorKind, Limits, Saving, ShutdownReason, Source,
};
use serde_json::{Value, json};

use super::host::{App, Host, domid};
use crate::{
    migrate,
    support::{Kind, context, given_up, outsider_is_there, tiny_config, wait_for, xl},
};

/// Time within which an outsider's action appears in the DomainStatus.
const SOON: Duration = Duration::from_secs(2);

/// Returns an agent with one running domain: the small guest, with parameters for its behaviour.
fn managed(mode: &str, hint: &str, params: &str) -> (Host, App, Value) {
    let host = Host::start();
    let app = host.app(hint);
    host.put_tiny(&app, mode, params, &json!({}));
    let up = host.wait_up(&app);
    (host, app, up)
}

/// Waits for a state, and prints the time since `since`.
#[track_caller]
fn shows(host: &Host, app: &App, state: &str, since: Instant) -> Value {
    let status = host.wait_state(app, state);
    println!(
        "{}: {state} after {:.1} s",
        app.name(),
        since.elapsed().as_secs_f32()
    );
    status
}

/// Same as [`shows`], within the time promised to an operator.
#[track_caller]
fn shows_soon(host: &Host, app: &App, state: &str, since: Instant) -> Value {
    let status = shows(host, app, state, since);
    assert!(
        since.elapsed() <= SOON,
        "{state} showed only after {:?}\n{}",
        since.elapsed(),
        host.log()
    );
    status
}

/// Checks that nothing more happens: no second copy, no restart.
#[track_caller]
fn stays(host: &Host, app: &App, status: &Value) {
    let before = host.domains(app);
    thread::sleep(Duration::from_secs(4));
    let now = host.status(app).unwrap();
    for field in ["StateName", "DomainId", "Restarts"] {
        assert_eq!(now[field], status[field], "{field}\n{}", host.log());
    }
    assert_eq!(host.domains(app), before);
}

/// Checks that the domain is managed: it stops when its config is removed, and disappears.
#[track_caller]
fn obeys(host: &Host, app: &App) {
    host.remove(app);
    host.wait_gone(app);
}

#[test]
fn case_01_a_resumed_guest_powers_off() {
    let (host, app, up) = managed("PV", "resumed", "lab.resumed=poweroff lab.resumed-after=1");
    let domain = host.outsider(&app);
    let suspended = domain.suspend_only(&Limits::none()).unwrap();
    host.wait_state(&app, "SUSPENDED");
    suspended.resume().unwrap();
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(down["Restarts"], up["Restarts"]);
    assert_eq!(host.domains(&app), []);
    stays(&host, &app, &down);
}

#[test]
fn case_02_a_guest_that_reboots_after_a_checkpoint_is_built_once() {
    let (host, app, up) = managed("PV", "reborn", "lab.resumed=reboot lab.resumed-after=1");
    let dir = tempfile::tempdir().unwrap();
    host.outsider(&app)
        .checkpoint(dir.path().join("saved"), Saving::new())
        .unwrap();
    let again = host.wait(&app, "another domain", |status| {
        status["StateName"] == "RUNNING" && status["DomainId"] != up["DomainId"]
    });
    assert_eq!(again["Restarts"], 1);
    stays(&host, &app, &again);
    obeys(&host, &app);
}

#[test]
fn case_03_a_migration_fails_and_the_guest_powers_off() {
    let (host, app, up) = managed("PV", "stays", "lab.resumed=poweroff lab.resumed-after=1");
    let failed = migrate::fails_before_go(&host.outsider(&app));
    println!("{failed}");
    assert!(matches!(failed.source, Source::Runs), "{failed}");
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(down["Restarts"], up["Restarts"]);
    stays(&host, &app, &down);
}

#[test]
fn case_04_a_guest_that_was_resumed_twice_crashes() {
    let host = Host::start();
    let app = host.app("crashes");
    let keep = json!({"OnCrash": "preserve"});
    // Each resume starts the six seconds anew.
    let words = "lab.resumed=crash lab.resumed-after=6";
    host.put_tiny(&app, "PV", words, &keep);
    let up = host.wait_up(&app);
    let domain = host.outsider(&app);
    for _ in 0..2 {
        domain
            .suspend_only(&Limits::none())
            .unwrap()
            .resume()
            .unwrap();
    }
    let kept = host.wait_state(&app, "PRESERVED");
    assert_eq!(kept["ShutdownReason"], "crash");
    assert_eq!(
        host.state(&app, domid(&up)),
        Some(DomainState::Shutdown(ShutdownReason::CRASH))
    );
    obeys(&host, &app);
}

/// xenstored does not announce a shutdown between the two steps of a resume.
#[test]
fn case_05_a_guest_powers_off_in_the_instant_of_its_resume() {
    let (host, app, _) = managed("PV", "instant", "lab.resumed=poweroff");
    let domain = host.outsider(&app);
    let suspended = domain.suspend_only(&Limits::none()).unwrap();
    host.wait_state(&app, "SUSPENDED");
    let since = Instant::now();
    suspended.resume().unwrap();
    let down = shows(&host, &app, "HALTED", since);
    assert!(since.elapsed() < Duration::from_secs(33), "a resync later");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(&app), []);
}

#[test]
fn case_08_a_guest_that_never_answers_stays_managed() {
    let (host, app, up) = managed("PV", "deaf", "lab.requests=ignore");
    let dir = tempfile::tempdir().unwrap();
    let failed = host
        .outsider(&app)
        .save_file(dir.path().join("saved"), Saving::new())
        .unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::GuestTimedOut, "{failed}");
    println!("{failed}");
    let status = host.wait_state(&app, "RUNNING");
    assert_eq!(status["DomainId"], up["DomainId"]);
    // The guest ignores the agent as well.
    host.outsider(&app).destroy().wait().unwrap();
    host.wait_state(&app, "HALTED");
}

/// The guest obeys late, and the requesting toolstack resumes it.
///
/// The agent must not take this suspend for an end, and must notice what follows.
#[test]
fn case_07_it_suspends_after_everybody_has_given_up() {
    let words = "lab.suspend-after=6 lab.resumed=poweroff lab.resumed-after=1";
    let (host, app, up) = managed("PV", "late", words);
    let domain = host.outsider(&app);
    let failed = given_up(&app.name(), |stop| {
        let limits = Limits::none().abort_with(stop);
        domain.suspend_only(&limits).unwrap_err()
    });
    assert!(matches!(failed.source, Source::MaySuspendYet), "{failed}");
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(down["Restarts"], up["Restarts"]);
    stays(&host, &app, &down);
}

#[test]
fn case_09_an_outsider_destroys_it() {
    if !outsider_is_there() {
        return;
    }
    let (host, app, _) = managed("PV", "destroyed", "");
    xl(&["destroy", &app.name()]);
    let down = shows_soon(&host, &app, "HALTED", Instant::now());
    assert_eq!(down["ShutdownReason"], "destroyed from outside");
    stays(&host, &app, &down);
}

#[test]
fn case_09_an_outsider_makes_a_checkpoint() {
    if !outsider_is_there() {
        return;
    }
    let (host, app, up) = managed("PV", "checkpoint", "");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved");
    for _ in 0..2 {
        xl(&["save", "-c", &app.name(), file.to_str().unwrap()]);
        let running = shows_soon(&host, &app, "RUNNING", Instant::now());
        assert_eq!(running["DomainId"], up["DomainId"]);
        stays(&host, &app, &running);
    }
    obeys(&host, &app);
}

#[test]
fn case_09_an_outsider_renames_it() {
    if !outsider_is_there() {
        return;
    }
    let (host, app, up) = managed("PV", "renamed", "");
    let stolen = format!("stolen-{}", app.key);
    xl(&["rename", &app.name(), &stolen]);
    stays(&host, &app, &up);
    obeys(&host, &app);
}

#[test]
fn case_09_an_outsider_migrates_it() {
    if !outsider_is_there() {
        return;
    }
    // Xen without shadow paging cannot migrate a running PV guest, and xl only does live migrations.
    let (host, app, up) = managed("PVH", "moved", "");
    exactly_one_copy(&app, || {
        xl(&["migrate", "-s", "", &app.name(), "xl migrate-receive"]);
    });
    let since = Instant::now();
    let moved = host.wait(&app, "the new domain", |status| {
        status["StateName"] == "RUNNING" && status["DomainId"] != up["DomainId"]
    });
    assert!(since.elapsed() <= SOON, "{:?}", since.elapsed());
    stays(&host, &app, &moved);
    obeys(&host, &app);
}

/// Runs `deed`, and waits for reactions of the agent. At every moment there must be exactly one running copy.
fn exactly_one_copy(app: &App, deed: impl FnOnce()) {
    migrate::exactly_one_copy(app.key.parse().unwrap(), || {
        deed();
        thread::sleep(Duration::from_secs(2));
    });
}

/// The agent is stopped while the domain disappears and another one gets its domid.
#[test]
fn case_10_another_domain_has_its_number() {
    let (host, app, up) = managed("PV", "gone", "");
    host.signal("STOP");
    host.outsider(&app).destroy().wait().unwrap();
    let ctx = context();
    wait_for("Xen to forget it", || {
        host.state(&app, domid(&up)).is_none()
    });
    // Xen's own toolstack would wait for a minute before it uses the domid again. Another toolstack need not.
    ctx.clear_domid_history().unwrap();
    let mut config: DomainConfig = tiny_config(Kind::Pv, "stranger", "");
    config.c_info.domid = Some(domid(&up));
    let stranger = ctx.domain_create_new(&config).unwrap().wait().unwrap();
    let stranger = Stranger(ctx.domain(stranger));
    assert_eq!(stranger.0.domid().0, domid(&up));
    stranger.0.unpause().wait().unwrap();
    host.signal("CONT");
    let down = host.wait_state(&app, "HALTED");
    stays(&host, &app, &down);
    obeys(&host, &app);
    assert_eq!(stranger.0.info().unwrap().state(), DomainState::Running);
}

/// A domain that is destroyed at the end of the test.
struct Stranger(Domain);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.destroy().wait();
    }
}

#[test]
fn case_11_reasons_that_nobody_has_heard_of() {
    let host = Host::start();
    for reason in [6, 7, 200, 255] {
        let app = host.app("strange");
        let params = format!("lab.action={reason} lab.after=1");
        host.put_tiny(&app, "PV", &params, &json!({}));
        let down = host.wait_state(&app, "HALTED");
        assert_eq!(down["ShutdownReason"], format!("reason {reason}"));
        assert_eq!(host.domains(&app), [], "destroyed");
        obeys(&host, &app);
    }
}

#[test]
fn case_12_after_go_the_target_is_silent() {
    let (host, app, up) = managed("PV", "silence", "");
    let domain = host.outsider(&app);
    for decision in ["resume", "destroy"] {
        let question = migrate::undecided(&domain);
        let asleep = host.wait(&app, "what is not known", |status| {
            let reason = status["StateReason"].as_str().unwrap_or_default();
            status["StateName"] == "SUSPENDED" && reason.contains("outcome is not known")
        });
        stays(&host, &app, &asleep);
        if decision == "resume" {
            question.resume_here().unwrap();
            let running = host.wait_state(&app, "RUNNING");
            assert_eq!(running["DomainId"], up["DomainId"]);
        } else {
            question.destroy_here().unwrap();
            let down = host.wait_state(&app, "HALTED");
            assert_eq!(down["ShutdownReason"], "migrated away");
            stays(&host, &app, &down);
        }
    }
}

#[test]
fn case_13_a_save_that_is_given_up() {
    let (host, app, up) = managed("PV", "given-up", "");
    // Nobody reads the pipe.
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    let saving = Saving::new().deadline(Duration::from_secs(2));
    let failed = host.outsider(&app).save(&writer, saving).unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::TimedOut, "{failed}");
    let running = host.wait_state(&app, "RUNNING");
    assert_eq!(running["DomainId"], up["DomainId"]);
    stays(&host, &app, &running);
    obeys(&host, &app);
}

#[test]
fn case_14_it_moves_to_this_very_host() {
    for mode in ["PV", "PVH"] {
        let (host, app, up) = managed(mode, "moves", "");
        exactly_one_copy(&app, || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let receiving = thread::spawn(move || receive(&context(), theirs));
            migrate::hand_over(&host.outsider(&app), ours);
            receiving.join().unwrap();
        });
        let moved = host.wait(&app, "the new domain", |status| {
            status["StateName"] == "RUNNING" && status["DomainId"] != up["DomainId"]
        });
        stays(&host, &app, &moved);
        obeys(&host, &app);
    }
}

fn receive(ctx: &Context, socket: UnixStream) {
    let arrived = migrate::receive(ctx, socket)
        .start(&Limits::none())
        .unwrap();
    arrived.reported.unwrap();
}

/// A domain that is destroyed while it is suspended may live on in the saved file, and is not rebuilt. Once it is
/// restored, the agent manages it again.
#[test]
fn case_15_it_is_saved_and_restored_by_an_outsider() {
    let (host, app, up) = managed("PV", "stored", "");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("saved");
    let suspended = host.outsider(&app).save_file(&path, Saving::new()).unwrap();
    suspended.destroy().wait().unwrap();
    let down = host.wait_state(&app, "HALTED");
    stays(&host, &app, &down);

    let ctx = context();
    let restored = ctx.restore(File::open(&path).unwrap(), &Limits::none());
    restored.unwrap().unpause().wait().unwrap();
    let again = host.wait(&app, "the restored domain", |status| {
        status["StateName"] == "RUNNING" && status["DomainId"] != up["DomainId"]
    });
    stays(&host, &app, &again);
    obeys(&host, &app);
}

/// `xl` of Xen 4.17 stops managing a domain that has suspended once, and never handles its later shutdown.
///
/// The same steps are run with the agent.
#[test]
fn the_same_steps_lose_a_domain_of_xl_and_none_of_ours() {
    if !outsider_is_there() {
        return;
    }
    let params = "lab.resumed=poweroff lab.resumed-after=1";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved");
    let ctx = context();

    let (host, app, _) = managed("PV", "ours", params);
    xl(&["save", "-c", &app.name(), file.to_str().unwrap()]);
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(&app), [], "tidied up");

    let name = format!("xl-{}", app.key);
    let config = dir.path().join("xl.cfg");
    std::fs::write(
        &config,
        format!(
            "name = '{name}'\nkernel = '/share/guest/tiny'\nmemory = 4\nvcpus = 1\n\
             extra = '{params}'\n"
        ),
    )
    .unwrap();
    xl(&["create", config.to_str().unwrap()]);
    let theirs = Stranger(
        ctx.domain_by_domid(ctx.name_to_domid(&name).unwrap())
            .unwrap(),
    );
    crate::support::wait_until_up(&name, || ());
    xl(&["save", "-c", &name, file.to_str().unwrap()]);
    let poweroff = Some(DomainState::Shutdown(ShutdownReason::POWEROFF));
    let state = || theirs.0.info().ok().map(|info| info.state());
    let lost_by_xl = ctx.version_info().unwrap().minor < 20;
    if lost_by_xl {
        wait_for("the guest to power off", || state() == poweroff);
        // A monitor of xl would have cleaned up at once.
        thread::sleep(Duration::from_secs(10));
        assert_eq!(state(), poweroff, "xl has not lost it");
        let monitors = Command::new("pgrep")
            .args(["-f", config.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(monitors.stdout.is_empty(), "xl still looks after it");
    } else {
        wait_for("xl to tidy up", || {
            matches!(state(), None | Some(DomainState::Dying))
        });
    }
}
