//! A domain's life, through files, with the real program and a simulated Xen.

mod common;

use common::{A, Host, domid};
use serde_json::json;

#[test]
fn to_running_and_back() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["State"], 7);
    assert_eq!(up["Activated"], true);
    assert_eq!(up["PendingAdd"], false);
    assert_eq!(up["BootFailed"], false);
    assert_eq!(up["TriedCount"], 1);
    assert_eq!(up["DomainName"], "a.1");
    assert!(domid(&up) > 0);
    assert_ne!(up["BootTime"], "0001-01-01T00:00:00Z");
    let cfg = std::fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(cfg.contains("name = \"a.1\"\ntype = \"pv\"\n"), "{cfg}");

    host.put(A, &json!({"Activate": false}));
    let down = host.wait_state(A, "HALTED");
    assert_eq!(down["State"], 9);
    assert_eq!(down["Activated"], false);
    assert_eq!(domid(&down), 0);
    assert_eq!(down["LastErr"], "");
    assert_eq!(host.domains(), 0);
    let log = host.log();
    assert!(log.contains("asking domain 1 to shut down"), "{log}");
    assert!(!log.contains("destroying it"), "it obeyed, and yet: {log}");

    host.put(A, &json!({}));
    assert_eq!(domid(&host.wait_state(A, "RUNNING")), 2);
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(host.domains(), 0);
    assert!(!host.path("run/xen/xen1.cfg").exists());
}
