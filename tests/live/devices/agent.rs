//! Adapters that the agent manages.

use std::fs;

use serde_json::{Value, json};

use super::host::{NIC, OTHER_NIC, USB, driver, interface, pciback, rename, restore};
use crate::agent::host::{App, Host, domid};
use crate::agent::orders::call;
use crate::support::{wait_for, xl, xl_is_there};

fn model() -> Value {
    json!({"IoBundleList": [
        {"Type": 1, "Name": "eth0", "Members": ["eth0"], "Lookup": true},
        {"Type": 1, "Name": "wan", "Members": ["wan7"], "Lookup": true},
        {"Type": 1, "Name": "lan", "Members": ["port2"], "PciLong": OTHER_NIC},
        {"Type": 2, "Name": "USB", "Members": ["USB0"], "PciLong": USB}
    ]})
}

/// Starts an agent on a host whose first spare NIC does not have the kernel's name.
fn started() -> Host {
    restore();
    rename("eth1", "wan7");
    let dir = tempfile::tempdir().unwrap().keep();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    fs::write(at("model.json"), model().to_string()).unwrap();
    fs::write(at("ports.json"), ports(&["eth0"])).unwrap();
    Host::start_with(&[
        "--adapters",
        &at("model.json"),
        "--network-status",
        &at("ports.json"),
    ])
}

fn ports(names: &[&str]) -> String {
    let ports: Vec<Value> = names.iter().map(|n| json!({"IfName": n})).collect();
    json!({"Testing": false, "Ports": ports}).to_string()
}

fn put(host: &Host, app: &App, mode: &str, names: &[&str]) {
    let list: Vec<Value> = names
        .iter()
        .map(|n| json!({"Type": 0, "Name": n}))
        .collect();
    host.put(app, mode, "", &json!({"IoAdapterList": list}));
}

fn devices(host: &Host, app: &App) -> Vec<String> {
    let list = host.outsider(app).pci_list().unwrap();
    list.iter().map(libxl::config::Pci::address).collect()
}

#[test]
fn a_nic_and_a_usb_controller_go_to_a_domain_and_come_back() {
    let host = started();
    wait_for("the spare NICs taken", || {
        pciback(NIC) && pciback(OTHER_NIC)
    });
    assert_eq!(
        driver(USB).as_deref(),
        Some("xhci_hcd"),
        "the host may use USB"
    );
    assert_eq!(
        fs::metadata("/sys/class/net/eth0").map(|m| m.is_dir()).ok(),
        Some(true),
        "the host's own port is never touched"
    );
    let app = host.app("assigned");
    put(&host, &app, "PV", &["wan", "USB"]);
    host.wait_up(&app);
    assert_eq!(devices(&host, &app), [NIC, USB]);
    if xl_is_there() {
        let text = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
        assert!(text.contains(NIC), "{text}");
        let path = host.path("run/xen/xen1.cfg");
        let read = xl(&["create", "-n", "--quiet", path.to_str().unwrap()]);
        for word in [
            "\"pcidevs\"",
            "\"dev\": 16",
            "\"dev\": 18",
            "relaxed",
            "\"e820_host\"",
        ] {
            assert!(read.contains(word), "{word} in {read}");
        }
    }
    host.remove(&app);
    host.wait_gone(&app);
    wait_for("the USB controller back", || {
        driver(USB).as_deref() == Some("xhci_hcd")
    });
    assert!(
        pciback(NIC),
        "a NIC that is no port waits for the next domain"
    );
}

#[test]
fn a_nic_that_becomes_a_port_comes_back_under_its_name() {
    let host = started();
    wait_for("taken", || pciback(NIC) && pciback(OTHER_NIC));
    host.set_ports(&ports(&["eth0", "wan7", "port2"]));
    wait_for("both back", || !pciback(NIC) && !pciback(OTHER_NIC));
    wait_for("its name", || interface(NIC).as_deref() == Some("wan7"));
    wait_for("the other's", || {
        interface(OTHER_NIC).as_deref() == Some("eth2")
    });
    assert_eq!(driver(NIC).as_deref(), Some("e1000"));
    let app = host.app("refused");
    put(&host, &app, "PV", &["wan"]);
    let failed = host.wait(&app, "refusal", |s| s["AdaptersFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "IoAdapterList[0]: \"wan\": wan7 is a port of the host"
    );
    host.set_ports(&ports(&["eth0"]));
    host.wait_state(&app, "RUNNING");
    assert_eq!(devices(&host, &app), [NIC]);
}

#[test]
fn another_domain_gets_it_when_it_is_released_and_a_reboot_releases_nothing() {
    let host = started();
    let (first, second) = (host.app("first"), host.app("second"));
    let list = json!([{"Type": 1, "Name": "lan"}]);
    let action = "lab.action=reboot lab.after=12";
    host.put(&first, "PV", action, &json!({"IoAdapterList": list}));
    host.wait_state(&first, "RUNNING");
    put(&host, &second, "PV", &["wan", "lan"]);
    let failed = host.wait(&second, "refusal", |s| s["AdaptersFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        format!(
            "IoAdapterList[1]: \"lan\" is used by {} ({})",
            first.name(),
            first.key
        )
    );
    host.wait(&first, "a restart", |s| {
        s["Restarts"].as_u64() > Some(0) && s["StateName"] == "RUNNING"
    });
    assert_eq!(devices(&host, &first), [OTHER_NIC]);
    assert_eq!(host.status(&second).unwrap()["AdaptersFailed"], true);
    host.remove(&first);
    host.wait_state(&second, "RUNNING");
    assert_eq!(devices(&host, &second), [NIC, OTHER_NIC]);
}

#[test]
fn an_agent_that_is_killed_finds_the_devices_of_its_domain_again() {
    let mut host = started();
    let app = host.app("stays");
    put(&host, &app, "PV", &["wan"]);
    let up = host.wait_up(&app);
    host.kill();
    let other = host.app("comes");
    put(&host, &other, "PV", &["wan"]);
    host.start_again();
    let failed = host.wait(&other, "refusal", |s| s["AdaptersFailed"] == true);
    assert!(
        failed["LastErr"].as_str().unwrap().contains(&app.key),
        "{failed:#}"
    );
    let again = host.wait_state(&app, "RUNNING");
    assert_eq!(domid(&again), domid(&up));
    assert_eq!(devices(&host, &app), [NIC]);
}

/// A Linux that can be given devices while it runs.
const LINUX: &str = "type = 'pv'\nkernel = '/lab/guest/vmlinux'\nramdisk = '/lab/guest/initrd'\nmemory = 128\n\
    extra = 'console=hvc0 quiet'\ne820_host = 1\n";
/// A small guest that can be given devices, and knows nothing of them.
const TINY_HVM: &str = "type = 'hvm'\nkernel = '/share/guest/tiny-hvm'\nmemory = 32\n";

/// Starts a guest from a file of xl's.
fn with_file(host: &Host, app: &App, guest: &str) {
    let text = format!(
        "name = '{}'\nuuid = '{}'\npassthrough = 'enabled'\n{guest}",
        app.name(),
        app.key,
    );
    let path = host.path("auto").join(format!("{}.cfg", app.display_name));
    let part = path.with_extension("part.tmp");
    fs::write(&part, text).unwrap();
    fs::rename(part, path).unwrap();
    host.wait_up(app);
}

/// The number of PCI devices that the guest sees becomes `count`.
#[track_caller]
fn sees(host: &Host, app: &App, count: usize) {
    host.shell(app).run(&format!(
        "for i in $(seq 100); do [ $(ls /sys/bus/pci/devices | wc -l) = {count} ] && break; sleep 0.2; done; \
         [ $(ls /sys/bus/pci/devices | wc -l) = {count} ]"
    ));
}

#[test]
fn a_pci_device_comes_and_goes_by_order() {
    restore();
    let mut host = Host::start();
    let app = host.app("hot");
    with_file(&host, &app, LINUX);
    let name = app.name();
    let order = |host: &Host, verb: &str, what: &str| call(host, &[verb, &name, "pci", what]);
    let does = |host: &Host, verb: &str, what: &str| {
        let (code, said) = order(host, verb, what);
        assert_eq!(code, 0, "{verb} {what}: {said}");
    };
    let (code, said) = order(&host, "attach", USB);
    assert!(
        code == 1 && said.contains("not assignable"),
        "{code}: {said}"
    );
    assert_eq!(devices(&host, &app), [""; 0]);
    host.shell(&app).run("modprobe xen-pcifront");
    does(&host, "attach", &format!("{USB},seize=1"));
    assert_eq!(devices(&host, &app), [USB]);
    sees(&host, &app, 1);
    host.kill();
    host.start_again();
    let status = host.wait_state(&app, "RUNNING");
    assert_eq!(status["Changed"], json!([format!("attach pci {USB}")]));
    wait_for("the socket", || call(&host, &["show", &name]).0 == 0);
    does(&host, "detach", USB);
    assert_eq!(devices(&host, &app), [""; 0]);
    sees(&host, &app, 0);
    assert!(pciback(USB), "it stays assignable");
    does(&host, "attach", USB);
    sees(&host, &app, 1);
    // The next domain is built with it.
    let (code, said) = call(&host, &["restart", &name]);
    assert_eq!(code, 0, "{said}");
    let again = host.wait_state(&app, "RUNNING");
    assert_ne!(domid(&again), domid(&status));
    assert_eq!(devices(&host, &app), [USB]);
    sees(&host, &app, 1);
}

/// libxl would take the device from the guest, and not tell it: the guest's driver would access what is not there.
#[test]
fn a_guest_without_a_driver_for_them_keeps_its_pci_device() {
    restore();
    let host = Host::start();
    let app = host.app("clings");
    with_file(&host, &app, LINUX);
    let name = app.name();
    let usb = format!("{USB},seize=1");
    let (code, said) = call(&host, &["attach", &name, "pci", &usb]);
    assert_eq!(code, 0, "{said}");
    let detach = || call(&host, &["detach", &name, "pci", USB]);
    let (code, said) = detach();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("it has no driver for PCI devices"), "{said}");
    assert_eq!(devices(&host, &app), [USB]);
    let changed = json!([format!("attach pci {USB}")]);
    assert_eq!(host.status(&app).unwrap()["Changed"], changed);
    // With the driver it can let go of it.
    host.shell(&app).run("modprobe xen-pcifront");
    sees(&host, &app, 1);
    let (code, said) = detach();
    assert_eq!(code, 0, "{said}");
    assert_eq!(devices(&host, &app), [""; 0]);
    sees(&host, &app, 0);
    assert_eq!(host.status(&app).unwrap()["Changed"], json!([]));
}

/// The guest is asked to eject the device, and does not.
#[test]
fn an_hvm_guest_is_given_a_pci_device_and_keeps_it() {
    restore();
    let host = Host::start();
    let app = host.app("hvm");
    with_file(&host, &app, TINY_HVM);
    let name = app.name();
    let usb = format!("{USB},seize=1");
    let (code, said) = call(&host, &["attach", &name, "pci", &usb]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(devices(&host, &app), [USB]);
    let (code, said) = call(&host, &["detach", &name, "pci", USB]);
    println!("{said}");
    assert_eq!(code, 1, "{said}");
    assert_eq!(devices(&host, &app), [USB]);
    let before = domid(&host.status(&app).unwrap());
    let (code, said) = call(&host, &["restart", &name]);
    assert_eq!(code, 0, "{said}");
    let again = host.wait(&app, "another domain", |s| {
        s["StateName"] == "RUNNING" && domid(s) != before
    });
    assert_eq!(again["Changed"], json!([format!("attach pci {USB}")]));
    assert_eq!(devices(&host, &app), [USB]);
}
