//! What happens, and what has to come of it.

use std::{os::unix::net::UnixStream, sync::Arc, thread};

use libxl::{DomId, Limits, Source};
use serde_json::{Value, json};

use crate::{
    host::{App, Host, domid},
    router,
    support::context,
    timeline::{Show, Timeline},
};

pub(crate) fn tell(timeline: &Arc<Timeline>) {
    let files = tempfile::tempdir().unwrap();
    let flags = router::flags(files.path());
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut host = Host::start_with(&flags);
    let _show = Show::changes(timeline, host.path("run/DomainStatus"));
    let nothing = json!({});

    timeline.say("router is wanted: PV, with a disk, a bridge, and a network adapter of the host");
    let router = router::want(&host);
    timeline
        .say("three domains are wanted: PV, PVH and HVM; and three more with a mind of their own");
    let (web, db, desktop) = (host.named("web"), host.named("db"), host.named("desktop"));
    let (reboots, crashes, batch) = (
        host.named("reboots"),
        host.named("crashes"),
        host.named("batch"),
    );
    host.put(&web, "PV", "", &nothing);
    host.put(&db, "PVH", "", &nothing);
    host.put(&desktop, "HVM", "", &nothing);
    host.put(&reboots, "PV", "lab.action=reboot lab.after=15", &nothing);
    host.put(
        &crashes,
        "PV",
        "lab.action=crash lab.after=5",
        &json!({"OnCrash": "destroy"}),
    );
    host.put(&batch, "PV", "lab.action=poweroff lab.after=5", &nothing);
    let web_up = host.wait_up(&web);
    host.wait_state(&db, "RUNNING");
    host.wait_state(&desktop, "RUNNING");
    router::show(timeline, &host, &router);

    timeline.say("web is migrated: it is sent over, and then the receiver dies. It is resumed");
    migration_fails(&host, &web, &web_up);

    timeline.say("one guest crashes, one powers off, one reboots, all from inside");
    let crashed = host.wait_state(&crashes, "HALTED");
    assert_eq!(crashed["ShutdownReason"], "crash");
    let done = host.wait_state(&batch, "HALTED");
    assert_eq!(done["ShutdownReason"], "poweroff");
    let rebooted = host.wait(&reboots, "a restart", |s| s["Restarts"].as_u64() >= Some(1));
    assert_eq!(rebooted["ShutdownReason"], "reboot");
    host.remove(&reboots);

    timeline.say("the agent is killed with -9, and started again; no domain notices");
    let db_up = host.wait_up(&db);
    let desktop_up = host.wait_up(&desktop);
    host.kill();
    host.start_again();
    for (app, before) in [(&web, &web_up), (&db, &db_up), (&desktop, &desktop_up)] {
        host.wait_log(&format!("domain {} found", domid(before)));
        let after = host.wait_state(app, "RUNNING");
        assert_eq!(domid(&after), domid(before), "{} was adopted", app.name());
        assert_eq!(host.domains(app), [DomId(domid(before))]);
    }

    router::end(timeline, &host, &router);

    timeline.say("web, once suspended and resumed, is shut down from inside");
    host.outsider(&web).shutdown().wait().unwrap();
    let down = host.wait_state(&web, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert_eq!(host.domains(&web), [], "its domain is taken apart");

    timeline.say("db is deactivated, desktop is deleted");
    host.put(&db, "PVH", "", &json!({"Activate": false}));
    host.remove(&desktop);
    host.wait_state(&db, "HALTED");
    host.wait_gone(&desktop);
    host.wait_gone(&reboots);
    for app in [&web, &db, &crashes, &batch] {
        assert_eq!(host.domains(app), [], "{}", app.name());
    }
}

/// Another toolstack than the agent migrates the domain, and fails at the last moment: the receiver
/// has everything, and goes.
fn migration_fails(host: &Host, app: &App, up: &Value) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let receiving = thread::spawn(move || {
        let reader = theirs.try_clone().unwrap();
        context()
            .receive_migration(reader, theirs, &Limits::none())
            .and_then(|receiver| receiver.receive(|_| {}))
            .unwrap()
    });
    let domain = host.outsider(app);
    let sent = domain
        .migrate(ours.try_clone().unwrap(), ours, &Limits::none())
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
