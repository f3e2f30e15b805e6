//! Tests of the table against a host in memory, on which the table's steps are carried out.

use serde_json::{Value, json};
use uuid::Uuid;

use super::model::AssignableAdapters;
use super::table::{Progress, Step, Table};
use crate::base::json::parse;
use crate::spec::{Adapter, PciAddress};
use crate::toolstack::sim::model::Model;

mod changes;

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

struct World {
    table: Table,
    host: Model,
    steps: Vec<Step>,
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    parse(value.to_string().as_bytes()).unwrap()
}

fn adapter(kind: u32, name: &str) -> Adapter {
    Adapter {
        kind,
        name: name.into(),
    }
}

/// eth0 is the host's; eth1 and eth2 are one bundle; eth3 is known by its address; there are two USB controllers.
fn model() -> Value {
    json!({"IoBundleList": [
        {"Type": 1, "Name": "eth0", "Members": ["eth0"], "Lookup": true},
        {"Type": 1, "Name": "eth1-2", "Members": ["eth1", "eth2"], "Lookup": true},
        {"Type": 1, "Name": "lan", "Members": ["port3"], "PciLong": "0000:00:13.0"},
        {"Type": 2, "Name": "USB0", "Members": ["USB0"], "PciShort": "00:14.0"},
        {"Type": 2, "Name": "USB1", "Members": ["USB1"], "PciLong": "0000:00:15.0"},
        {"Type": 3, "Name": "COM1", "Members": ["COM1"], "XenCfg": "irqs=[4]\nioports=['3f8-3ff']"},
        {"Type": 3, "Name": "COM2", "Members": ["COM2"], "XenCfg": "irqs=[3]\nioports=['2f8-2ff']"},
    ]})
}

fn host() -> Model {
    let mut host = Model::default();
    for (address, driver, interface) in [
        ("0000:00:10.0", "e1000", Some("eth0")),
        ("0000:00:11.0", "e1000", Some("eth1")),
        ("0000:00:12.0", "e1000", Some("eth2")),
        ("0000:00:13.0", "e1000", Some("eth3")),
        ("0000:00:14.0", "xhci_hcd", None),
        ("0000:00:15.0", "xhci_hcd", None),
        ("0000:00:1f.0", "lpc", None),
    ] {
        host.plug(address, driver, interface).unwrap();
    }
    host
}

impl World {
    fn new() -> Self {
        Self {
            table: Table::new(AssignableAdapters::default()),
            host: host(),
            steps: Vec::new(),
        }
    }

    /// A world in which the model and the host's ports are known.
    fn settled() -> Self {
        let mut w = Self::new();
        w.model(&model());
        w.network(&json!({"Ports": [{"IfName": "eth0"}]}));
        w
    }

    fn model(&mut self, model: &Value) {
        self.table.set_model(Ok(read(model)));
        self.work();
    }

    fn network(&mut self, network: &Value) {
        self.table.set_network(Ok(read(network)));
        self.work();
    }

    /// Carries out all steps of the table.
    fn work(&mut self) {
        self.table.see(self.host.pci_devices());
        for _ in 0..50 {
            let Some(step) = self.table.next() else {
                return;
            };
            let result = self.perform(&step);
            self.table.see(self.host.pci_devices());
            self.table.tried(&step, &result);
            self.steps.push(step);
        }
        panic!("it never ends: {:?}", self.steps);
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Take(_, devices) => {
                for (i, device) in devices.iter().enumerate() {
                    if let Err(e) = self.host.pci_take(*device) {
                        for taken in &devices[..i] {
                            self.host.pci_give_back(*taken, None).unwrap();
                        }
                        return Err(e.to_string());
                    }
                }
            }
            Step::GiveBack(_, devices) => {
                for (device, interface) in devices {
                    let given = self.host.pci_give_back(*device, interface.as_deref());
                    given.map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Returns the short addresses of the devices that are taken from the host.
    fn taken(&self) -> Vec<String> {
        let devices = self.host.pci_devices();
        let taken = devices.iter().filter(|d| d.assignable);
        taken.map(|d| d.address.short()).collect()
    }

    fn reserve(&mut self, key: Uuid, wanted: &[Adapter]) -> Result<Progress, String> {
        self.table
            .reserve(key, if key == A { "a.1" } else { "b.2" }, wanted)?;
        self.work();
        Ok(self.table.progress(key))
    }

    fn refused(&mut self, key: Uuid, wanted: &[Adapter]) -> String {
        self.reserve(key, wanted).unwrap_err()
    }

    fn bundle(&self, name: &str) -> crate::host::adapters::model::IoBundle {
        let view = self.table.view();
        let mut bundles = view.io_bundle_list.into_iter();
        bundles.find(|b| b.name == name).unwrap()
    }
}

fn addresses(progress: &Progress) -> Vec<String> {
    match progress {
        Progress::Ready(assigned) => assigned.pci.iter().map(|d| d.address.short()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_touched_before_everything_is_known() {
    let mut w = World::new();
    w.work();
    w.model(&model());
    assert_eq!(w.steps, []);
    assert!(!w.table.view().initialized);
    assert_eq!(
        w.refused(A, &[adapter(1, "eth1-2")]),
        "IoAdapterList[0]: \"eth1-2\": the host's ports are not known yet"
    );
    w.table.set_network(Err("/net.json: no such file".into()));
    w.work();
    assert_eq!(
        w.refused(A, &[adapter(1, "eth1-2")]),
        "IoAdapterList[0]: \"eth1-2\": the host's ports are not known: /net.json: no such file"
    );
    assert_eq!(w.steps, []);

    let mut w = World::new();
    w.network(&json!({"Ports": [{"IfName": "eth0"}]}));
    assert_eq!(w.steps, []);
    w.table.set_model(Err("/model.json: not JSON".into()));
    assert_eq!(
        w.refused(A, &[adapter(1, "eth1-2")]),
        "IoAdapterList[0]: \"eth1-2\": the adapters are not known: /model.json: not JSON"
    );
}

#[test]
fn what_is_no_port_is_taken_and_what_is_not_listed_never() {
    let w = World::settled();
    assert_eq!(w.taken(), ["00:11.0", "00:12.0", "00:13.0"]);
    let view = w.table.view();
    assert!(view.initialized);
    let eth0 = w.bundle("eth0");
    assert!(eth0.is_port && !eth0.is_pci_back);
    let both = w.bundle("eth1-2");
    assert!(both.is_pci_back && !both.is_port);
    assert_eq!(both.m_pci_long, ["0000:00:11.0", "0000:00:12.0"]);
    assert_eq!(both.m_pci_short, ["00:11.0", "00:12.0"]);
}

#[test]
fn ports_are_told_by_name_interface_and_address() {
    // By the name that the controller gave, which the model has as a member.
    let mut w = World::new();
    w.model(&model());
    w.network(&json!({"Ports": [{"IfName": "x", "Name": "eth1"}]}));
    assert!(w.bundle("eth1-2").is_port);
    assert!(!w.taken().contains(&"00:12.0".to_owned()), "as a group");
    // By an interface whose name the model does not know.
    let mut w = World::new();
    w.model(&model());
    w.network(&json!({"Ports": [{"IfName": "eth3"}]}));
    assert!(w.bundle("lan").is_port);
    // By the address alone.
    let mut w = World::new();
    w.model(&model());
    w.network(&json!({"Ports": [{"IfName": "wan", "PciLong": "0000:00:13.0"}]}));
    assert!(w.bundle("lan").is_port);
    assert!(!w.bundle("eth0").is_port);
    // A USB controller that a port is behind.
    let mut w = World::new();
    w.host
        .plug("0000:00:15.0", "xhci_hcd", Some("usb0"))
        .unwrap();
    w.model(&model());
    w.table.set_usb_access(false);
    w.network(&json!({"Ports": [{"IfName": "usb0"}]}));
    assert_eq!(w.taken().last().unwrap(), "00:14.0");
}

#[test]
fn functions_of_one_device_go_together() {
    let mut w = World::new();
    w.host.plug("0000:00:10.1", "e1000", Some("eth9")).unwrap();
    w.host.plug("0000:00:13.1", "e1000", Some("eth8")).unwrap();
    let mut model = model();
    let list = model["IoBundleList"].as_array_mut().unwrap();
    list.push(json!({"Type": 1, "Name": "eth9", "Members": ["eth9"], "Lookup": true}));
    list.push(json!({"Type": 1, "Name": "eth8", "Members": ["eth8"], "Lookup": true}));
    w.model(&model);
    w.network(&json!({"Ports": [{"IfName": "eth0"}]}));
    assert!(!w.taken().contains(&"00:10.1".to_owned()));
    assert_eq!(
        w.refused(A, &[adapter(1, "eth9")]),
        "IoAdapterList[0]: \"eth9\": eth0 is a port of the host"
    );
    w.reserve(A, &[adapter(1, "lan")]).unwrap();
    assert_eq!(
        w.refused(B, &[adapter(1, "eth8")]),
        format!("IoAdapterList[0]: \"eth8\" is used by a.1 ({A})")
    );
}

#[test]
fn all_or_nothing() {
    let mut w = World::settled();
    let progress = w.reserve(A, &[adapter(1, "lan")]).unwrap();
    assert_eq!(addresses(&progress), ["00:13.0"]);
    assert_eq!(
        w.refused(B, &[adapter(1, "eth1-2"), adapter(1, "LAN")]),
        format!("IoAdapterList[1]: \"LAN\" is used by a.1 ({A})")
    );
    assert_eq!(w.bundle("eth1-2").used_by_uuid, Uuid::nil().to_string());
    assert!(!w.table.release(B), "it has nothing");
    // The adapters can be taken once they are released.
    assert!(w.table.release(A));
    let progress = w
        .reserve(B, &[adapter(1, "eth1-2"), adapter(1, "lan")])
        .unwrap();
    assert_eq!(addresses(&progress), ["00:11.0", "00:12.0", "00:13.0"]);
    assert_eq!(w.bundle("lan").used_by_uuid, B.to_string());
    // An application's own adapter is no conflict.
    w.reserve(B, &[adapter(1, "lan")]).unwrap();
}

#[test]
fn names_interfaces_and_addresses() {
    for name in ["eth1-2", "ETH1-2", "eth2", "0000:00:12.0", "00:11.0"] {
        let mut w = World::settled();
        let progress = w.reserve(A, &[adapter(1, name)]).unwrap();
        assert_eq!(addresses(&progress), ["00:11.0", "00:12.0"], "{name}");
    }
    let mut w = World::settled();
    assert_eq!(
        w.refused(A, &[adapter(2, "eth1-2")]),
        "IoAdapterList[0]: unknown adapter \"eth1-2\" of type 2; the model has eth0, eth1-2, lan, USB0, USB1, COM1, COM2"
    );
    // A device of the host that is not in the model.
    assert!(
        w.refused(A, &[adapter(255, "00:1f.0")])
            .contains("unknown adapter \"00:1f.0\"")
    );
}

#[test]
fn a_port_is_refused_and_one_that_becomes_a_port_is_given_back() {
    let mut w = World::settled();
    assert_eq!(
        w.refused(A, &[adapter(1, "eth0")]),
        "IoAdapterList[0]: \"eth0\": eth0 is a port of the host"
    );
    w.network(&json!({"Ports": [{"IfName": "eth0"}, {"IfName": "eth2"}]}));
    assert_eq!(w.taken(), ["00:13.0"]);
    // The interfaces have their former names.
    let devices = w.host.pci_devices();
    assert_eq!(devices[1].interfaces, ["eth1"]);
    assert_eq!(devices[2].interfaces, ["eth2"]);
    // A bundle that a domain has stays with it, and shows an error.
    w.reserve(A, &[adapter(1, "lan")]).unwrap();
    w.network(&json!({"Ports": [{"IfName": "eth0"}, {"IfName": "eth2"}, {"IfName": "port3"}]}));
    assert_eq!(w.taken(), ["00:13.0"]);
    assert_eq!(
        w.bundle("lan").error,
        format!("port3 is a port of the host, and used by a.1 ({A})")
    );
    w.table.release(A);
    w.work();
    assert_eq!(w.taken(), Vec::<String>::new());
}

#[test]
fn a_name_that_linux_gives_to_another_is_put_right() {
    let mut w = World::settled();
    // eth1's and eth2's names are free, so what comes back first would be called eth1.
    w.network(&json!({"Ports": [{"IfName": "eth0"}, {"Name": "port3"}]}));
    assert_eq!(w.host.pci_devices()[3].interfaces, ["eth3"]);
}

#[test]
fn testing_takes_no_network_adapter_but_gives_back() {
    let mut w = World::new();
    w.model(&model());
    w.network(&json!({"Testing": true, "Ports": [{"IfName": "eth0"}]}));
    assert_eq!(w.taken(), Vec::<String>::new());
    assert_eq!(
        w.refused(A, &[adapter(1, "lan")]),
        "IoAdapterList[0]: \"lan\": the host's ports are being tested, until then none is taken"
    );
    w.network(&json!({"Testing": false, "Ports": [{"IfName": "eth0"}]}));
    assert_eq!(w.taken(), ["00:11.0", "00:12.0", "00:13.0"]);
    w.network(&json!({"Testing": true, "Ports": [{"IfName": "eth1"}]}));
    assert_eq!(
        w.taken(),
        ["00:13.0"],
        "eth0 is not taken, eth1 and eth2 are back"
    );
}

#[test]
fn usb_controllers_follow_the_setting() {
    let mut w = World::settled();
    let usb = |w: &World| {
        let taken = w.taken();
        ["00:14.0", "00:15.0"].map(|a| taken.contains(&a.to_owned()))
    };
    assert_eq!(usb(&w), [false, false]);
    // A controller is taken for the domain that asks for it, and is relaxed.
    let Progress::Ready(assigned) = w.reserve(A, &[adapter(2, "USB0")]).unwrap() else {
        panic!()
    };
    assert!(assigned.pci[0].relaxed);
    assert_eq!(usb(&w), [true, false]);
    w.table.set_usb_access(false);
    w.work();
    assert_eq!(usb(&w), [true, true]);
    w.table.set_usb_access(true);
    w.work();
    assert_eq!(usb(&w), [true, false], "that of the domain stays");
    w.table.release(A);
    w.work();
    assert_eq!(usb(&w), [false, false]);
}

#[test]
fn lines_of_several_serial_ports_add_up() {
    let mut w = World::settled();
    let Progress::Ready(assigned) = w
        .reserve(A, &[adapter(3, "COM1"), adapter(3, "COM2")])
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(assigned.irqs, [4, 3]);
    assert_eq!(assigned.io_ports, [(0x3f8, 0x3ff), (0x2f8, 0x2ff)]);
}

#[test]
fn a_device_that_cannot_be_taken_fails_all_and_keeps_nothing() {
    let mut w = World::new();
    w.host.plug("0000:00:15.0", "stuck", None).unwrap();
    w.model(&model());
    w.network(&json!({"Ports": [{"IfName": "eth0"}]}));
    let progress = w
        .reserve(A, &[adapter(2, "USB0"), adapter(2, "USB1")])
        .unwrap();
    assert_eq!(
        progress,
        Progress::Failed("\"USB1\": 0000:00:15.0: its driver does not let go".into())
    );
    for name in ["USB0", "USB1"] {
        assert_eq!(w.bundle(name).used_by_uuid, Uuid::nil().to_string());
    }
    w.work();
    assert!(!w.taken().contains(&"00:14.0".to_owned()), "given back");
    // The failed step is not tried for ever, but again when the adapter is asked for.
    let steps = w.steps.len();
    w.work();
    assert_eq!(w.steps.len(), steps);
    w.host.plug("0000:00:15.0", "xhci_hcd", None).unwrap();
    let progress = w
        .reserve(A, &[adapter(2, "USB0"), adapter(2, "USB1")])
        .unwrap();
    assert_eq!(addresses(&progress), ["00:14.0", "00:15.0"]);
}

#[test]
fn a_group_is_taken_as_a_whole() {
    let mut w = World::new();
    w.host.plug("0000:00:12.0", "stuck", Some("eth2")).unwrap();
    w.model(&model());
    w.network(&json!({"Ports": [{"IfName": "eth0"}]}));
    assert_eq!(w.taken(), ["00:13.0"]);
    assert_eq!(
        w.bundle("eth1-2").error,
        "0000:00:12.0: its driver does not let go"
    );
}

#[test]
fn what_is_missing_is_named() {
    let mut w = World::new();
    w.host.unplug("0000:00:12.0");
    w.host.unplug("0000:00:13.0");
    w.model(&model());
    w.network(&json!({"Ports": [{"IfName": "eth0"}]}));
    assert_eq!(
        w.refused(A, &[adapter(1, "eth1-2")]),
        "IoAdapterList[0]: \"eth1-2\": there is no interface eth2 with a PCI device"
    );
    assert_eq!(
        w.refused(A, &[adapter(1, "lan")]),
        "IoAdapterList[0]: \"lan\": there is no PCI device 0000:00:13.0"
    );
    assert_eq!(w.bundle("lan").error, "there is no PCI device 0000:00:13.0");
    // The device comes back, and the error is gone.
    w.host.plug("0000:00:13.0", "e1000", Some("eth3")).unwrap();
    w.work();
    w.reserve(A, &[adapter(1, "lan")]).unwrap();
    assert_eq!(w.bundle("lan").error, "");
}

#[test]
fn what_a_domain_has_in_xen_is_neither_reserved_nor_touched() {
    let mut w = World::settled();
    let address: PciAddress = "0000:00:13.0".parse().unwrap();
    let stranger = Uuid::from_u128(0xc);
    let domid = w.host.outsider(stranger, "stranger", None);
    w.host.give(address, domid);
    w.work();
    assert_eq!(
        w.refused(A, &[adapter(1, "lan")]),
        format!("IoAdapterList[0]: \"lan\": domain {domid} has 0000:00:13.0")
    );
    let steps = w.steps.len();
    w.network(&json!({"Ports": [{"IfName": "port3"}]}));
    assert!(
        w.steps[steps..]
            .iter()
            .all(|s| !matches!(s, Step::GiveBack(name, _) if name == "lan")),
        "{:?}",
        w.steps
    );
}
