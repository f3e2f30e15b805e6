//! Adapters of the host that are given to domains, through files, with the real program and a simulated Xen.

use std::fs;

use crate::common::adapters::{
    NOBODY, bundle, device, model, plugged, put, put_model, put_ports, started, wants,
};
use crate::common::{A, B, domid};
use serde_json::json;

#[test]
fn a_domain_gets_its_adapters_and_gives_them_up() {
    let host = started();
    host.until("eth1 taken", || bundle(&host, "eth1")["IsPCIBack"] == true);
    assert_eq!(bundle(&host, "eth0")["IsPort"], true);
    assert_eq!(device(&host, "00:10.0")[..2], ["e1000", "eth0"]);
    host.put(A, &wants(&["eth1", "USB"]));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["AdaptersFailed"], false);
    assert_eq!(up["IoAdapterList"][1]["Name"], "USB");
    let domain = domid(&up).to_string();
    assert_eq!(device(&host, "00:11.0")[2], domain);
    assert_eq!(device(&host, "00:14.0")[2], domain);
    assert_eq!(bundle(&host, "USB")["UsedByUUID"], A);
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(
        cfg.contains(
            "pci = [\"0000:00:11.0,rdm_policy=strict\", \"0000:00:14.0,rdm_policy=relaxed\"]\n"
        ),
        "{cfg}"
    );
    host.remove(A);
    host.wait_gone(A);
    // The USB controller is the host's again; the network adapter waits for the next domain.
    host.until("USB is back", || device(&host, "00:14.0")[0] == "xhci_hcd");
    host.until("published", || bundle(&host, "USB")["UsedByUUID"] == NOBODY);
    assert_eq!(device(&host, "00:11.0")[..3], ["pciback", "-", "-"]);
}

#[test]
fn one_of_another_domain_is_named_and_taken_when_released() {
    let host = started();
    host.put(A, &wants(&["lan"]));
    host.wait_state(A, "RUNNING");
    host.put(B, &wants(&["eth1", "lan"]));
    let failed = host.wait(B, "adapters", |s| {
        s["AdaptersFailed"] == true && s["PendingAdd"] == false
    });
    assert_eq!(
        failed["LastErr"],
        format!("IoAdapterList[1]: \"lan\" is used by a.1 ({A})")
    );
    assert_eq!(domid(&failed), 0);
    // When that is published, nothing of it is reserved.
    assert_eq!(bundle(&host, "eth1")["UsedByUUID"], NOBODY);
    host.remove(A);
    let up = host.wait_state(B, "RUNNING");
    assert_eq!(
        (&up["AdaptersFailed"], &up["LastErr"]),
        (&json!(false), &json!(""))
    );
    assert_eq!(bundle(&host, "lan")["UsedByUUID"], B);
}

/// The first domain gets its adapters, the others wait, and none gets only a part of its adapters.
#[test]
fn many_want_the_same_at_once() {
    let host = started();
    host.until("lan taken", || bundle(&host, "lan")["IsPCIBack"] == true);
    let keys: Vec<String> = ["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd", "eeeeeeee"]
        .map(|k| format!("{k}-0000-4000-8000-000000000009"))
        .to_vec();
    for (i, key) in keys.iter().enumerate() {
        // In different orders.
        let list = if i % 2 == 0 {
            ["eth1", "lan"]
        } else {
            ["lan", "eth1"]
        };
        host.put(key, &wants(&list));
    }
    for _ in 0..keys.len() {
        let mut first = None;
        host.until("one runs, the others wait", || {
            let states: Vec<_> = keys
                .iter()
                .filter_map(|key| Some((key, host.status(key)?)))
                .collect();
            let running: Vec<_> = states
                .iter()
                .filter(|(_, s)| s["StateName"] == "RUNNING")
                .collect();
            assert!(running.len() < 2, "{running:#?}");
            first = running.first().map(|(key, _)| (*key).clone());
            let waiting = states
                .iter()
                .filter(|(_, s)| s["AdaptersFailed"] == true)
                .count();
            running.len() == 1 && waiting + 1 == states.len()
        });
        let first = first.unwrap();
        let (one, other) = (bundle(&host, "eth1"), bundle(&host, "lan"));
        assert_eq!(one["UsedByUUID"], first.as_str());
        assert_eq!(other["UsedByUUID"], first.as_str());
        host.remove(&first);
        host.wait_gone(&first);
    }
}

#[test]
fn nothing_is_touched_before_the_ports_are_known() {
    let mut host = plugged();
    put_model(&host);
    host.run(&[]);
    host.put(A, &wants(&["eth1"]));
    let failed = host.wait(A, "adapters", |s| s["AdaptersFailed"] == true);
    let path = host.path("run/DeviceNetworkStatus/global.json");
    assert_eq!(
        failed["LastErr"],
        format!(
            "IoAdapterList[0]: \"eth1\": the host's ports are not known: {}: no such file",
            path.display()
        )
    );
    for address in ["00:10.0", "00:11.0", "00:12.0", "00:13.0", "00:14.0"] {
        assert_eq!(device(&host, address)[3], "0", "never moved: {address}");
    }
    put(
        &host,
        "run/DeviceNetworkStatus/global.json",
        &json!("nonsense"),
    );
    host.wait(A, "what is wrong", |s| {
        s["LastErr"]
            .as_str()
            .unwrap()
            .ends_with("expected a JSON object")
    });
    put_ports(&host, &["eth0"]);
    host.wait_state(A, "RUNNING");
    assert_eq!(
        device(&host, "00:10.0")[3],
        "0",
        "the host's port was never moved"
    );
}

#[test]
fn a_port_goes_back_under_its_name() {
    let host = started();
    host.until("taken", || device(&host, "00:12.0")[0] == "pciback");
    host.put(A, &wants(&["lan"]));
    host.wait_state(A, "RUNNING");
    put_ports(&host, &["eth0", "eth1"]);
    host.until("eth1 is back", || {
        device(&host, "00:11.0")[..2] == ["e1000", "eth1"]
    });
    host.put(B, &wants(&["eth1"]));
    let failed = host.wait(B, "refused", |s| s["AdaptersFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "IoAdapterList[0]: \"eth1\": eth1 is a port of the host"
    );
    // One that a domain has is not taken from it.
    put_ports(&host, &["eth0", "eth1", "eth3"]);
    host.until("said", || {
        let said = bundle(&host, "lan")["Error"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        said.contains("eth3 is a port of the host, and used by a.1")
    });
    assert_eq!(host.status(A).unwrap()["StateName"], "RUNNING");
    host.remove(A);
    host.until("both back", || {
        device(&host, "00:12.0")[1] == "eth2" && device(&host, "00:13.0")[1] == "eth3"
    });
    // It is no port any more, and B gets what it waits for.
    put_ports(&host, &["eth0"]);
    host.wait_state(B, "RUNNING");
}

#[test]
fn a_guest_that_reboots_keeps_its_adapters() {
    let host = started();
    let mut config = wants(&["lan", "COM1", "COM2"]);
    config["ExtraArgs"] = json!("lab.action=reboot lab.after=20 sim.once");
    host.put(A, &config);
    let first = host.wait_state(A, "RUNNING");
    host.put(B, &wants(&["lan"]));
    let second = host.wait(A, "a restart", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert!(domid(&second) > domid(&first));
    assert_eq!(device(&host, "00:12.0")[2], domid(&second).to_string());
    assert_eq!(host.status(B).unwrap()["AdaptersFailed"], true);
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(cfg.contains("irqs = [3, 4]\n"), "{cfg}");
    assert!(
        cfg.contains("ioports = [\"3f8-3ff\", \"2f8-2ff\"]\n"),
        "{cfg}"
    );
}

#[test]
fn a_killed_agent_leaves_nobody_without_what_he_has() {
    let mut host = started();
    host.put(A, &wants(&["lan"]));
    let up = host.wait_state(A, "RUNNING");
    let moves = device(&host, "00:12.0")[3].clone();
    host.kill();
    // While nobody looks, another one comes that wants the same.
    host.put(B, &wants(&["lan"]));
    host.run(&[]);
    host.wait(B, "refused", |s| s["AdaptersFailed"] == true);
    host.wait(A, "found", |s| {
        s["StateName"] == "RUNNING" && domid(s) == domid(&up)
    });
    assert_eq!(
        device(&host, "00:12.0")[2..4],
        [domid(&up).to_string(), moves]
    );
    host.kill();
    host.remove(A);
    host.run(&[]);
    host.wait_gone(A);
    host.wait_state(B, "RUNNING");
}

#[test]
fn the_reservation_of_a_key_that_is_gone_is_dropped() {
    let mut host = started();
    host.put(A, &wants(&["lan"]));
    host.wait_state(A, "RUNNING");
    host.kill();
    host.remove(A);
    fs::remove_file(host.status_file(A)).unwrap();
    host.xen(&["destroy", "a.1"]);
    host.run(&[]);
    host.put(B, &wants(&["lan"]));
    host.wait_state(B, "RUNNING");
}

#[test]
fn usb_controllers_follow_the_setting() {
    let mut host = plugged();
    put_model(&host);
    put_ports(&host, &["eth0"]);
    let settings = "GlobalConfig/global.json";
    put(&host, settings, &json!({"UsbAccess": false}));
    let path = host.path(settings);
    host.run(&["--global-config", path.to_str().unwrap()]);
    host.until("taken", || device(&host, "00:14.0")[0] == "pciback");
    put(&host, settings, &json!({"UsbAccess": true}));
    host.until("back", || device(&host, "00:14.0")[0] == "xhci_hcd");
    put(&host, settings, &json!({"debug.enable.usb": false}));
    host.until("taken again", || device(&host, "00:14.0")[0] == "pciback");
}

#[test]
fn a_driver_that_does_not_let_go_is_said_and_others_start() {
    let mut host = plugged();
    host.xen(&["plug", "00:14.0", "stuck"]);
    put_model(&host);
    put_ports(&host, &["eth0"]);
    host.run(&[]);
    host.put(A, &wants(&["lan", "USB"]));
    let failed = host.wait(A, "failed", |s| s["AdaptersFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "\"USB\": 0000:00:14.0: its driver does not let go"
    );
    // Nothing of it is held.
    host.put(B, &wants(&["lan"]));
    host.wait_state(B, "RUNNING");
}

/// A device is named by its address, and is the host's, or another domain's, all the same.
#[test]
fn a_port_of_the_host_is_given_to_nobody_by_its_address() {
    let mut host = plugged();
    put_model(&host);
    put_ports(&host, &["eth0"]);
    fs::create_dir(host.path("auto")).unwrap();
    let kernel = host.path("kernel").display().to_string();
    let text = format!(
        "name = 'x'\nkernel = '{kernel}'\nmemory = 64\npassthrough = 'enabled'\ne820_host = 1\n"
    );
    fs::write(host.path("auto/x.cfg"), text).unwrap();
    let dir = host.path("auto").display().to_string();
    host.run(&["--xl-dir", &dir]);
    host.put(A, &wants(&["eth1"]));
    host.wait_state(A, "RUNNING");
    host.does(&["wait", "x", "RUNNING"]);
    let attach = |address: &str| {
        vec![
            "attach".to_owned(),
            "x".to_owned(),
            "pci".to_owned(),
            format!("{address},seize=1"),
        ]
    };
    for (address, why) in [
        ("00:10.0", "pci: 0000:00:10.0: eth0 is a port of the host"),
        ("00:10.1", "pci: 0000:00:10.1: eth0 is a port of the host"),
        ("00:11.1", "pci: 0000:00:11.1 is used by a.1 ("),
    ] {
        let words = attach(address);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        host.fails(&words, 1, why);
    }
    assert_eq!(device(&host, "00:10.0")[0], "e1000");
}

#[test]
fn a_pvh_domain_cannot_have_pci_devices() {
    let host = started();
    let mut config = wants(&["eth1"]);
    config["VirtualizationMode"] = json!("PVH");
    host.put(A, &config);
    let failed = host.wait(A, "failed", |s| s["AdaptersFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "IoAdapterList: a PVH domain cannot have PCI devices"
    );
    host.put(B, &wants(&["eth1"]));
    host.wait_state(B, "RUNNING");
}

#[test]
fn a_model_that_is_wrong_is_named() {
    let mut host = plugged();
    let mut wrong = model();
    wrong["IoBundleList"][3]["PciLong"] = json!("14.0");
    put(&host, "run/model/default.json", &wrong);
    put_ports(&host, &["eth0"]);
    host.run(&[]);
    host.put(A, &wants(&["eth1"]));
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    let failed = host.wait(A, "failed", |s| s["AdaptersFailed"] == true);
    let path = host.path("run/model/default.json");
    assert_eq!(
        failed["LastErr"],
        format!(
            "IoAdapterList[0]: \"eth1\": the adapters are not known: {}: IoBundleList[3].PciLong: \
             expected a PCI address like 0000:00:14.0, found \"14.0\"",
            path.display()
        )
    );
    put_model(&host);
    host.wait_state(A, "RUNNING");
}
