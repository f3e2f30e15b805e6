//! Changes of running domains by the verbs, with the real program and a simulated Xen.

use std::fs;

use crate::common::{A, B, Host, domid};
use serde_json::{Value, json};

/// Returns the memory, processors and devices that domain `a.1` has in the simulated Xen.
fn live(host: &Host) -> String {
    host.xen(&["live", "a.1"])
}

fn started(changes: &Value) -> Host {
    let host = Host::start(&[]);
    host.put(A, changes);
    host.wait_state(A, "RUNNING");
    host
}

fn again(host: &mut Host) {
    host.kill();
    host.run(&[]);
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
}

fn file(host: &Host, name: &str) -> String {
    let path = host.path(name);
    fs::write(&path, [0; 4096]).unwrap();
    path.display().to_string()
}

const ROOMY: &str = "262144";

fn roomy() -> Value {
    json!({"MaxMem": ROOMY.parse::<u64>().unwrap(), "VCpus": 1, "MaxCpus": 2})
}

#[test]
fn memory_and_processors_are_changed_and_remembered() {
    let mut host = started(&roomy());
    let first = host.status(A).unwrap();
    let said = host.does(&["set", "a.1", "memory=192", "vcpus=2"]);
    assert!(said.contains("a.1: RUNNING, domain 1\n"), "{said}");
    assert!(live(&host).starts_with("memory 192/256 vcpus 2/2 "));
    let status = host.wait(A, "the memory", |s| s["Memory"] == 192 << 10);
    assert_eq!(domid(&status), domid(&first));
    assert_eq!(status["Changed"], json!(["set memory=192 vcpus=2"]));
    assert_eq!(status["Waiting"], json!([]));
    again(&mut host);
    assert_eq!(host.status(A).unwrap()["Changed"], status["Changed"]);
    host.does(&["restart", "a.1"]);
    assert!(live(&host).starts_with("memory 192/256 vcpus 2/2 "));
    // More than the domain that runs can have waits, and says so.
    let said = host.does(&["set", "a.1", "memory=512"]);
    let words = "a.1: RUNNING, domain 2; set memory=512 waits for the next start: the domain that runs can have 256 MiB at the most";
    assert!(said.contains(words), "{said}");
    assert!(live(&host).starts_with("memory 192/256 "));
    let json = host.does(&["set", "a.1", "memory=512", "--json"]);
    let reply: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    let waiting = reply["domain"]["waiting"].as_array().unwrap();
    assert_eq!(waiting.len(), 1, "{json}");
    host.does(&["restart", "a.1"]);
    assert!(live(&host).starts_with("memory 512/512 vcpus 2/2 "));
    assert_eq!(host.status(A).unwrap()["Waiting"], json!([]));
    let said = host.does(&["history", "a.1"]);
    assert!(said.contains("set memory=512 vcpus=2"), "{said}");
    // A newer file goes before.
    let mut newer = roomy();
    newer["UUIDandVersion"] = json!({"UUID": A, "Version": "2"});
    host.put(A, &newer);
    host.wait(A, "nothing remembered", |s| s["Changed"] == json!([]));
    assert!(live(&host).starts_with("memory 512/512 "));
    host.does(&["restart", "a.1"]);
    assert!(live(&host).starts_with("memory 128/256 vcpus 1/2 "));
    assert!(host.does(&["history", "a.1"]).contains("taken back"));
}

#[test]
fn each_refusal_has_its_words_and_its_exit_code() {
    let host = started(&roomy());
    for (words, code, reason) in [
        (
            vec!["set", "a.1", "memory=2"],
            1,
            "memory: 2 MiB, but a PV domain needs 4 at least",
        ),
        (
            vec!["set", "a.1", "vcpus=0"],
            1,
            "vcpus: 0, but a PV domain has 1 to 512",
        ),
        (
            vec!["set", "a.1", "weight=0"],
            1,
            "weight: 0, expected 1 to 65535",
        ),
        (
            vec!["set", "a.1", "cap=70000"],
            1,
            "cap: 70000, expected 0 to 65535",
        ),
        (
            vec!["set", "a.1", "cpus=7"],
            1,
            "cpus: \"7\" names none of the 2 processors of the host",
        ),
        (vec!["set", "a.1", "cpus=x"], 1, "cpus: "),
        (
            vec!["set", "a.1", "memory=x"],
            2,
            "memory: expected a number of MiB, found \"x\"",
        ),
        (
            vec!["set", "a.1", "maxmem=9"],
            2,
            "maxmem: expected memory, vcpus, cpus, weight or cap",
        ),
        (vec!["set", "a.1"], 2, "KEY=VALUE"),
        (vec!["set", "nobody", "memory=64"], 3, "no such domain"),
        (
            vec!["attach", "a.1", "tape", "x"],
            2,
            "invalid value 'tape'",
        ),
        (vec!["attach", "a.1", "disk", "/x,raw"], 1, "vdev"),
        (
            vec!["attach", "a.1", "disk", "/no/such,raw,xvdb,rw"],
            1,
            "disk: /no/such: No such file or directory",
        ),
        (
            vec!["attach", "a.1", "disk", "/etc,raw,xvdb,rw"],
            1,
            "disk: /etc: neither a plain file nor a block device",
        ),
        (
            vec!["attach", "a.1", "nic", "brigde=xenbr0"],
            1,
            "brigde: ignored; a NIC does not have it",
        ),
        (
            vec!["attach", "a.1", "nic", "type=ioemu"],
            1,
            "nic.type: a PV domain has no emulated cards",
        ),
        (
            vec!["attach", "a.1", "nic", "vifname=vif3.0"],
            1,
            "nic.vifname: \"vif3.0\" is a name that Xen itself gives",
        ),
        (
            vec!["attach", "a.1", "nic", "vifname=eth0"],
            1,
            "nic.vifname: the host has an interface \"eth0\" itself",
        ),
        (
            vec!["attach", "a.1", "pci", "00:14.0"],
            1,
            "pci: the devices of a domain that comes from a DomainConfig are those of its IoAdapterList",
        ),
        (
            vec!["attach", "a.1", "usb", "hostbus=1"],
            1,
            "usb: USB devices come and go with a start of the domain only",
        ),
        (
            vec!["detach", "a.1", "pci", "00:14.0"],
            1,
            "pci: the devices of a domain that comes from a DomainConfig",
        ),
        (
            vec!["detach", "a.1", "disk", "xvdz"],
            1,
            "disk: there is no xvdz, nor any other",
        ),
        (
            vec!["detach", "a.1", "nic", "vif1.0"],
            1,
            "nic: there is no vif1.0, nor any other",
        ),
        (
            vec!["insert", "a.1", "xvdc", "/x"],
            1,
            "xvdc: there is no such disk, nor any other",
        ),
        (
            vec!["eject", "a.1", "xvdc"],
            1,
            "xvdc: there is no such disk, nor any other",
        ),
    ] {
        host.fails(&words, code, reason);
    }
    assert_eq!(host.status(A).unwrap()["Changed"], json!([]));
    assert_eq!(
        live(&host),
        "memory 128/256 vcpus 1/2 cpus [] weight - cap - disks [] nics []"
    );
}

#[test]
fn what_the_guest_does_not_do_has_failed() {
    for (guest, words, reason) in [
        (
            "sim.noballoon",
            "memory=192",
            "memory: the guest has 128 MiB, and gets no nearer to 192 MiB",
        ),
        (
            "sim.least=100",
            "memory=64",
            "memory: the guest has 128 MiB, and gets no nearer to 64 MiB",
        ),
        (
            "sim.cpus",
            "vcpus=1",
            "vcpus: the guest uses 2 processors, and not 1",
        ),
    ] {
        let mut config = roomy();
        config["VCpus"] = json!(2);
        config["ExtraArgs"] = json!(guest);
        let host = started(&config);
        host.fails(&["set", "a.1", words], 1, reason);
        assert_eq!(host.status(A).unwrap()["Changed"], json!([]));
        assert!(live(&host).starts_with("memory 128/256 vcpus 2/2 "));
    }
}

#[test]
fn devices_come_and_go_and_are_remembered() {
    let mut host = started(&json!({"ExtraArgs": ""}));
    let data = file(&host, "data");
    host.does(&["attach", "a.1", "disk", &format!("{data},raw,xvdb,rw")]);
    let mac = "00:16:3e:01:02:03";
    host.does(&["attach", "a.1", "nic", &format!("mac={mac},vifname=web")]);
    let has = format!("disks [xvdb={data}] nics [{mac}]");
    assert!(live(&host).ends_with(&has), "{}", live(&host));
    let status = host.status(A).unwrap();
    assert_eq!(status["VifList"][0]["Vif"], "web");
    assert_eq!(status["DiskStatusList"][0]["Vdev"], "xvdb");
    assert_eq!(
        status["Changed"],
        json!(["attach disk xvdb", format!("attach nic {mac}")])
    );
    // It is what the domain was built from that is written down, as xl would read it.
    again(&mut host);
    host.xen(&["end", "a.1", "1"]);
    host.wait(A, "a reboot", |s| {
        s["Restarts"] == 1 && s["StateName"] == "RUNNING"
    });
    assert!(live(&host).ends_with(&has), "{}", live(&host));
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(
        cfg.contains(&format!("disk = [\"{data},raw,xvdb,rw\"]")),
        "{cfg}"
    );
    host.fails(
        &["attach", "a.1", "disk", &format!("{data},raw,xvdb,rw")],
        1,
        "disk: there is a xvdb already: xvdb",
    );
    host.does(&["detach", "a.1", "disk", "xvdb"]);
    host.does(&["detach", "a.1", "nic", "web"]);
    assert!(live(&host).ends_with("disks [] nics []"));
    assert_eq!(host.status(A).unwrap()["Changed"], json!([]));
    host.does(&["restart", "a.1"]);
    assert!(live(&host).ends_with("disks [] nics []"));
}

/// A disk that another domain has, by its file or by an operator's change, is refused.
#[test]
fn a_disk_has_one_owner() {
    let mut host = started(&json!({}));
    let data = file(&host, "data");
    let spec = format!("{data},raw,xvdb,rw");
    let theirs = json!({"DiskConfigList": [{"FileLocation": data, "Format": "raw"}]});
    host.put(B, &theirs);
    host.wait_state(B, "RUNNING");
    let reason = format!("disk: {data} is used by b.2 ({B})");
    host.fails(&["attach", "a.1", "disk", &spec], 1, &reason);
    assert!(live(&host).ends_with("disks [] nics []"));
    host.does(&["stop", "b.2"]);
    host.does(&["attach", "a.1", "disk", &spec]);
    // The next run of the agent refuses the disk as well.
    for _ in 0..2 {
        host.fails(
            &["start", "b.2"],
            1,
            &format!("{data} is used by a.1 ({A})"),
        );
        again(&mut host);
    }
    host.does(&["start", "b.2", "--no-wait"]);
    host.wait(B, "in use", |s| s["BootFailed"] == true);
    // The domain starts as soon as the disk is free.
    host.does(&["detach", "a.1", "disk", "xvdb"]);
    host.wait_state(B, "RUNNING");
}

#[test]
fn a_guest_that_does_not_let_go_keeps_its_disk() {
    let host = started(&json!({"ExtraArgs": "sim.clings"}));
    let data = file(&host, "data");
    host.does(&["attach", "a.1", "disk", &format!("{data},raw,xvdb,rw")]);
    host.fails(
        &["detach", "a.1", "disk", "xvdb"],
        1,
        "the guest does not let go of it",
    );
    assert_eq!(
        host.status(A).unwrap()["Changed"],
        json!(["attach disk xvdb"])
    );
    assert!(live(&host).contains("xvdb="));
    let theirs = json!({"DiskConfigList": [{"FileLocation": data, "Format": "raw"}]});
    host.put(B, &theirs);
    host.wait(B, "a refusal", |s| {
        s["LastErr"].as_str().unwrap().contains("is used by a.1")
    });
}

/// libxl and the agent wait for a guest for seconds, in which it may come up.
#[test]
fn a_guest_that_still_boots_does_it_when_it_is_up() {
    let mut config = roomy();
    config["ExtraArgs"] = json!("sim.deaf=6");
    let host = started(&config);
    host.does(&["set", "a.1", "memory=192"]);
    assert!(live(&host).starts_with("memory 192/256 "));
    config["ExtraArgs"] = json!("sim.deaf");
    let host = started(&config);
    host.fails(
        &["set", "a.1", "memory=192"],
        1,
        "the guest has 128 MiB, and gets no nearer to 192 MiB",
    );
}

#[test]
fn the_disc_in_a_drive_is_changed() {
    let host = Host::start(&[]);
    let (one, two) = (file(&host, "one.iso"), file(&host, "two.iso"));
    let drive = json!({"FileLocation": one, "Format": "iso", "Devtype": "cdrom"});
    host.put(
        A,
        &json!({"VirtualizationMode": "HVM", "DiskConfigList": [drive]}),
    );
    host.wait_state(A, "RUNNING");
    host.does(&["insert", "a.1", "xvda", &two]);
    assert!(live(&host).contains(&format!("disks [xvda={two}]")));
    host.does(&["restart", "a.1"]);
    assert!(live(&host).contains(&format!("disks [xvda={two}]")));
    host.does(&["eject", "a.1", "xvda"]);
    assert!(live(&host).contains("disks [xvda=-]"));
    host.fails(&["eject", "a.1", "xvda"], 1, "xvda: there is no disc in it");
    host.does(&["restart", "a.1"]);
    assert!(live(&host).contains("disks [xvda=-]"));
    host.fails(
        &["insert", "a.1", "xvda", "/no/such"],
        1,
        "disk: /no/such: No such file",
    );
    // Without an emulated drive there is no disc to change.
    host.put(
        A,
        &json!({"VirtualizationMode": "PV", "DiskConfigList": [drive_of(&one)]}),
    );
    host.wait(A, "the newer wish", |s| s["Changed"] == json!([]));
    host.does(&["restart", "a.1"]);
    host.fails(
        &["insert", "a.1", "xvda", &two],
        1,
        "xvda: the disc of a PV domain cannot be changed: detach it, and attach another",
    );
}

fn drive_of(path: &str) -> Value {
    json!({"FileLocation": path, "Format": "iso", "Devtype": "cdrom"})
}

#[test]
fn processors_are_pinned_and_shared() {
    let host = started(&roomy());
    host.does(&["set", "a.1", "cpus=0-1,^0", "weight=512", "cap=50"]);
    assert!(live(&host).contains("cpus [1] weight 512 cap 50 "));
    host.does(&["set", "a.1", "cap=0"]);
    assert!(live(&host).contains("cpus [1] weight 512 cap 0 "));
    host.does(&["restart", "a.1"]);
    assert!(live(&host).contains("cpus [1] weight 512 cap 0 "));
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(cfg.contains("cpu_weight = 512\ncap = 0\n"), "{cfg}");
    host.fails(
        &["set", "a.1", "cap=500"],
        1,
        "weight, cap: Cpu cap out of range",
    );
    assert!(live(&host).contains("cap 0 "));
}

/// A file of xl's is changed in the same way.
#[test]
fn a_domain_of_a_file_of_xls_is_changed() {
    let mut host = Host::new();
    fs::create_dir(host.path("auto")).unwrap();
    let data = file(&host, "data");
    let kernel = host.path("kernel").display().to_string();
    let text = format!(
        "name = 'a.1'\nuuid = '{A}'\ntype = 'pv'\nkernel = '{kernel}'\nmemory = 128\nmaxmem = 256\nvcpus = 1\nmaxvcpus = 2\n"
    );
    fs::write(host.path("auto/a.cfg"), text).unwrap();
    let dir = host.path("auto").display().to_string();
    host.run(&["--xl-dir", &dir]);
    host.wait_state(A, "RUNNING");
    host.does(&["set", "a.1", "memory=200", "vcpus=2", "cpus=1", "weight=9"]);
    host.does(&["attach", "a.1", "disk", &format!("{data},raw,xvdb,rw")]);
    host.does(&["attach", "a.1", "nic", "mac=00:16:3e:01:02:03"]);
    let has = format!(
        "memory 200/256 vcpus 2/2 cpus [1] weight 9 cap - disks [xvdb={data}] nics [00:16:3e:01:02:03]"
    );
    assert_eq!(live(&host), has);
    host.does(&["restart", "a.1"]);
    assert_eq!(live(&host), has);
}

/// A host with PCI devices, and a domain from a file of xl's with these lines.
fn with_pci(lines: &str) -> Host {
    let mut host = Host::new();
    host.xen(&["plug", "00:10.0", "e1000", "eth1"]);
    host.xen(&["plug", "00:14.0", "xhci_hcd"]);
    fs::create_dir(host.path("auto")).unwrap();
    let kernel = host.path("kernel").display().to_string();
    let text = format!("name = 'a.1'\nuuid = '{A}'\nkernel = '{kernel}'\nmemory = 128\n{lines}\n");
    fs::write(host.path("auto/a.cfg"), text).unwrap();
    let dir = host.path("auto").display().to_string();
    host.run(&["--xl-dir", &dir]);
    host.wait_state(A, "RUNNING");
    host
}

#[test]
fn a_pci_device_comes_and_goes() {
    let mut host = with_pci("type = 'pv'\npassthrough = 'enabled'\ne820_host = 1");
    let attach = |spec| ["attach", "a.1", "pci", spec];
    let detach = |which| ["detach", "a.1", "pci", which];
    for (words, reason) in [
        (
            attach("00:14.0"),
            "PCI device 0000:00:14.0 is not assignable",
        ),
        (
            attach("00:15.0,seize=1"),
            "there is no PCI device 0000:00:15.0",
        ),
        (attach("00:14"), "pci: "),
        (attach("00:14.*"), "pci: attach one function at a time"),
        (attach("00:14.0,seise=1"), "seise"),
        (
            detach("00:14.0"),
            "pci: there is no 0000:00:14.0, nor any other",
        ),
        (detach("usb"), "pci: \"usb\" is no PCI address"),
    ] {
        host.fails(&words, 1, reason);
    }
    host.does(&attach("00:14.0,seize=1"));
    assert!(
        live(&host).ends_with(" pci [0000:00:14.0]"),
        "{}",
        live(&host)
    );
    let status = host.status(A).unwrap();
    assert_eq!(status["Changed"], json!(["attach pci 0000:00:14.0"]));
    assert_eq!(status["Waiting"], json!([]));
    host.fails(&attach("00:14.0"), 1, "pci: it has 0000:00:14.0 already");
    host.fails(
        &detach("00:10.0"),
        1,
        "pci: there is no 0000:00:10.0, but 0000:00:14.0",
    );
    // A device's state is not in the memory of its domain.
    host.fails(&["save", "a.1"], 1, "it has devices of the host");
    let dir = host.path("auto").display().to_string();
    host.kill();
    host.run(&["--xl-dir", &dir]);
    host.until("the socket", || host.verb(&["show", "a.1"]).0 == 0);
    host.does(&["restart", "a.1"]);
    assert!(
        live(&host).ends_with(" pci [0000:00:14.0]"),
        "{}",
        live(&host)
    );
    host.does(&detach("0000:00:14.0"));
    assert!(live(&host).ends_with(" nics []"), "{}", live(&host));
    assert_eq!(host.status(A).unwrap()["Changed"], json!([]));
    // It is assignable now.
    host.does(&attach("00:14.0"));
    assert!(
        live(&host).ends_with(" pci [0000:00:14.0]"),
        "{}",
        live(&host)
    );
}

#[test]
fn each_of_two_pci_devices_is_shown_as_there() {
    let host = with_pci("type = 'pv'\npassthrough = 'enabled'\ne820_host = 1");
    for address in ["00:14.0", "00:10.0"] {
        host.does(&["attach", "a.1", "pci", &format!("{address},seize=1")]);
    }
    let status = host.status(A).unwrap();
    assert_eq!(status["Waiting"], json!([]));
    assert_eq!(status["PciList"], json!(["0000:00:14.0", "0000:00:10.0"]));
    host.fails(
        &["detach", "a.1", "pci", "00:14.*"],
        1,
        "pci: detach one function at a time",
    );
}

/// A boot that a waiting change has made impossible is tried again without it.
#[test]
fn a_device_that_is_not_there_is_taken_back() {
    let host = with_pci("type = 'pv'");
    host.does(&["attach", "a.1", "pci", "00:15.0"]);
    host.fails(
        &["restart", "a.1"],
        1,
        "there is no PCI device 0000:00:15.0",
    );
    host.wait(A, "the failure", |s| s["BootFailed"] == true);
    host.does(&["detach", "a.1", "pci", "00:15.0"]);
    let up = host.wait_state(A, "RUNNING");
    assert_eq!((&up["Changed"], &up["LastErr"]), (&json!([]), &json!("")));
}

/// Xen cannot give a device to a domain that was built without the means for it.
#[test]
fn a_pci_device_waits_for_a_domain_that_can_have_it() {
    for (lines, why) in [
        ("type = 'pv'", "was built without passthrough"),
        ("type = 'pv'\npassthrough = 'enabled'", "e820_host=1"),
        ("type = 'hvm'", "was built without passthrough"),
    ] {
        let host = with_pci(lines);
        let said = host.does(&["attach", "a.1", "pci", "00:14.0,seize=1"]);
        let waits = "attach pci 0000:00:14.0 waits for the next start: the domain that runs";
        assert!(said.contains(waits) && said.contains(why), "{said}");
        assert!(live(&host).ends_with(" nics []"), "{}", live(&host));
        host.does(&["restart", "a.1"]);
        assert!(
            live(&host).ends_with(" pci [0000:00:14.0]"),
            "{}",
            live(&host)
        );
        assert_eq!(host.status(A).unwrap()["Waiting"], json!([]));
        // A domain that has had one can have it again.
        host.does(&["detach", "a.1", "pci", "00:14.0"]);
        host.does(&["attach", "a.1", "pci", "00:14.0"]);
        assert!(
            live(&host).ends_with(" pci [0000:00:14.0]"),
            "{}",
            live(&host)
        );
    }
    for (lines, why) in [
        (
            "type = 'pvh'",
            "pci: Xen gives no PCI devices to a PVH domain",
        ),
        (
            "type = 'pv'\npassthrough = 'disabled'",
            "pci: the domain's file says passthrough",
        ),
        (
            "type = 'hvm'\nmaxmem = 256",
            "pci: an HVM domain can have devices only if",
        ),
    ] {
        let host = with_pci(lines);
        host.fails(&["attach", "a.1", "pci", "00:14.0,seize=1"], 1, why);
    }
}

#[test]
fn a_guest_that_does_not_let_go_of_a_pci_device_keeps_it() {
    let host = with_pci("type = 'pv'\npci = ['00:14.0,seize=1']\nextra = 'sim.clings'");
    host.fails(
        &["detach", "a.1", "pci", "00:14.0"],
        1,
        "does not let go of it",
    );
    assert!(
        live(&host).ends_with(" pci [0000:00:14.0]"),
        "{}",
        live(&host)
    );
    assert_eq!(host.status(A).unwrap()["Changed"], json!([]));
}

/// Nothing else needs a domain's thread as long: one that hangs in a change is stopped nevertheless.
#[test]
fn a_stop_ends_a_change_that_takes_long() {
    let mut host = Host::new();
    host.speed = 1;
    host.run(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.clings sim.stop=0"}));
    host.wait_state(A, "RUNNING");
    let data = file(&host, "data");
    host.does(&["attach", "a.1", "disk", &format!("{data},raw,xvdb,rw")]);
    let said = host.does(&["detach", "a.1", "disk", "xvdb", "--no-wait"]);
    assert!(said.contains("a.1: accepted as job "), "{said}");
    host.does(&["stop", "--destroy", "a.1"]);
    assert_eq!(host.domains(), 0);
}
