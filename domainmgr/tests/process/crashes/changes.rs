//! A domain that is changed while it runs.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::run::{Run, Then};
use super::scenario::{Scenario, running};
use crate::common::{A, Host};

/// Long enough on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running domain gets each change of an operator exactly once, and so does the domain that is built next.
#[test]
fn a_domain_that_is_changed_while_it_runs() {
    let roomy = json!({"IoAdapterList": null, "MaxMem": 262_144, "VirtualizationMode": "PV"});
    let prepare = || {
        let host = running(&roomy);
        fs::write(host.path("data"), "").unwrap();
        host
    };
    let then = [
        Then::Restart,
        Then::Again(1),
        Then::RebootHost {
            statuses_survive: false,
        },
    ];
    Scenario::new("changes")
        .then(&then)
        .explore(prepare, |run| {
            run.until_or_kill("the agent has looked", |host| {
                host.log().contains("domain 1 found")
            });
            let disk = format!("{},raw,xvdx,rw", run.host.path("data").display());
            let mac = "00:16:3e:01:02:03";
            let nic = format!("mac={mac}");
            for (words, done) in [
                (&["attach", "a.1", "disk", &disk][..], "attach disk xvdx"),
                (&["attach", "a.1", "nic", &nic], "attach nic"),
                (&["set", "a.1", "memory=192"], "set memory=192"),
            ] {
                let begin = Instant::now();
                let known = |host: &Host| {
                    let status = host.status(A).unwrap_or_default();
                    let all = status["Changed"].as_array().cloned().unwrap_or_default();
                    all.iter().any(|c| c.as_str().unwrap().starts_with(done))
                };
                // A domain that is just being built would get the change only with its next start.
                run.wait_state("RUNNING");
                // The command fails if the agent is killed meanwhile, but the change may have been made.
                while run.host.verb(words).0 != 0 && !known(&run.host) {
                    run.wait_state("RUNNING");
                    assert!(begin.elapsed() < PATIENCE, "{words:?}: {}", run.said());
                }
                run.until(done, known);
            }
            let has = |run: &mut Run| {
                run.until("all of it, once", |host| {
                    let state = host.status(A).unwrap_or_default();
                    state["StateName"] == "RUNNING" && state["Waiting"] == json!([])
                });
                let live = loop {
                    run.revive();
                    if let Ok(live) = run.xen(&["live", "a.1"]) {
                        break live;
                    }
                };
                let said = format!("killed {:?}, then {:?}: {live}", run.killed_at, run.then);
                assert_eq!(live.matches("xvdx=").count(), 1, "{said}");
                assert_eq!(live.matches(mac).count(), 1, "{said}");
                assert!(!live.contains("(not set up)"), "{said}");
                assert!(live.starts_with("memory 192/256 "), "{said}");
            };
            has(run);
            run.check(1);
            let begin = Instant::now();
            while run.host.verb(&["restart", "a.1"]).0 != 0 {
                run.revive();
                assert!(begin.elapsed() < PATIENCE, "{}", run.said());
            }
            has(run);
            run.check(1);
        });
}
