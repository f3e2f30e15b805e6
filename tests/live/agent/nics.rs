//! Network interfaces of the agent's domains, on a real bridge.

use serde_json::json;

use super::host::Host;
use crate::support::wait_for;

#[test]
fn a_guest_pings_dom0_over_a_bridge() {
    // Without a MAC the interface gets the one in its file for xl.
    for (mode, last, mac) in [("PV", 71, "00:16:3e:00:00:71"), ("PVH", 72, "")] {
        let host = Host::start();
        let app = host.app("pings");
        let vif = format!("test{last}");
        host.put(
            &app,
            mode,
            &format!("lab.ip=192.168.99.{last}/24 lab.ping=192.168.99.1"),
            &json!({"VifList": [{
                "Bridge": "xenbr0", "Vif": vif, "Mac": mac, "MTU": 1400,
            }]}),
        );
        host.wait_up(&app);
        let log = format!("/var/log/xen/console/guest-{}.log", app.name());
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        wait_for("word of the ping", || said().contains("ping 192.168.99.1 "));
        assert!(said().contains("ping 192.168.99.1 answered"), "{}", said());
        let mtu = std::fs::read_to_string(format!("/sys/class/net/{vif}/mtu")).unwrap();
        assert_eq!(mtu.trim(), "1400");
        let mut shell = host.shell(&app);
        let said = shell.run("cat /sys/class/net/eth0/address");
        let address = said.split_whitespace().find(|w| w.starts_with("00:16:3e:"));
        let file = format!("run/xen/xen{}.cfg", app.number);
        let file = std::fs::read_to_string(host.path(&file)).unwrap();
        let address = address.unwrap_or_else(|| panic!("{said}"));
        assert!(file.contains(&format!("mac={address}")), "{said}: {file}");
        assert!(mac.is_empty() || mac == address, "{said}");
        host.remove(&app);
        host.wait_gone(&app);
    }
}

/// Only libxl's log contains the output of the hotplug script.
#[test]
fn a_bridge_that_is_not_there_is_named() {
    let host = Host::start();
    let app = host.app("nowhere");
    host.put_tiny(
        &app,
        "PV",
        "",
        &json!({"VifList": [{"Bridge": "nosuchbr"}]}),
    );
    let failed = host.wait(&app, "three tries", |s| s["BootFailed"] == true);
    let words = failed["LastErr"].as_str().unwrap();
    println!("{words}");
    assert!(words.contains("unable to add vif devices"), "{words}");
    assert!(words.contains("nosuchbr"), "{words}");
    assert_eq!(host.domains(&app), []);
}
