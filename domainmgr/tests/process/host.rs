//! The agent and its host: figures, requirements and events, with the real program and a simulated Xen.

use std::fs;
use std::process::Command;

use crate::common::{A, B, Host, disks, domid};
use serde_json::{Value, json};

const WHOLE: &str = "00000000-0000-0000-0000-000000000000";

fn metric(host: &Host, key: &str) -> Value {
    let path = host.path(&format!("run/DomainMetric/{key}.json"));
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[test]
fn what_domains_and_the_host_use_is_said() {
    let mut host = Host::start(&["--config", "timer.metric.interval:5"]);
    host.put(A, &json!({"Memory": 128 << 10}));
    let up = host.wait_state(A, "RUNNING");
    host.until("figures", || metric(&host, A)["Activated"] == true);
    let first = metric(&host, A);
    assert_eq!(first["UUIDandVersion"], json!({"UUID": A, "Version": "1"}));
    assert_eq!(
        (&first["UsedMemory"], &first["MaxUsedMemory"]),
        (&json!(128), &json!(128))
    );
    assert_eq!(first["CPUScaled"], 1);
    let time = |m: &Value| m["CPUTotalNs"].as_u64().unwrap();
    host.until("it goes on", || time(&metric(&host, A)) > time(&first));
    let whole = metric(&host, WHOLE);
    assert_eq!(whole["CPUScaled"], 2);
    assert_eq!(whole["UsedMemory"], 128);
    let text = fs::read(host.path("run/HostMemory/global.json")).unwrap();
    let memory: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (
            &memory["TotalMemoryMB"],
            &memory["FreeMemoryMB"],
            &memory["Ncpus"]
        ),
        (&json!(8192), &json!(8192 - 128), &json!(2))
    );
    // A domain that is down uses nothing. Its maximum is remembered.
    host.xen(&["end", &domid(&up).to_string(), "0"]);
    host.wait_state(A, "HALTED");
    host.until("nothing", || metric(&host, A)["Activated"] == false);
    let last = metric(&host, A);
    assert_eq!(
        (&last["UsedMemory"], &last["MaxUsedMemory"]),
        (&json!(0), &json!(128))
    );
    // A key that went while the agent was away has no figures.
    host.stop();
    fs::write(host.path(&format!("run/DomainMetric/{B}.json")), "{}").unwrap();
    host.run(&["--config", "timer.metric.interval:5"]);
    host.until("B's to go", || metric(&host, B).is_null());
    host.remove(A);
    host.until("A's to go", || metric(&host, A).is_null());
}

const HVM: u8 = 1;

#[test]
fn the_death_of_a_device_model_is_noticed() {
    let host = Host::start(&[]);
    host.put(A, &json!({"VirtualizationMode": HVM}));
    host.put(B, &json!({"VirtualizationMode": HVM}));
    let up = host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
    let id = domid(&up).to_string();
    host.xen(&["kill-qemu", &id]);
    let broken = host.wait_state(A, "BROKEN");
    let words = format!(
        "the device model (QEMU) of domain {id} has ended, and the devices it had with it: deactivate the domain and \
         activate it again; /var/log/xen/qemu-dm-<name>.log may say why"
    );
    assert_eq!(
        (&broken["LastErr"], &broken["StateReason"]),
        (&json!(words), &json!(words))
    );
    assert_eq!(
        (&broken["State"], &broken["Activated"]),
        (&json!(7), &json!(true))
    );
    assert_eq!(host.status(B).unwrap()["StateName"], "RUNNING");
    // Following the advice in the message removes the error.
    host.put(A, &json!({"VirtualizationMode": HVM, "Activate": false}));
    host.wait_state(A, "HALTED");
    host.put(A, &json!({"VirtualizationMode": HVM}));
    let again = host.wait_state(A, "RUNNING");
    assert_eq!(again["LastErr"], "");
    assert_eq!(
        host.log().matches("(QEMU) of domain").count(),
        1,
        "said once"
    );
}

#[test]
fn a_domain_is_built_again_without_its_device_model_if_that_is_wished() {
    let host = Host::start(&[]);
    let config = json!({"VirtualizationMode": HVM, "OnDeviceModelExit": "restart"});
    host.put(A, &config);
    let id = domid(&host.wait_state(A, "RUNNING"));
    host.xen(&["kill-qemu", &id.to_string()]);
    let again = host.wait(A, "another domain", |s| {
        s["StateName"] == "RUNNING" && domid(s) != id
    });
    assert_eq!(again["ShutdownReason"], "the device model ended");
    assert_eq!(again["ShutdownAction"], "restart");
    assert_eq!(
        (&again["Restarts"], &again["LastErr"]),
        (&json!(1), &json!(""))
    );
    assert_eq!(host.domains(), 1);
}

/// A destroy ends the device model before the domain. Such an end is not reported.
#[test]
fn a_device_model_that_goes_with_its_domain_is_not_missed() {
    let host = Host::start(&[]);
    let config = json!({"VirtualizationMode": HVM, "ExtraArgs": "sim.destroy=5 sim.stubborn"});
    host.put(A, &config);
    let up = host.wait_state(A, "RUNNING");
    let id = domid(&up).to_string();
    host.xen(&["kill-qemu", &id]);
    host.xen(&["destroy", &id]);
    host.wait_state(A, "HALTED");
    host.put(
        A,
        &json!({"VirtualizationMode": HVM, "ExtraArgs": "sim.destroy=5"}),
    );
    host.wait_state(A, "RUNNING");
    host.remove(A);
    host.wait_gone(A);
    assert!(
        !host.log().contains("has ended, and the devices"),
        "{}",
        host.log()
    );
}

#[test]
fn a_missing_qemu_of_dom0_is_named() {
    let mut host = Host::new();
    host.speed = crate::common::SLOW;
    host.xen(&["dom0-qemu", "off"]);
    host.run(&["--config", "timer.boot.retry:20"]);
    let disk = host.path("disk.qcow2");
    fs::write(&disk, disks::qcow2(&[], 4 << 16)).unwrap();
    let other = host.path("other.qcow2");
    fs::copy(&disk, &other).unwrap();
    let config = json!({
        "Kernel": "", "BootLoader": "/usr/bin/pygrub",
        "DiskConfigList": [{"FileLocation": disk, "Format": "qcow2"}],
    });
    host.put(A, &config);
    let failed = host.wait(A, "failure", |s| {
        s["BootFailed"] == true || s["LastErr"] != ""
    });
    let words = failed["LastErr"].as_str().unwrap();
    assert_eq!(
        words,
        "boot try 1 of 3 failed: DiskConfigList[0].Format: the BootLoader reads a qcow2 disk through the QEMU of dom0 \
         (qemu-system-i386 -xen-domid 0), which is not running: start it \
         (/etc/init.d/xen start, or xencommons start), or give a raw disk, or a Kernel instead of a BootLoader"
    );
    // A domain that does not need the QEMU of dom0 does not wait for it.
    host.put(
        B,
        &json!({"DiskConfigList": [{"FileLocation": other, "Format": "qcow2"}]}),
    );
    host.wait_state(B, "RUNNING");
    host.xen(&["dom0-qemu", "on"]);
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["LastErr"], "");
}

#[test]
fn dom0_gives_memory_back_where_it_may() {
    let mut host = Host::start_slowly(&["--simulate-memory", "1024"]);
    host.until("it runs", || host.path("xen.json.sock").exists());
    host.xen(&["dom0-spare", "1000"]);
    host.put(A, &json!({"Memory": 1500 << 10}));
    host.wait_state(A, "RUNNING");
    host.put(B, &json!({"Memory": 1_000 << 10}));
    let failed = host.wait(B, "failure", |s| s["BootFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "boot failed: Memory: the domain needs 1000 MiB, 524 MiB are free, and dom0 gives no more back: stop another \
         domain, or ask for less"
    );
    // A domain that runs, and grows, gets it as well.
    host.xen(&["dom0-spare", "300"]);
    host.remove(B);
    host.wait_gone(B);
    host.put(A, &json!({"Memory": 1000 << 10, "MaxMem": 3000 << 10}));
    host.does(&["restart", "a.1"]);
    host.does(&["set", "a.1", "memory=2200"]);
    host.fails(
        &["set", "a.1", "memory=2500"],
        1,
        "memory: the domain needs 300 MiB, 124 MiB are free, and dom0 gives no more back",
    );
    host.does(&["set", "a.1", "memory=1800"]);
    host.put(B, &json!({"Memory": 1_000 << 10}));
    host.wait(B, "failure", |s| s["BootFailed"] == true);
    host.stop();
    host.run(&["--config", "domain.memory.autoballoon:off"]);
    let failed = host.wait(B, "another failure", |s| {
        s["LastErr"].as_str().unwrap().contains("not enough")
    });
    assert_eq!(
        failed["LastErr"],
        "boot try 1 of 3 failed: not enough memory: 1000 MiB needed, 524 MiB free"
    );
}

/// Other programs of root may have taken all there are.
#[test]
fn without_inotify_files_are_looked_at_again_and_again() {
    let mut host = Host::new();
    host.run_after(
        "exec unshare --user --map-root-user sh -c \
         'echo 0 > /proc/sys/user/max_inotify_instances; exec \"$@\"' sh \"$@\"",
        &[],
    );
    host.wait_log("files are looked at every 2 s");
    host.wait_log("see the limit fs.inotify.max_user_instances (sysctl)");
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.remove(A);
    host.wait_gone(A);
    // Once there is one again, they are watched.
    let more = Command::new("nsenter")
        .args(["--user", "--preserve-credentials", "--target"])
        .args([&host.pid().to_string(), "sh", "-c"])
        .arg("echo 100 > /proc/sys/user/max_inotify_instances")
        .status();
    assert!(more.unwrap().success());
    host.wait_log("files are watched again");
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    assert_eq!(
        host.log().matches("files are looked at").count(),
        1,
        "said once"
    );
}

#[test]
fn the_display_that_a_domain_got_is_shown() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({"EnableVnc": true, "VirtualizationMode": HVM}));
    host.wait(A, "its display", |s| {
        s["StateName"] == "RUNNING" && s["VncDisplay"] == 0
    });
    host.put(B, &json!({"EnableVnc": true}));
    host.wait(B, "its display", |s| {
        s["StateName"] == "RUNNING" && s["VncDisplay"] == 1
    });
    // Nor is it forgotten.
    host.kill();
    host.run(&[]);
    let up = host.wait_state(B, "RUNNING");
    assert_eq!(up["VncDisplay"], 1);
    host.put(B, &json!({"EnableVnc": true, "Activate": false}));
    let down = host.wait_state(B, "HALTED");
    assert_eq!(down["VncDisplay"], 0);
}
