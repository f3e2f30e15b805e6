//! A host with devices to assign, and the agent's description of them.

use std::fs;

use serde_json::{Value, json};

use super::Host;

pub const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

pub fn model() -> Value {
    json!({"IoBundleList": [
        {"Type": 1, "Name": "eth0", "Members": ["eth0"], "Lookup": true},
        {"Type": 1, "Name": "eth1", "Members": ["eth1"], "Lookup": true},
        {"Type": 1, "Name": "lan", "Members": ["eth2", "eth3"], "Lookup": true},
        {"Type": 2, "Name": "USB", "Members": ["USB0"], "PciLong": "0000:00:14.0", "Pcishort": "00:14.0"},
        {"Type": 3, "Name": "COM1", "Members": ["COM1"], "XenCfg": "irqs=[4]\nioports=['3f8-3ff']\n"},
        {"Type": 3, "Name": "COM2", "Members": ["COM2"], "XenCfg": "irqs=[3]\nioports=['2f8-2ff']\n"}
    ]})
}

pub fn ports(names: &[&str]) -> Value {
    let ports: Vec<Value> = names
        .iter()
        .map(|n| json!({"IfName": n, "Name": n}))
        .collect();
    json!({"Version": 2, "Testing": false, "Ports": ports})
}

pub fn put(host: &Host, path: &str, value: &Value) {
    let path = host.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let temp = path.with_extension("part");
    fs::write(&temp, value.to_string()).unwrap();
    fs::rename(temp, path).unwrap();
}

pub fn put_model(host: &Host) {
    put(host, "run/model/default.json", &model());
}

pub fn put_ports(host: &Host, names: &[&str]) {
    put(host, "run/DeviceNetworkStatus/global.json", &ports(names));
}

/// A host with four network adapters and a USB controller, and no agent yet.
pub fn plugged() -> Host {
    let host = Host::new();
    for (address, words) in [
        ("00:10.0", &["e1000", "eth0"][..]),
        ("00:11.0", &["e1000", "eth1"]),
        ("00:12.0", &["e1000", "eth2"]),
        ("00:13.0", &["e1000", "eth3"]),
        ("00:14.0", &["xhci_hcd"]),
    ] {
        host.xen(&[&["plug", address], words].concat());
    }
    for dir in ["run/model", "run/DeviceNetworkStatus"] {
        fs::create_dir_all(host.path(dir)).unwrap();
    }
    host
}

pub fn started() -> Host {
    let mut host = plugged();
    put_model(&host);
    put_ports(&host, &["eth0"]);
    host.run(&[]);
    host
}

/// Returns the properties of the host's device at an address: driver, interface, owner, moves.
pub fn device(host: &Host, address: &str) -> Vec<String> {
    let all = host.xen(&["pci"]);
    let line = all.split("; ").find(|l| l.contains(address)).unwrap();
    line.split(' ').skip(1).map(str::to_owned).collect()
}

pub fn bundle(host: &Host, name: &str) -> Value {
    let text = fs::read(host.path("run/AssignableAdapters/global.json")).unwrap_or_default();
    let all: Value = serde_json::from_slice(&text).unwrap_or_default();
    let list = all["IoBundleList"].as_array().cloned().unwrap_or_default();
    list.into_iter()
        .find(|b| b["Name"] == name)
        .unwrap_or_default()
}

pub fn wants(names: &[&str]) -> Value {
    let list: Vec<Value> = names
        .iter()
        .map(|n| json!({"Type": 0, "Name": n}))
        .collect();
    json!({"IoAdapterList": list})
}
