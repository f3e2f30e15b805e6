//! Acceptance tests of the agent as a whole, case by case, with the real program and a simulated Xen. The live tests have
//! the same cases under the same numbers where they touch Xen.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::adapters::{self, NOBODY, bundle, device, put_ports, wants};
use crate::common::disks::{SLOWLY, copies, copy, disks, image, with};
use crate::common::{A, B, Host, domid};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NEVER: &str = "0001-01-01T00:00:00Z";

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

/// Returns the number of times that the agent has logged `text`.
fn said(host: &Host, text: &str) -> usize {
    host.log().matches(text).count()
}

#[test]
fn acceptance_01_a_config_becomes_a_running_domain() {
    let host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.create=20"}));
    let early = host.wait(A, "taken on", |s| s["PendingAdd"] == true);
    assert_eq!((domid(&early), &early["Activated"]), (0, &json!(false)));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["PendingAdd"], false);
    assert!(domid(&up) > 0);
    assert_ne!(up["BootTime"], NEVER);
    assert_eq!(
        (&up["BootFailed"], &up["TriedCount"]),
        (&json!(false), &json!(1))
    );
}

#[test]
fn acceptance_02_a_boot_is_tried_three_times_and_once_after_the_retry_time() {
    let host = Host::start_slowly(&["--config", "timer.boot.retry:10"]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-create=4"}));
    for n in 1..3 {
        let failed = host.wait(A, "a failed try", |s| {
            s["TriedCount"] == n && s["NextRetry"] != NEVER
        });
        let pause = time(&failed["NextRetry"]) - time(&failed["LastErrTime"]);
        assert_eq!(pause, Duration::from_secs(5));
        assert_eq!(failed["BootFailed"], false);
    }
    let failed = host.wait(A, "failure", |s| s["BootFailed"] == true);
    assert_eq!(failed["TriedCount"], 3);
    assert_ne!(failed["LastErr"], "");
    let pause = time(&failed["NextRetry"]) - time(&failed["LastErrTime"]);
    assert_eq!(pause, Duration::from_secs(10));
    let later = host.wait(A, "one more try", |s| s["TriedCount"] == 4);
    assert_eq!(
        later["LastErr"], failed["LastErr"],
        "still true while it is tried"
    );
    let up = host.wait_state(A, "RUNNING");
    assert_eq!((&up["TriedCount"], &up["LastErr"]), (&json!(5), &json!("")));
    assert_eq!(up["BootFailed"], false);
}

#[test]
fn acceptance_03_a_wish_to_stop_ends_the_wait_for_a_retry() {
    let host = Host::start(&["--config", "timer.boot.retry:20"]);
    host.put(A, &json!({"ExtraArgs": "sim.fail-create=3"}));
    host.wait(A, "failure", |s| s["BootFailed"] == true);
    host.put(
        A,
        &json!({"ExtraArgs": "sim.fail-create=3", "Activate": false}),
    );
    let down = host.wait_state(A, "HALTED");
    assert_eq!(
        (&down["BootFailed"], &down["LastErr"]),
        (&json!(false), &json!(""))
    );
    assert_eq!(down["NextRetry"], NEVER);
    let tries = said(&host, "starting a.1");
    assert_eq!(tries, 3);
    // Twice the retry time later.
    std::thread::sleep(Duration::from_secs(40) / host.speed);
    assert_eq!(said(&host, "starting a.1"), tries);
    assert_eq!(host.status(A).unwrap()["StateName"], "HALTED");
}

/// The delays are measured in `head_of_line.rs`.
#[test]
fn acceptance_04_neither_a_stuck_shutdown_nor_a_copy_keeps_anybody_waiting() {
    const C: &str = "cccccccc-0000-4000-8000-000000000003";
    let mut host = Host::new();
    host.speed = 1;
    image(&host, crate::common::disks::HASH, &vec![1; 20_000_000]);
    host.run(&["--simulate-copy-rate", "1000000"]);
    host.put(A, &json!({"ExtraArgs": "sim.stubborn"}));
    host.wait_state(A, "RUNNING");
    host.put(A, &json!({"ExtraArgs": "sim.stubborn", "Activate": false}));
    host.wait_state(A, "HALTING");
    host.put(B, &disks(&json!({})));
    crate::common::disks::wait_copying(&host, B);
    let begin = Instant::now();
    host.put(C, &json!({}));
    host.wait_state(C, "RUNNING");
    let dir = host.path("run/GlobalConfig");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("global.json"), r#"{"DomainBootRetryTime": 77}"#).unwrap();
    host.signal("-HUP");
    host.wait_log("settings changed");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(host.status(A).unwrap()["StateName"], "HALTING");
    assert_eq!(host.status(B).unwrap()["StateName"], "BOOTING");
}

#[test]
fn acceptance_05_a_reboot_gives_a_new_domain_and_keeps_everything() {
    let host = adapters::started();
    let reboots = with(
        wants(&["COM1"]),
        "ExtraArgs",
        json!("lab.action=reboot lab.after=30 sim.once"),
    );
    host.put(A, &reboots);
    let first = host.wait_state(A, "RUNNING");
    let second = host.wait(A, "a restart", |s| {
        let state = s["StateName"].as_str().unwrap();
        assert!(
            ["RUNNING", "BOOTING", "HALTING"].contains(&state),
            "{state}"
        );
        assert_eq!(bundle(&host, "COM1")["UsedByUUID"], A);
        s["StateName"] == "RUNNING" && domid(s) != domid(&first)
    });
    assert!(time(&second["BootTime"]) > time(&first["BootTime"]));
    assert_eq!(second["Restarts"], 1);
    assert_eq!(said(&host, " created"), 2, "one create for each start");
    assert_eq!(host.domains(), 1);
}

#[test]
fn acceptance_06_a_suspend_is_no_end_and_what_follows_is_heard() {
    let host = adapters::started();
    image(&host, crate::common::disks::HASH, b"image");
    let config = with(
        wants(&["COM1"]),
        "DiskConfigList",
        disks(&json!({}))["DiskConfigList"].clone(),
    );
    // Its death takes a while, so that one can see what is given up when.
    let config = with(config, "ExtraArgs", json!("sim.destroy=20"));
    host.put(A, &config);
    let up = host.wait_state(A, "RUNNING");
    let id = domid(&up).to_string();
    host.xen(&["suspend", &id]);
    host.wait_state(A, "SUSPENDED");
    std::thread::sleep(Duration::from_secs(40) / host.speed);
    let steps = host.log().lines().count();
    std::thread::sleep(Duration::from_secs(10) / host.speed);
    assert!(
        host.log().lines().count() <= steps + 2,
        "no busy loop:\n{}",
        host.log()
    );
    assert_eq!(host.status(A).unwrap()["StateName"], "SUSPENDED");
    host.xen(&["resume", &id]);
    host.xen(&["end", &id, "0"]);
    host.wait(A, "the end", |s| s["ShutdownReason"] == "poweroff");
    // Shut down is not dead: it still has what it had.
    let ours = format!("{id} {A} ");
    host.until("its death", || {
        // In this order: between the two it may have died.
        let has = bundle(&host, "COM1")["UsedByUUID"] == A && copy(&host, A).exists();
        let list = host.xen(&["list"]);
        let there = |d: &str| d.starts_with(&ours) && !d.ends_with("Dying");
        let there = list.split("; ").any(there);
        assert!(has || !there, "given up while the domain is there");
        !there
    });
    host.wait_state(A, "HALTED");
    host.until("all is given up", || {
        bundle(&host, "COM1")["UsedByUUID"] == NOBODY
    });
    host.put(A, &with(config, "Activate", json!(false)));
    host.until("no copy", || copies(&host).is_empty());
}

#[test]
fn acceptance_07_a_death_without_a_shutdown_is_an_outsiders() {
    let host = Host::start(&[
        "--config",
        "domain.poweroff.policy:retry",
        "--config",
        "timer.boot.retry:10",
    ]);
    host.put(A, &json!({}));
    host.put(
        B,
        &json!({"ExtraArgs": "lab.action=poweroff lab.after=20 sim.once"}),
    );
    let up = host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
    host.xen(&["destroy", &domid(&up).to_string()]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!((&down["Vanished"], domid(&down)), (&json!(true), 0));
    assert_eq!(down["ShutdownReason"], "destroyed from outside");
    // The policy is for guests that ended by themselves. This one may live on elsewhere.
    host.wait(B, "a retry", |s| {
        domid(s) > 2 && s["StateName"] == "RUNNING"
    });
    std::thread::sleep(Duration::from_secs(30) / host.speed);
    assert_eq!(host.status(A).unwrap()["StateName"], "HALTED");
    host.put(A, &json!({"ExtraArgs": "anew"}));
    host.wait_state(A, "RUNNING");
}

#[test]
fn acceptance_08_a_guest_is_asked_then_asked_otherwise_then_destroyed() {
    const C: &str = "cccccccc-0000-4000-8000-000000000003";
    let host = Host::start_slowly(&[
        "--config",
        "timer.shutdown.graceful:10",
        "--config",
        "timer.shutdown.forced:10",
    ]);
    // One that obeys, one without PV drivers that does not, and one that cannot be destroyed at first.
    let without = json!({"VirtualizationMode": 1, "ExtraArgs": "sim.nopv sim.stubborn"});
    let stuck = json!({"ExtraArgs": "sim.stubborn sim.fail-destroy=2"});
    host.put(A, &json!({}));
    host.put(B, &without);
    host.put(C, &stuck);
    let [a, b, c] = [A, B, C].map(|key| domid(&host.wait_state(key, "RUNNING")));
    host.put(A, &json!({"Activate": false}));
    host.wait_state(A, "HALTED");
    assert_eq!(
        said(&host, &format!("domain {a} does not shut down")),
        0,
        "it obeyed"
    );
    host.put(B, &with(without, "Activate", json!(false)));
    host.put(C, &with(stuck, "Activate", json!(false)));
    let failed = host.wait(C, "the error", |s| s["LastErr"] != "");
    assert_eq!((&failed["Activated"], domid(&failed)), (&json!(true), c));
    let words =
        format!("domain {c} could not be destroyed, next try in 5 s: destroy failed (simulated)");
    assert_eq!(failed["LastErr"], words);
    let down = host.wait_state(C, "HALTED");
    assert_eq!(down["Activated"], false);
    host.wait_state(B, "HALTED");
    let log = host.log();
    let at = |text: String| log.find(&text).unwrap_or_else(|| panic!("{text}\n{log}"));
    let asked = at(format!("asking domain {b} to shut down"));
    let pressed = at(format!("pressing the power button of domain {b}"));
    let destroyed = at(format!("domain {b} does not shut down; destroying it"));
    assert!(asked < pressed && pressed < destroyed);
    assert_eq!(host.domains(), 0);
}

#[test]
fn acceptance_09_a_killed_agent_finds_its_domains_again() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.put(B, &json!({}));
    let before = host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
    host.kill();
    host.remove(B);
    host.run(&[]);
    host.wait_log(&format!("domain {} found", domid(&before)));
    host.wait_gone(B);
    let after = host.wait_state(A, "RUNNING");
    assert_eq!(
        (domid(&after), &after["BootTime"]),
        (domid(&before), &before["BootTime"])
    );
    assert_eq!(said(&host, " created"), 2, "no second create");
    assert_eq!(host.domains(), 1);
}

#[test]
fn acceptance_10_an_adapter_of_another_domain_is_named_and_had_once_it_is_free() {
    let host = adapters::started();
    host.put(A, &wants(&["eth1"]));
    host.wait_state(A, "RUNNING");
    host.put(B, &wants(&["eth1"]));
    let refused = host.wait(B, "adapters", |s| s["AdaptersFailed"] == true);
    assert_eq!(
        refused["LastErr"],
        format!("IoAdapterList[0]: \"eth1\" is used by a.1 ({A})")
    );
    host.remove(A);
    let up = host.wait_state(B, "RUNNING");
    assert_eq!(
        (&up["AdaptersFailed"], &up["LastErr"]),
        (&json!(false), &json!(""))
    );
}

#[test]
fn acceptance_11_what_the_host_needs_is_left_to_it() {
    let mut host = adapters::plugged();
    adapters::put_model(&host);
    let ports = |testing: bool, names: &[&str]| {
        let ports: Vec<Value> = names
            .iter()
            .map(|n| json!({"IfName": n, "Name": n}))
            .collect();
        let status = json!({"Testing": testing, "Ports": ports});
        adapters::put(&host, "run/DeviceNetworkStatus/global.json", &status);
    };
    ports(true, &["eth0"]);
    let off = ["--config", "debug.enable.usb:false"];
    let on = ["--config", "debug.enable.usb:true"];
    host.run(&off);
    let driver = |host: &Host, address: &str| device(host, address)[0].clone();
    // While the ports are being tested no Ethernet adapter is taken; USB controllers are.
    host.until("USB is taken", || driver(&host, "00:14.0") == "pciback");
    for address in ["00:10.0", "00:11.0", "00:12.0", "00:13.0"] {
        assert_eq!(device(&host, address)[3], "0", "never moved: {address}");
    }
    put_ports(&host, &["eth0"]);
    host.until("eth1 is taken", || driver(&host, "00:11.0") == "pciback");
    put_ports(&host, &["eth0", "eth1"]);
    host.until("eth1 is back", || {
        device(&host, "00:11.0")[..2] == ["e1000", "eth1"]
    });
    assert_eq!(device(&host, "00:10.0")[3], "0", "a port is never taken");
    host.stop();
    host.run(&on);
    host.until("USB is back", || driver(&host, "00:14.0") == "xhci_hcd");
    host.put(A, &wants(&["USB"]));
    host.wait_state(A, "RUNNING");
    host.signal("-HUP");
    assert_eq!(driver(&host, "00:14.0"), "pciback", "a domain has it");
}

#[test]
fn acceptance_12_preserved_disks_stay_others_are_fresh_and_half_ones_are_made_again() {
    let mut host = Host::start(&[]);
    let content: Vec<u8> = (1..=251).cycle().take(10_000_000).collect();
    image(&host, crate::common::disks::HASH, &content);
    let kept = disks(&json!({"Preserve": true}));
    let fresh = disks(&json!({}));
    for (key, config) in [(A, &kept), (B, &fresh)] {
        host.put(key, config);
        host.wait_state(key, "RUNNING");
        fs::write(copy(&host, key), "written").unwrap();
        host.put(key, &with(config.clone(), "Activate", json!(false)));
        host.wait_state(key, "HALTED");
        host.put(key, config);
        host.wait_state(key, "RUNNING");
    }
    assert_eq!(fs::read(copy(&host, A)).unwrap(), b"written");
    assert!(fs::read(copy(&host, B)).unwrap() == content);
    for key in [A, B] {
        host.remove(key);
        host.wait_gone(key);
    }
    assert_eq!(copies(&host), [""; 0]);
    // Killed in the middle of a copy.
    host.stop();
    host.run(&SLOWLY);
    host.put(A, &kept);
    crate::common::disks::wait_copying(&host, A);
    host.kill();
    host.run(&[]);
    host.wait_state(A, "RUNNING");
    assert!(fs::read(copy(&host, A)).unwrap() == content);
}

#[test]
fn acceptance_13_files_of_eve_are_read_as_they_are() {
    let mut host = adapters::plugged();
    adapters::put(
        &host,
        "run/model/default.json",
        &json!({"Initialized": false, "IoBundleList": [
            {"Type": 1, "Name": "eth1", "Members": ["eth1"], "UsedByUUID": NOBODY, "Lookup": true, "PciLong": "",
             "PciShort": "", "XenCfg": "", "Unique": "", "MPciLong": null, "MPciShort": null, "MUnique": null,
             "IsPCIBack": false, "IsPort": false, "Newer": {"a": [1]}},
            {"Type": 2, "Name": "USB", "Members": ["USB0"], "PciLong": "0000:00:14.0", "Pcishort": "00:14.0"}]}),
    );
    let port = json!({"IfName": "eth0", "Name": "mgmt0", "IsMgmt": true, "Free": true, "Dhcp": 4, "AddrInfoList": null,
        "NtpServer": "", "Subnet": {"IP": "", "Mask": null}, "Error": ""});
    let status = json!({"Version": 1, "Testing": false, "Ports": [port], "DPCKey": "zedagent"});
    adapters::put(&host, "run/DeviceNetworkStatus/global.json", &status);
    let global = json!({"ConfigInterval": 60, "DomainBootRetryTime": 0, "VdiskGCTime": 0, "UsbAccess": false,
        "DefaultLogLevel": "info", "AgentSettings": null, "SshAccess": true});
    adapters::put(&host, "run/GlobalConfig/global.json", &global);
    host.run(&[]);
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"{A}","Version":"1"}},"DisplayName":"eve","Activate":true,"AppNum":9,
        "kernel":{:?},"Ramdisk":"","memory":524288,"MaxMem":0,"VCpus":0,"MaxCpus":0,"RootDev":"","ExtraArgs":"",
        "BootLoader":"","CPUs":"","DeviceTree":"","DtDev":null,"IRQs":null,"IOMem":null,"VirtualizationMode":0,
        "EnableVnc":false,"VncDisplay":0,"VncPasswd":"","DiskConfigList":null,"VifList":null,
        "IoAdapterList":[{{"Type":1,"Name":"eth1"}}],"CloudInitUserData":null,"Errors":[],"Newer":{{"x":null}}}}"#,
        host.path("kernel").to_str().unwrap()
    );
    host.put_text(&format!("{A}.json"), &text);
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(
        (&up["DomainName"], &up["LastErr"]),
        (&json!("eve.9"), &json!(""))
    );
    host.until("USB is taken", || device(&host, "00:14.0")[0] == "pciback");
    assert_eq!(device(&host, "00:10.0")[3], "0", "the port stays");
}

#[test]
fn acceptance_14_temporary_files_are_ignored_and_a_rename_is_one_change() {
    let host = Host::start(&[]);
    fs::write(host.path("config/pubsub123456"), "{").unwrap();
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    // The log tells of a status after its file is there, and of this one before the next line.
    host.until("the log has it", || said(&host, "domain 1 running") == 1);
    let steps = said(&host, "RUNNING 1");
    host.put(A, &json!({"UUIDandVersion": {"UUID": A, "Version": "2"}}));
    host.wait(A, "the new version", |s| {
        s["UUIDandVersion"]["Version"] == "2"
    });
    std::thread::sleep(Duration::from_millis(300));
    // One status when the change is noticed and one when it is done, but none for the temporary file or the rename.
    let news = said(&host, "RUNNING 1") - steps;
    assert!((1..=2).contains(&news), "{news}\n{}", host.log());
    assert_eq!(said(&host, " created"), 1);
    let status = host.status(A).unwrap();
    assert_eq!(
        (&status["PendingModify"], &status["LastErr"]),
        (&json!(false), &json!(""))
    );
}

#[test]
fn acceptance_15_text_never_becomes_syntax() {
    let host = Host::start(&[]);
    host.put(A, &json!({"DisplayName": "x\"\nkernel=\"/etc/passwd"}));
    let refused = host.wait(A, "refused", |s| s["LastErr"] != "");
    let file = host.path("config").join(format!("{A}.json"));
    let words = format!(
        "{}: DisplayName: '\"' cannot be in the name of a domain",
        file.display()
    );
    assert_eq!((&refused["LastErr"], domid(&refused)), (&json!(words), 0));
    assert!(!host.path("run/xen/xen1.cfg").exists());
    // Allowed text is quoted. The live tests show that `xl create -n` reads the golden texts to the same configuration.
    let nasty = "\" kernel='/etc/passwd' \\ #";
    host.put(A, &json!({"ExtraArgs": nasty}));
    host.wait_state(A, "RUNNING");
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    let kernels: Vec<&str> = cfg.lines().filter(|l| l.starts_with("kernel")).collect();
    assert_eq!(kernels.len(), 1, "{cfg}");
    assert!(kernels[0].ends_with("/kernel\""), "{cfg}");
}
