//! The steps of the demo and their expected results.
//!
//! Each step waits for its result, and never for a fixed time. No step relies on a domid staying the same, because a
//! guest may have been restarted in between.

use std::{os::unix::net::UnixStream, path::Path, sync::Arc, thread};

use libxl::{DomId, Limits, Source};
use serde_json::{Value, json};

use crate::{
    host::{App, Host, domid},
    report::{self, step},
    router,
    support::{LONG, context, wait_for, xen_says_it_was_reset},
    timeline::{Timeline, What},
    watch::Show,
};

/// Name of the domain whose guest reboots on its own.
const REBOOTS: &str = "reboots";

/// The domains of the story.
struct Apps {
    router: App,
    web: App,
    db: App,
    desktop: App,
    reboots: App,
    crashes: App,
    batch: App,
}

/// Runs all steps. Returns false if a step failed, after printing the failure. Files that explain it are in `out`.
pub(crate) fn tell(timeline: &Arc<Timeline>, out: &Path) -> bool {
    let files = tempfile::tempdir().unwrap();
    let flags = router::flags(files.path());
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut host = Host::start_with(&flags);
    let show = Show::changes(timeline, host.path("run/DomainStatus"), REBOOTS);
    let right = steps(timeline, &mut host).is_some();
    report::keep(&host, out);
    drop(show);
    right
}

fn steps(timeline: &Arc<Timeline>, host: &mut Host) -> Option<()> {
    let apps = Apps {
        router: host.named("router"),
        web: host.named("web"),
        db: host.named("db"),
        desktop: host.named("desktop"),
        reboots: host.named(REBOOTS),
        crashes: host.named("crashes"),
        batch: host.named("batch"),
    };
    step(
        timeline,
        "six domains are wanted: PV, PVH and HVM, and three with a mind of their own",
        "each DomainConfig is in place",
        &[],
        || want(host, &apps),
    )?;
    step(
        timeline,
        "router is wanted: PV, with a disk, a bridge, and a network adapter of the host",
        "its DomainConfig is in place",
        &[&apps.router],
        || router::want(host, &apps.router),
    )?;
    let web = step(
        timeline,
        "web comes up",
        "web is RUNNING, and its guest has said so on its console",
        &[&apps.web],
        || host.wait_up(&apps.web),
    )?;
    step(
        timeline,
        "one guest crashes, one powers off, one reboots, all from inside",
        "crashes is HALTED after a crash, batch after a poweroff, reboots has been restarted",
        &[&apps.crashes, &apps.batch, &apps.reboots],
        || ends_from_inside(host, &apps),
    )?;
    step(
        timeline,
        "web is migrated: it is sent over, and then the receiver dies",
        "web is SUSPENDED, then resumed: RUNNING, in the same domain as before",
        &[&apps.web],
        || migration_fails(host, &apps.web, &web),
    )?;
    step(
        timeline,
        "router uses what it was given",
        "router has the adapter, reads and writes its disk, pings dom0 and the world outside",
        &[&apps.router],
        || router::show(timeline, host, &apps.router),
    )?;
    step(
        timeline,
        "router is deleted; its adapter becomes a port of the host",
        "neither a domain nor the copy of its disk is left, and the adapter is eth1 again",
        &[&apps.router],
        || router::end(timeline, host, &apps.router),
    )?;
    let before = step(
        timeline,
        "db and desktop come up, PVH and HVM",
        "both are RUNNING, and their guests have said so on their consoles",
        &[&apps.db, &apps.desktop],
        || [&apps.web, &apps.db, &apps.desktop].map(|app| (app.clone(), host.wait_up(app))),
    )?;
    step(
        timeline,
        "the agent is killed with -9, and started again; no domain notices",
        "web, db and desktop are found, and go on RUNNING in the domains they were in",
        &[&apps.web, &apps.db, &apps.desktop],
        || killed_and_started_again(host, &before),
    )?;
    step(
        timeline,
        "web, once suspended and resumed, is shut down from inside",
        "web is HALTED after a poweroff, and its domain is taken apart",
        &[&apps.web],
        || {
            let down = host.outsider(&apps.web).request_shutdown(&within());
            assert!(down.is_ok(), "{down:?}");
            let down = host.wait_state(&apps.web, "HALTED");
            assert_eq!(down["ShutdownReason"], "poweroff");
            assert_eq!(host.domains(&apps.web), [], "its domain is taken apart");
        },
    )?;
    step(
        timeline,
        "db is deactivated, desktop is deleted",
        "db is HALTED, the DomainStatus of desktop is gone, and no domain is left",
        &[&apps.db, &apps.desktop],
        || all_end(host, &apps),
    )?;
    step(
        timeline,
        "nothing has happened that nobody asked for",
        "no guest has ended or rebooted by itself, save those that were told to",
        &[],
        || {
            let events = timeline.events();
            let wrong: Vec<_> = events
                .iter()
                .filter(|event| matches!(event.what, What::Wrong { .. }))
                .map(|event| event.line())
                .collect();
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        },
    )
}

fn want(host: &Host, apps: &Apps) {
    let nothing = json!({});
    host.put(&apps.web, "PV", "", &nothing);
    host.put(&apps.db, "PVH", "", &nothing);
    // These run the lab's small kernel, and leave the processors to the others. Linux in an HVM domain would take
    // longer to come up than all the rest of the story: under emulation its kernel arrives byte by byte.
    host.put_tiny(&apps.desktop, "HVM", "", &nothing);
    let end = |how: &str| format!("lab.action={how} lab.after=5");
    let dies = json!({"OnCrash": "destroy"});
    host.put_tiny(&apps.crashes, "PV", &end("crash"), &dies);
    host.put_tiny(&apps.batch, "PVH", &end("poweroff"), &nothing);
    host.put_tiny(&apps.reboots, "PV", &end("reboot"), &nothing);
}

/// Limits with a deadline, for every operation.
fn within() -> Limits {
    Limits::none().deadline(LONG)
}

/// Another toolstack than the agent migrates the domain. The migration fails at the last moment: the receiver has
/// everything, and disappears.
fn migration_fails(host: &Host, app: &App, up: &Value) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let receiving = thread::spawn(move || {
        let reader = theirs.try_clone().unwrap();
        context()
            .receive_migration(reader, theirs, &within())
            .and_then(|receiver| receiver.receive(|_| {}))
            .unwrap()
    });
    let domain = host.outsider(app);
    let sent = domain
        .migrate(ours.try_clone().unwrap(), ours, &within())
        .and_then(|sender| sender.send(|_| {}))
        .unwrap();
    let asleep = host.wait_state(app, "SUSPENDED");
    assert_eq!(domid(&asleep), domid(up));

    drop(receiving.join().unwrap());
    let failed = sent.commit().unwrap_err();
    assert!(matches!(failed.source, Source::Runs), "{failed}");
    let awake = host.wait_state(app, "RUNNING");
    assert_eq!(domid(&awake), domid(up), "the same domain goes on");
}

fn ends_from_inside(host: &Host, apps: &Apps) {
    let crashed = host.wait_state(&apps.crashes, "HALTED");
    assert_eq!(crashed["ShutdownReason"], "crash");
    let done = host.wait_state(&apps.batch, "HALTED");
    assert_eq!(done["ShutdownReason"], "poweroff");
    let rebooted = host.wait(&apps.reboots, "a restart", |s| {
        s["Restarts"].as_u64() >= Some(1)
    });
    assert_eq!(rebooted["ShutdownReason"], "reboot");
    host.remove(&apps.reboots);
}

/// Each earlier domain is found by the new agent. A guest that the emulator has reset in the meantime has been
/// rebuilt as another domain.
fn killed_and_started_again(host: &mut Host, before: &[(App, Value)]) {
    host.kill();
    let logged = host.log().len();
    host.start_again();
    for (app, before) in before {
        let before = u64::from(domid(before));
        let found = format!("domain {before} found");
        let ctx = context();
        wait_for(&found, || {
            host.log()[logged..].contains(&found) || xen_says_it_was_reset(&ctx, before)
        });
        let after = if xen_says_it_was_reset(&ctx, before) {
            // The status may still be an old one.
            host.wait(app, "another domain after a reset", |status| {
                u64::from(domid(status)) != before && status["StateName"] == "RUNNING"
            })
        } else {
            let after = host.wait_up(app);
            assert_eq!(u64::from(domid(&after)), before, "{}", app.name());
            after
        };
        assert_eq!(host.domains(app), [DomId(domid(&after))], "{}", app.name());
    }
}

fn all_end(host: &Host, apps: &Apps) {
    host.put(&apps.db, "PVH", "", &json!({"Activate": false}));
    host.remove(&apps.desktop);
    host.wait_state(&apps.db, "HALTED");
    host.wait_gone(&apps.desktop);
    host.wait_gone(&apps.reboots);
    for app in [&apps.web, &apps.db, &apps.crashes, &apps.batch] {
        assert_eq!(host.domains(app), [], "{}", app.name());
    }
}
