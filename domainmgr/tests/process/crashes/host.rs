//! The host goes down with the agent.

use serde_json::json;

use super::run::Then;
use super::scenario::{Scenario, config, content, running};
use crate::common::A;

/// With statuses in memory, as they are in /run, and on a disk.
const REBOOTS: [Then; 2] = [
    Then::RebootHost {
        statuses_survive: false,
    },
    Then::RebootHost {
        statuses_survive: true,
    },
];

#[test]
fn the_host_goes_down_with_the_agent() {
    Scenario::new("host reboot").then(&REBOOTS).explore(
        || running(&json!({})),
        |run| {
            run.wait_state("RUNNING");
            run.host.put(A, &config(&json!({"Activate": false})));
            run.until("a wish that is heard", |host| {
                host.status(A).unwrap_or_default()["StateName"] == "HALTED"
            });
            run.host.put(A, &config(&json!({"ExtraArgs": "newer"})));
            run.wait_state("RUNNING");
            run.check(1);
            let found = content(&run.host);
            assert_eq!(found, ["aa", "bb", "written"], "{:?}", run.killed_at);
        },
    );
}

/// A domain that is suspended when its host goes down may go on elsewhere; one that was resumed does not.
#[test]
fn the_host_goes_down_while_a_domain_is_suspended() {
    Scenario::new("host reboot while suspended")
        .then(&REBOOTS[..1])
        .explore(
            || running(&json!({})),
            |run| {
                run.until_or_kill("the agent has looked", |host| {
                    host.log().contains("domain 1 found")
                });
                for (word, state) in [("suspend", "SUSPENDED"), ("resume", "RUNNING")] {
                    if run.killed_at.is_none() {
                        // An error means that the agent has been killed already.
                        let _ = run.xen(&[word, "1"]);
                        run.until_or_kill(state, |host| {
                            host.status(A).unwrap_or_default()["StateName"] == state
                        });
                    }
                }
                let shown = run.shown.take().unwrap_or_default();
                // Between the commit and the status, the journal is ahead of what is shown.
                let ahead = run.killed_at.as_deref() == Some("after a commit");
                let mut built = shown["StateName"] != "SUSPENDED";
                run.until("it is built again or not", |host| {
                    let state = host.status(A).unwrap_or_default();
                    if ahead {
                        built = state["StateName"] == "RUNNING";
                    }
                    state["StateName"] == if built { "RUNNING" } else { "HALTED" }
                });
                run.check(usize::from(built));
            },
        );
}

/// A host that goes down takes the memory with it, unless that is in a file for good.
#[test]
fn the_host_goes_down_while_a_domain_is_saved() {
    let without = json!({"IoAdapterList": null});
    Scenario::new("host reboot during a save")
        .then(&REBOOTS[..1])
        .explore(
            || running(&without),
            |run| {
                run.until_or_kill("the agent has looked", |host| {
                    host.log().contains("domain 1 found")
                });
                super::moves::save_and_start(run);
                // The preserved one, in any case.
                assert_eq!(content(&run.host)[2], "written", "{:?}", run.killed_at);
            },
        );
}
