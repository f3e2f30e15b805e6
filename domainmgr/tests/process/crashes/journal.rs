//! The journal is missing, older, full or damaged.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use super::run::Then;
use super::scenario::{Scenario, config, content, running};
use super::wishes::restart;
use crate::common::A;

const ONCE_OR_TWICE: [Then; 2] = [Then::Restart, Then::Again(1)];

#[test]
fn an_agent_without_a_journal_is_replaced() {
    let prepare = || {
        let host = running(&json!({}));
        fs::remove_dir_all(host.path("run/state")).unwrap();
        host
    };
    Scenario::new("upgrade")
        .then(&ONCE_OR_TWICE)
        .explore(prepare, |run| {
            run.until("it is taken over", |host| {
                host.log().matches("domain 1 found").count() > 0
            });
            restart(run, &json!({}));
        });
}

/// The statuses of an agent without a journal are all that says that a domain was taken away by others.
#[test]
fn a_domain_that_vanished_under_an_agent_without_a_journal() {
    let prepare = || {
        let mut host = running(&json!({}));
        host.run(&[]);
        host.wait_log("domain 1 found");
        host.xen(&["destroy", "1"]);
        host.wait(A, "its end", |s| s["Vanished"] == true);
        host.stop();
        fs::remove_dir_all(host.path("run/state")).unwrap();
        host
    };
    Scenario::new("upgrade with a domain that vanished")
        .then(&ONCE_OR_TWICE)
        .explore(prepare, |run| {
            run.until("an agent that has begun", |host| {
                host.log().matches("domainmgr 0.1.0 started").count() > 2
            });
            // As long as an agent needs to build one.
            std::thread::sleep(Duration::from_secs(20) / run.host.speed);
            run.check(0);
            let status = run.wait_state("HALTED");
            assert_eq!(status["Vanished"], true, "{}", run.said());
        });
}

/// Each version of the schema has been a change of what records may say.
#[test]
fn an_agent_with_an_older_journal_is_replaced() {
    let prepare = || {
        let host = running(&json!({}));
        let journal = Connection::open(host.path("run/state/journal.db")).unwrap();
        journal.execute_batch("PRAGMA user_version = 2").unwrap();
        drop(journal);
        host
    };
    Scenario::new("upgrade of the journal")
        .then(&ONCE_OR_TWICE[..1])
        .explore(prepare, |run| {
            restart(run, &json!({}));
            let copy = run.host.path("run/state/journal.db.schema-2");
            assert!(copy.exists(), "{}", run.said());
        });
}

/// Nothing is begun while the journal cannot be written, and everything afterwards.
#[test]
fn a_journal_that_is_full() {
    Scenario::new("journal full")
        .then(&ONCE_OR_TWICE)
        // Room for what people read, and not for a transaction.
        .room(8192)
        .explore(
            || running(&json!({})),
            |run| {
                run.host.put(A, &config(&json!({"Activate": false})));
                run.until("trouble", |host| {
                    let words = "nothing is done until the journal can be written: ";
                    host.log().contains(words)
                });
                let list = run.list_of_next();
                assert!(list.ends_with("Running"), "{list}: {}", run.said());
                run.make_room();
                let down = run.wait_state("HALTED");
                assert_eq!(down["LastErr"], "", "{}", run.said());
                restart(run, &json!({}));
            },
        );
}

/// An agent does nothing with a damaged journal.
///
/// Once an operator has the journal forgotten, the domain becomes what its file asks for. A disk that is to be kept is kept,
/// and the other disks are of one generation.
#[test]
fn a_journal_that_is_damaged() {
    Scenario::new("journal damaged")
        .then(&[Then::Damaged])
        .explore(
            || running(&json!({})),
            |run| {
                run.wait_state("RUNNING");
                run.host.put(A, &config(&json!({"Activate": false})));
                // An agent that has forgotten everything does not know that there was one, and says so before it has looked.
                while run.list_of_next() != "" {
                    run.until("no domain", |host| {
                        let state = host.status(A).unwrap_or_default()["StateName"].clone();
                        state == "HALTED" || state == "INSTALLED"
                    });
                }
                run.host.put(A, &config(&json!({"ExtraArgs": "newer"})));
                // Nobody remembers who has paused a domain that had not begun to run.
                run.until("RUNNING", |host| {
                    let state = host.status(A).unwrap_or_default()["StateName"].clone();
                    if state == "PAUSED" {
                        let _ = host.verb(&["unpause", "a.1"]);
                    }
                    state == "RUNNING"
                });
                run.check(1);
                let [first, second, kept] = content(&run.host);
                assert_eq!(kept, "written", "{}", run.said());
                let fresh = [first == "aa", second == "bb"];
                assert_eq!(fresh[0], fresh[1], "{first}, {second}: {}", run.said());
            },
        );
}
