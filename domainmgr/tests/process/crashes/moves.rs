//! Guests that go on elsewhere: from a file, or as another domain.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::run::Run;
use super::scenario::{Scenario, content, running};
use crate::common::A;

/// Has the domain saved, if the agent lives that long, and run again.
pub fn save_and_start(run: &mut Run) {
    // It fails if the agent is killed meanwhile, or before.
    let _ = run.host.verb(&["save", "a.1"]);
    run.until("the save has ended", |host| {
        let state = host.status(A).unwrap_or_default()["StateName"].clone();
        state == "RUNNING" || state == "SAVED"
    });
    let begin = Instant::now();
    while run.host.verb(&["start", "a.1"]).0 != 0 {
        run.revive();
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", run.said());
    }
    run.wait_state("RUNNING");
    run.check(1);
}

/// A guest whose memory is written to a file, and which goes on from there, never notices; nor does it if that came to
/// nothing.
#[test]
fn a_guest_that_is_saved_and_restored() {
    let without = json!({"IoAdapterList": null});
    Scenario::new("save and restore").explore(
        || running(&without),
        |run| {
            run.until("the agent has looked", |host| {
                host.log().contains("domain 1 found")
            });
            save_and_start(run);
            assert_eq!(content(&run.host), ["written"; 3], "{:?}", run.killed_at);
            let log = run.host.log();
            let booted = log.matches(" created").count();
            assert_eq!(booted, 1, "killed {:?}: {log}", run.killed_at);
            run.until("nothing is left of the file", |host| {
                fs::read_dir(host.path("run/state/saved")).map_or(0, Iterator::count) == 0
            });
        },
    );
}

/// Another toolstack moves the guest to a domain of its own, as `xl migrate … localhost` does.
///
/// The agent builds nothing, destroys nothing, and looks after the new domain in the end.
#[test]
fn a_guest_that_migrates_in() {
    let without = json!({"IoAdapterList": null});
    Scenario::new("migration in").explore(
        || running(&without),
        |run| {
            let is = |id: &str, end: &str| {
                let (id, end) = (format!("{id} "), end.to_owned());
                move |list: &str| {
                    let mut all = list.split("; ");
                    all.any(|d| d.starts_with(&id) && d.contains(&end))
                }
            };
            run.until("the agent has looked", |host| {
                host.log().contains("domain 1 found")
            });
            run.outside(&["receive", "1"], is("2", "--incoming"));
            run.outside(&["suspend", "1"], is("1", "Shutdown"));
            // Nothing of it shows in the list; it can be done twice.
            let begin = Instant::now();
            while let Err(e) = run.xen(&["hand-over", "1", "2"]) {
                run.revive();
                assert!(begin.elapsed() < Duration::from_secs(60), "{e}");
            }
            run.outside(
                &["rename", "1", "a.1--migratedaway"],
                is("1", "--migratedaway"),
            );
            run.outside(&["rename", "2", "a.1"], is("2", "a.1 "));
            run.outside(&["unpause", "2"], is("2", "Running"));
            run.outside(&["destroy", "1"], |list| {
                !list
                    .split("; ")
                    .any(|d| d.starts_with("1 ") && !d.ends_with("Dying"))
            });
            run.until("the new domain", |host| {
                let status = host.status(A).unwrap_or_default();
                status["StateName"] == "RUNNING" && status["DomainId"] == 2
            });
            run.check(1);
            let status = run.host.status(A).unwrap();
            assert_eq!(
                (&status["Restarts"], &status["Vanished"]),
                (&json!(0), &json!(false))
            );
            assert_eq!(content(&run.host), ["written"; 3], "{:?}", run.killed_at);
            let log = run.host.log();
            assert_eq!(log.matches(" created").count(), 1, "{log}");
        },
    );
}
