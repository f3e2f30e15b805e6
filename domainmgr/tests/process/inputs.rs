//! Files that are absent without anybody having withdrawn a wish, with the real program and a simulated Xen.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::disks::{HASH, copies, copy, disks, image, with};
use crate::common::{A, B, Host, SLOW, domid};
use serde_json::json;

/// A host with a domain that runs, and one that does not; both have a disk that is to be kept.
fn two(args: &[&str]) -> Host {
    let host = Host::start(args);
    image(&host, HASH, b"image");
    let kept = disks(&json!({"Preserve": true}));
    host.put(A, &kept);
    host.put(B, &kept);
    for key in [A, B] {
        host.wait_state(key, "RUNNING");
        fs::write(copy(&host, key), "written").unwrap();
    }
    host.put(B, &with(kept, "Activate", json!(false)));
    host.wait_state(B, "HALTED");
    host
}

fn assert_untouched(host: &Host) {
    assert_eq!(host.domains(), 1, "{}", host.log());
    for key in [A, B] {
        let disk = fs::read(copy(host, key)).unwrap_or_default();
        assert_eq!(disk, b"written", "{key}: {:?}", copies(host));
    }
}

#[test]
fn a_config_directory_that_was_moved_away_and_made_anew_is_no_wish() {
    for restarted in [false, true] {
        let mut host = two(&["--config", "timer.gc.vdisk:60"]);
        let (config, away) = (host.path("config"), host.path("away"));
        if restarted {
            host.stop();
        }
        fs::rename(&config, &away).unwrap();
        fs::create_dir(&config).unwrap();
        if restarted {
            host.run(&["--config", "timer.gc.vdisk:60"]);
        }
        let said = format!(
            "{}/{A}.json: absent, but the directory is another one than before: ",
            config.display()
        );
        host.wait(A, &said, |s| {
            s["LastErr"].as_str().unwrap().starts_with(&said)
        });
        std::thread::sleep(Duration::from_secs(150) / host.speed);
        assert_untouched(&host);
        // A guest that reboots is none of its business.
        host.xen(&["end", "a.1", "1"]);
        host.wait(A, "a restart", |s| {
            s["Restarts"] == 1 && s["StateName"] == "RUNNING"
        });
        fs::remove_dir(&config).unwrap();
        fs::rename(&away, &config).unwrap();
        host.wait(A, "no error", |s| s["LastErr"] == "");
        assert_untouched(&host);
        // From now on it is a wish again.
        for key in [A, B] {
            host.remove(key);
            host.wait_gone(key);
        }
        assert_eq!((host.domains(), copies(&host)), (0, vec![]));
    }
}

#[test]
fn in_another_directory_who_wrote_the_files_says_that_all_are_there() {
    let host = two(&[]);
    let (config, away) = (host.path("config"), host.path("away"));
    fs::rename(&config, &away).unwrap();
    fs::create_dir(&config).unwrap();
    host.wait(B, "doubt", |s| s["LastErr"] != "");
    fs::copy(
        away.join(format!("{A}.json")),
        config.join(format!("{A}.json")),
    )
    .unwrap();
    host.wait(A, "no doubt", |s| s["LastErr"] == "");
    std::thread::sleep(Duration::from_secs(60) / host.speed);
    assert_untouched(&host);
    fs::write(config.join("restarted"), "").unwrap();
    host.wait_gone(B);
    assert!(!copy(&host, B).exists());
    assert_eq!(host.status(A).unwrap()["StateName"], "RUNNING");
}

/// The directory is in memory, and empty until somebody has written the files again.
#[test]
fn after_a_reboot_of_the_host_files_that_are_not_there_yet_are_waited_for() {
    let mut host = two(&["--config", "timer.gc.vdisk:60"]);
    let (config, away) = (host.path("config"), host.path("away"));
    host.kill();
    fs::remove_file(host.path("xen.json")).unwrap();
    fs::remove_dir_all(host.path("run/DomainStatus")).unwrap();
    fs::rename(&config, &away).unwrap();
    host.run(&["--config", "timer.gc.vdisk:60"]);
    host.wait(A, "doubt", |s| s["LastErr"] != "");
    std::thread::sleep(Duration::from_secs(150) / host.speed);
    assert_eq!(host.domains(), 0, "not by a wish that nobody can see");
    assert_eq!(copies(&host).len(), 2);
    for key in [A, B] {
        let file = format!("{key}.json");
        fs::rename(away.join(&file), config.join(&file)).unwrap();
    }
    host.wait_state(A, "RUNNING");
    host.wait(B, "no doubt", |s| s["LastErr"] == "");
    assert_untouched(&host);
    host.remove(B);
    host.wait_gone(B);
}

#[test]
fn a_file_that_is_away_for_a_moment_is_not_gone() {
    let mut host = Host::new();
    host.speed = SLOW;
    image(&host, HASH, b"image");
    host.run(&[]);
    let kept = disks(&json!({"Preserve": true}));
    host.put(A, &kept);
    let up = host.wait_state(A, "RUNNING");
    fs::write(copy(&host, A), "written").unwrap();
    let file = host.path(&format!("config/{A}.json"));
    let away = host.path("away.json");
    for activate in [true, false] {
        for _ in 0..3 {
            fs::rename(&file, &away).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            fs::rename(&away, &file).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_secs(5) / host.speed);
        assert_eq!(fs::read(copy(&host, A)).unwrap(), b"written");
        let domains = host.domains();
        assert_eq!(domains, usize::from(activate), "{}", host.log());
        if activate {
            assert_eq!(domid(&host.status(A).unwrap()), domid(&up));
            host.put(A, &with(kept.clone(), "Activate", json!(false)));
            host.wait_state(A, "HALTED");
        }
    }
    host.remove(A);
    host.wait_gone(A);
    assert_eq!(copies(&host), [""; 0]);
}

/// A resync would see these too, up to half a minute later.
#[test]
fn changes_are_seen_at_once_in_a_directory_that_was_moved_and_by_a_link() {
    let mut host = Host::new();
    host.speed = 1;
    host.run(&[]);
    host.put(A, &json!({"Activate": false}));
    host.wait(A, "settled", |s| s["PendingAdd"] == false);
    let (config, away) = (host.path("config"), host.path("away"));
    let begin = Instant::now();
    fs::rename(&config, &away).unwrap();
    host.wait(A, "the complaint", |s| s["LastErr"] != "");
    fs::rename(&away, &config).unwrap();
    host.wait(A, "no complaint", |s| s["LastErr"] == "");
    host.put(A, &json!({"Activate": false, "DisplayName": "other"}));
    host.wait(A, "the change", |s| s["DisplayName"] == "other");
    let temp = host.path("config/pubsub1");
    fs::write(
        &temp,
        host.config(B, &json!({"Activate": false})).to_string(),
    )
    .unwrap();
    fs::hard_link(&temp, host.path(&format!("config/{B}.json"))).unwrap();
    fs::remove_file(&temp).unwrap();
    host.wait(B, "the link", |s| s["PendingAdd"] == false);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(20), "by the resync: {took:?}");
}

/// The agent's own trouble says nothing about a file.
#[test]
fn a_file_that_cannot_be_opened_for_want_of_descriptors_is_read_again() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    host.limit("--nofile=3:1024");
    host.put(B, &json!({}));
    host.put(A, &json!({"UUIDandVersion": {"UUID": A, "Version": "2"}}));
    host.wait_log("cannot be read now: ");
    std::thread::sleep(Duration::from_secs(20) / host.speed);
    host.limit("--nofile=1024:1024");
    host.wait_state(B, "RUNNING");
    let after = host.wait(A, "the new version", |s| {
        s["UUIDandVersion"]["Version"] == "2"
    });
    assert_eq!((domid(&after), &after["LastErr"]), (domid(&up), &json!("")));
}
