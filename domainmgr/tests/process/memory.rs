//! Facts that the agent remembers over its own end and that of the host, with the real program and a simulated Xen.

use std::fs;
use std::time::Duration;

use crate::common::disks::{HASH, copies, copy, disks, image, with};
use crate::common::{A, B, Host, domid};
use serde_json::{Value, json};

/// The host is switched off and on: no domain is left, and nothing of /run.
fn reboot(host: &Host, statuses_survive: bool) {
    fs::remove_file(host.path("xen.json")).unwrap();
    for dir in ["run/AssignableAdapters", "run/xen", "run/cloudinit"] {
        fs::remove_dir_all(host.path(dir)).unwrap();
    }
    if !statuses_survive {
        fs::remove_dir_all(host.path("run/DomainStatus")).unwrap();
    }
}

fn wait_a_while(host: &Host) {
    std::thread::sleep(Duration::from_secs(40) / host.speed);
}

#[test]
fn what_somebody_took_away_is_not_built_again_after_a_reboot_of_the_host() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    host.put(B, &json!({"ExtraArgs": "lab.action=poweroff lab.after=2"}));
    let up = host.wait_state(A, "RUNNING");
    host.xen(&["destroy", &domid(&up).to_string()]);
    host.wait(A, "it is gone", |s| s["Vanished"] == true);
    host.wait(B, "its end", |s| s["Ended"] == true);
    host.kill();
    reboot(&host, false);
    host.run(&[]);
    let shown = host.wait_state(A, "HALTED");
    assert_eq!(shown["Vanished"], true);
    assert_eq!(shown["ShutdownReason"], "destroyed from outside");
    host.wait_state(B, "HALTED");
    wait_a_while(&host);
    assert_eq!(host.domains(), 0, "{}", host.log());
    host.put(A, &json!({"UUIDandVersion": {"UUID": A, "Version": "2"}}));
    host.wait_state(A, "RUNNING");
}

#[test]
fn what_ran_is_built_again_after_a_reboot_of_the_host() {
    for statuses_survive in [false, true] {
        let mut host = Host::start(&[]);
        host.put(A, &json!({}));
        host.put(B, &json!({"Activate": false}));
        host.wait_state(A, "RUNNING");
        host.wait_state(B, "INSTALLED");
        host.kill();
        reboot(&host, statuses_survive);
        host.run(&[]);
        host.until("a domain", || host.domains() == 1);
        let up = host.wait_state(A, "RUNNING");
        assert_eq!(
            (&up["Vanished"], &up["LastErr"]),
            (&json!(false), &json!(""))
        );
        assert_eq!(host.domains(), 1);
        assert_eq!(host.status(B).unwrap()["StateName"], "INSTALLED");
    }
}

/// The domain was suspended to be saved or moved, and may go on elsewhere.
#[test]
fn what_was_suspended_when_the_host_went_down_is_not_built_again() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    host.xen(&["suspend", &domid(&up).to_string()]);
    host.wait_state(A, "SUSPENDED");
    host.kill();
    reboot(&host, false);
    host.run(&[]);
    let down = host.wait_state(A, "HALTED");
    assert_eq!(
        (&down["ShutdownReason"], &down["Vanished"]),
        (
            &json!("gone with its host while suspended: saved or migrated away"),
            &json!(true)
        )
    );
    wait_a_while(&host);
    assert_eq!(host.domains(), 0);
}

#[test]
fn an_edit_that_means_nothing_is_no_newer_wish() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    host.xen(&["destroy", &domid(&up).to_string()]);
    host.wait(A, "it is gone", |s| s["Vanished"] == true);
    // The defaults, and a password for a console that does not exist.
    let same = json!({"VCpus": 1, "MaxCpus": 1, "VncPasswd": "x", "Memory": 131_071});
    host.put(A, &same);
    wait_a_while(&host);
    assert_eq!(host.domains(), 0, "{}", host.log());
    host.stop();
    host.put(A, &json!({}));
    host.run(&[]);
    wait_a_while(&host);
    assert_eq!(host.status(A).unwrap()["Vanished"], true);
    assert_eq!(host.domains(), 0);
}

#[test]
fn a_restart_by_wish_is_worked_off_though_the_agent_ends_in_between() {
    for gone in [false, true] {
        let mut host = Host::start(&[]);
        let config = json!({"ExtraArgs": "sim.stop=30"});
        host.put(A, &config);
        let first = host.wait_state(A, "RUNNING");
        host.put(A, &with(config.clone(), "Activate", json!(false)));
        host.wait_state(A, "HALTING");
        host.wait_log("asking domain 1 to shut down");
        host.kill();
        host.put(A, &config);
        if gone {
            host.xen(&["end", "1", "0"]);
        }
        host.run(&[]);
        let second = host.wait(A, "another domain", |s| {
            s["StateName"] == "RUNNING" && domid(s) != domid(&first)
        });
        assert_eq!(second["LastErr"], "");
        assert_eq!(host.domains(), 1);
    }
}

fn two_disks(more: &Value) -> Value {
    let mut first = disks(&json!({}))["DiskConfigList"][0].clone();
    let mut second = first.clone();
    first["ImageSha256"] = json!("aa");
    second["ImageSha256"] = json!("bb");
    let mut config = more.clone();
    config["DiskConfigList"] = json!([first, second]);
    config
}

#[test]
fn both_disks_of_a_domain_are_of_one_generation_whenever_the_agent_is_killed() {
    let mut host = Host::new();
    for hash in ["aa", "bb"] {
        image(&host, hash, &vec![1; 8_000_000]);
    }
    host.run(&[]);
    let ends = two_disks(&json!({"ExtraArgs": "lab.action=poweroff lab.after=1"}));
    host.put(A, &ends);
    host.wait(A, "its end", |s| s["Ended"] == true);
    let files = ["aa", "bb"].map(|hash| host.path(&format!("run/img/{hash}-{A}.raw")));
    for file in &files {
        fs::write(file, "written").unwrap();
    }
    host.stop();
    // Two seconds for each.
    host.run(&["--simulate-copy-rate", "4000000"]);
    host.wait_state(A, "HALTED");
    host.put(A, &two_disks(&json!({})));
    host.wait(A, "a copy under way", |s| {
        s["StateReason"].as_str().unwrap().contains("disk 0")
    });
    assert!(files[1].exists(), "the second is still to be removed");
    host.kill();
    host.run(&[]);
    host.wait_state(A, "RUNNING");
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().len(), 8_000_000);
    }
}

#[test]
fn what_a_rebooting_guest_has_written_is_kept_though_it_cannot_be_built_for_a_while() {
    let mut host = Host::start(&["--config", "timer.boot.retry:10"]);
    image(&host, HASH, b"image");
    let config = disks(&json!({}));
    host.put(A, &config);
    host.wait_state(A, "RUNNING");
    fs::write(copy(&host, A), "written").unwrap();
    let (kernel, away) = (host.path("kernel"), host.path("away"));
    fs::rename(&kernel, &away).unwrap();
    host.xen(&["end", "1", "1"]);
    host.wait(A, "failure", |s| s["BootFailed"] == true);
    host.stop();
    host.run(&["--config", "timer.boot.retry:10"]);
    host.wait(A, "failure again", |s| s["BootFailed"] == true);
    fs::rename(&away, &kernel).unwrap();
    host.wait_state(A, "RUNNING");
    assert_eq!(fs::read(copy(&host, A)).unwrap(), b"written");
}

#[test]
fn a_guest_that_reboots_is_built_from_what_it_was_though_its_file_cannot_be_used() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({"ExtraArgs": "sim.stop=3"}));
    let first = host.wait_state(A, "RUNNING");
    host.put_text(&format!("{A}.json"), "{");
    host.wait(A, "the complaint", |s| s["LastErr"] != "");
    host.stop();
    host.run(&[]);
    host.wait_log("domain 1 found");
    host.wait_state(A, "RUNNING");
    host.xen(&["end", "1", "1"]);
    let second = host.wait(A, "a restart", |s| {
        s["StateName"] == "RUNNING" && domid(s) != domid(&first)
    });
    assert_eq!(second["Restarts"], 1);
    let cfg = fs::read_to_string(host.path("run/xen/xen1.cfg")).unwrap();
    assert!(cfg.contains("sim.stop=3"), "{cfg}");
}

#[test]
fn an_image_directory_that_is_gone_is_no_reason_to_begin_from_the_image() {
    for preserve in [false, true] {
        let host = Host::start(&["--config", "timer.boot.retry:10"]);
        image(&host, HASH, b"image");
        host.put(A, &disks(&json!({"Preserve": preserve})));
        host.wait_state(A, "RUNNING");
        fs::write(copy(&host, A), "written").unwrap();
        let (img, away) = (host.path("run/img"), host.path("away"));
        fs::rename(&img, &away).unwrap();
        fs::create_dir(&img).unwrap();
        host.xen(&["end", "1", "1"]);
        let failed = host.wait(A, "failure", |s| s["BootFailed"] == true);
        let words = format!(
            "boot failed: {}: the copy that the guest has written to is gone: mount {}, or move it back; to begin from \
             the image again, {}",
            copy(&host, A).display(),
            img.display(),
            if preserve {
                "remove the DomainConfig and write it anew"
            } else {
                "deactivate the domain and activate it again"
            }
        );
        assert_eq!(failed["LastErr"], words);
        assert_eq!(copies(&host), [""; 0]);
        fs::remove_dir(&img).unwrap();
        fs::rename(&away, &img).unwrap();
        host.wait_state(A, "RUNNING");
        assert_eq!(fs::read(copy(&host, A)).unwrap(), b"written");
    }
}

#[test]
fn a_status_that_cannot_be_read_decides_nothing() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    host.xen(&["destroy", &domid(&up).to_string()]);
    host.wait(A, "it is gone", |s| s["Vanished"] == true);
    host.stop();
    fs::write(host.status_file(A), "{").unwrap();
    host.run(&[]);
    host.until("the status to be mended", || {
        let text = fs::read(host.status_file(A)).unwrap_or_default();
        text.len() > 1
    });
    wait_a_while(&host);
    assert_eq!(host.status(A).unwrap()["StateName"], "HALTED");
    assert_eq!(host.domains(), 0);
}

#[test]
fn settings_that_cannot_be_read_any_more_stay_in_force() {
    let mut host = Host::new();
    let dir = host.path("run/GlobalConfig");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("global.json");
    fs::write(&file, r#"{"timer.shutdown.graceful": 0}"#).unwrap();
    host.run(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    fs::write(&file, "{").unwrap();
    host.wait_log("the last settings that could be read stay in force");
    host.stop();
    host.run(&[]);
    host.wait_log("domain 1 found");
    host.put(A, &json!({"Activate": false}));
    host.wait_state(A, "HALTED");
    let log = host.log();
    assert!(
        !log.contains("asking domain 1"),
        "the default is to ask: {log}"
    );
}
