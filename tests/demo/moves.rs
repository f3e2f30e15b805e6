//! The steps of the demo with two hosts.

use std::{path::Path, sync::Arc};

use serde_json::json;

use crate::{
    host::{App, Host, domid},
    report::{self, step},
    support::wait_for,
    timeline::Timeline,
    two_hosts::{
        beta::{Address, Beta, verb},
        cable::{self, Mended},
        relay::{Disturbance, Moment, Relay},
    },
    watch::Show,
};

/// Runs all steps. Returns false if a step failed, after printing the failure. Files that explain it are in `out`.
pub(crate) fn tell(timeline: &Arc<Timeline>, out: &Path) -> bool {
    let mut host = Host::start();
    // No guest of this story reboots.
    let show = Show::changes(timeline, host.path("run/DomainStatus"), "");
    let right = steps(timeline, &mut host).is_some();
    report::keep(&host, out);
    drop(show);
    right
}

fn steps(timeline: &Arc<Timeline>, host: &mut Host) -> Option<()> {
    let (web, db) = (host.named("web"), host.named("db"));
    let _mended = Mended;
    let beta = step(
        timeline,
        "two hosts, alpha and beta, with a cable between them, and an agent on each",
        "beta's agent answers",
        &[],
        Beta::start,
    )?;
    let up = step(
        timeline,
        "web and db come up on alpha",
        "both are RUNNING, and their guests have said so on their consoles",
        &[&web, &db],
        || {
            for app in [&web, &db] {
                host.put_tiny(app, "PVH", "lab.tick=5", &json!({"Memory": 8 << 10}));
            }
            [&web, &db].map(|app| host.wait_up(app))
        },
    )?;
    step(
        timeline,
        "web is on its way to beta, and somebody pulls the cable",
        "nothing is lost: web goes on RUNNING on alpha, in the domain it was in",
        &[&web],
        || {
            let relay = Relay::to(&beta);
            let said = cut(host, &web, &relay, Moment::Transfer(2_000_000));
            timeline.say(&said);
            let after = host.wait_state(&web, "RUNNING");
            assert_eq!(domid(&after), domid(&up[0]));
            wait_for("beta has nothing", || beta.domains(&web).0 == 0);
        },
    )?;
    step(
        timeline,
        "web goes over once more, and the cable is pulled after alpha has given it away: alpha hears nothing of it",
        "web is SUSPENDED on alpha, because nobody there knows where it runs",
        &[&web],
        || {
            let relay = Relay::to(&beta);
            let said = cut(host, &web, &relay, Moment::Word);
            timeline.say(&said);
            host.wait_state(&web, "SUSPENDED");
        },
    )?;
    step(
        timeline,
        "the cable is mended, and alpha asks beta",
        "web runs on beta, and only there",
        &[&web],
        || {
            cable::order("mend");
            host.wait(&web, "an answer", |s| s["MovedTo"] == "beta");
            assert_eq!(beta.domains(&web), (1, 1));
            assert_eq!(host.domains(&web), []);
        },
    )?;
    step(
        timeline,
        "web comes home, sent by beta's agent",
        "web is RUNNING on alpha, and beta has nothing",
        &[&web],
        || {
            let (done, said) = beta.send_back(&web, &Address::here(host).via());
            assert!(done, "{said}");
            host.wait_state(&web, "RUNNING");
            assert_eq!(beta.domains(&web).0, 0);
        },
    )?;
    step(
        timeline,
        "alpha is to be repaired: evacuate",
        "web and db run on beta, and no domain is left on alpha",
        &[&web, &db],
        || {
            let (done, said) = verb(host, &["evacuate", "beta", "--via", &beta.address().via()]);
            assert!(done, "{said}");
            for app in [&web, &db] {
                host.wait(app, "beta", |s| s["MovedTo"] == "beta");
                assert_eq!(beta.domains(app), (1, 1));
                assert_eq!(host.domains(app), []);
            }
        },
    )
}

/// Sends the guest away, and cuts the cable at this moment. Returns what the agent says of it.
fn cut(host: &Host, app: &App, relay: &Relay, moment: Moment) -> String {
    relay.disturb(moment, Disturbance::Cut(None));
    let (done, said) = verb(
        host,
        &["migrate", &app.name(), "beta", "--via", &relay.via()],
    );
    assert!(!done && relay.has_come(), "{said}");
    if matches!(moment, Moment::Transfer(_)) {
        cable::order("mend");
    }
    let why = said.lines().last().unwrap_or_default();
    why.trim_start_matches("domainmgr: ").to_owned()
}
