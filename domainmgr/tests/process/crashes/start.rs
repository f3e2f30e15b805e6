//! Domains that are built.

use std::fs;

use serde_json::json;

use super::run::Then;
use super::scenario::{HASHES, Scenario, config, content, host, running};
use crate::common::A;

#[test]
fn a_start_with_disks() {
    Scenario::new("start").explore(host, |run| {
        run.host.put(A, &config(&json!({})));
        run.wait_state("RUNNING");
        run.check(1);
        assert_eq!(content(&run.host), HASHES);
    });
}

/// The kernel is missing when the guest reboots, and comes back later.
#[test]
fn a_domain_that_cannot_be_built_again_for_a_while() {
    let prepare = || {
        let host = running(&json!({}));
        fs::rename(host.path("kernel"), host.path("away")).unwrap();
        host
    };
    let then = [Then::Restart, Then::Again(1)];
    Scenario::new("rebuild")
        .then(&then)
        .explore(prepare, |run| {
            run.wait_state("RUNNING");
            run.end("1");
            run.until("failure", |host| {
                let status = host.status(A).unwrap_or_default();
                status["LastErr"]
                    .as_str()
                    .is_some_and(|e| e.contains("Kernel: "))
            });
            fs::rename(run.host.path("away"), run.host.path("kernel")).unwrap();
            let up = run.wait_state("RUNNING");
            assert_ne!(up["DomainId"], 1, "{}", run.said());
            run.check(1);
            assert_eq!(content(&run.host), ["written"; 3], "{:?}", run.killed_at);
        });
}

#[test]
fn a_key_that_is_removed_while_its_domain_is_built() {
    let slow = json!({"ExtraArgs": "sim.create=3"});
    Scenario::new("delete while building").explore(host, |run| {
        run.host.put(A, &config(&slow));
        run.until("something", |host| host.status_file(A).exists());
        run.host.remove(A);
        run.until("it is gone", |host| !host.status_file(A).exists());
        run.check(0);
    });
}
