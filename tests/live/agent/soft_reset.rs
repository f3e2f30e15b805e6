//! A guest that asks for a soft reset while the agent manages it.

use serde_json::json;

use super::host::{Host, domid};
use crate::support::EARLY_RESET;

const ASKS: &str = "lab.action=soft-reset lab.after=1";

#[test]
fn an_hvm_guest_goes_on_in_the_same_domain() {
    let host = Host::start();
    let app = host.app("reset");
    let params = format!("{ASKS} lab.resumed=poweroff lab.resumed-after=5");
    host.put_tiny(&app, "HVM", &params, &json!({}));
    let up = host.wait_up(&app);
    let again = host.wait(&app, "a soft reset", |status| {
        let state = &status["StateName"];
        assert!(
            state == "RUNNING" || state == "BOOTING",
            "never halted: {status:#}\n{}",
            host.log()
        );
        status["Restarts"] == 1 && state == "RUNNING"
    });
    assert_eq!(again["ShutdownReason"], "soft-reset");
    assert_eq!(again["ShutdownAction"], "soft-reset");
    assert_eq!(domid(&again), domid(&up));
    assert_eq!(host.domains(&app), [libxl::DomId(domid(&up))]);

    // The domain is still managed: the agent notices its next shutdown.
    let down = host.wait_state(&app, "HALTED");
    assert_eq!(down["ShutdownReason"], "poweroff");
    assert!(!host.log().contains("shut down: reboot"), "{EARLY_RESET}");
    assert_eq!(down["Restarts"], 1);
    assert_eq!(host.domains(&app), []);
}

#[test]
fn a_pv_guest_is_restarted_instead() {
    let host = Host::start();
    let app = host.app("anew");
    // Later than the time that counts as soon after the start, so that each restart follows at once.
    host.put_tiny(&app, "PV", "lab.action=5 lab.after=11", &json!({}));
    let up = host.wait_up(&app);
    let again = host.wait(&app, "a restart", |status| {
        status["Restarts"] == 1 && status["StateName"] == "RUNNING"
    });
    assert_eq!(again["ShutdownReason"], "soft-reset");
    assert_eq!(
        again["ShutdownAction"],
        "restart instead of soft-reset: only an HVM domain can be soft-reset"
    );
    assert_ne!(domid(&again), domid(&up), "another domain");
    assert_eq!(host.domains(&app), [libxl::DomId(domid(&again))]);
}

/// The remains in the memory of a crashed guest are no basis for a soft reset.
#[test]
fn an_hvm_guest_that_has_not_asked_for_it_is_restarted_instead() {
    let host = Host::start();
    let app = host.app("crashed");
    let words = "lab.action=crash lab.after=11";
    host.put_tiny(&app, "HVM", words, &json!({"OnCrash": "soft-reset"}));
    let up = host.wait_up(&app);
    let again = host.wait(&app, "a restart", |status| {
        status["ShutdownReason"] == "crash" && status["StateName"] == "RUNNING"
    });
    assert_eq!(
        again["ShutdownAction"],
        "restart instead of soft-reset: the guest has not asked for it"
    );
    assert_ne!(domid(&again), domid(&up), "another domain");
    assert_eq!(host.domains(&app), [libxl::DomId(domid(&again))]);
}
