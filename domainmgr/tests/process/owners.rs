//! Each thing that the host has only once has one owner: with the real program and a simulated Xen.

use std::fs;
use std::path::Path;

use crate::common::disks::{HASH, copy, disks, image, with};
use crate::common::{A, B, Host, domainmgr, text};
use serde_json::{Value, json};

fn on(disk: &Path) -> Value {
    json!({"DiskConfigList": [{"FileLocation": disk}]})
}

fn waits_for(status: &Value, owner: &str) -> bool {
    let error = status["LastErr"].as_str().unwrap();
    status["BootFailed"] == true && error.contains(&format!(" is used by {owner}"))
}

#[test]
fn the_second_waits_for_the_first_also_over_a_restart_of_the_agent() {
    let mut host = Host::new();
    let disk = host.path("disk");
    fs::write(&disk, [0; 4096]).unwrap();
    std::os::unix::fs::symlink(&disk, host.path("link")).unwrap();
    host.run(&[]);
    host.put(A, &on(&disk));
    host.wait_state(A, "RUNNING");
    host.put(B, &on(&host.path("link")));
    let first = format!("a.1 ({A})");
    let refused = host.wait(B, "a refusal", |s| waits_for(s, &first));
    let place = format!(
        "{B}.json: DiskConfigList[0].FileLocation: {}",
        host.path("link").display()
    );
    assert!(
        refused["LastErr"].as_str().unwrap().contains(&place),
        "{refused}"
    );
    assert_eq!(host.domains(), 1);
    // The next agent knows it before it has looked.
    host.kill();
    host.run(&[]);
    host.wait(B, "a refusal", |s| waits_for(s, &first));
    host.wait_state(A, "RUNNING");
    assert_eq!(host.domains(), 1);
    // A reboot of the guest gives nothing up.
    let before = host.status(A).unwrap()["DomainId"].clone();
    host.xen(&["end", "a.1", "1"]);
    host.wait(A, "the next life", |s| {
        s["DomainId"] != before && s["StateName"] == "RUNNING"
    });
    assert!(waits_for(&host.status(B).unwrap(), &first));
    // Once the first is down, the second need not be asked twice.
    host.put(
        A,
        &json!({"Activate": false, "DiskConfigList": [{"FileLocation": disk}]}),
    );
    host.wait_state(B, "RUNNING");
    host.put(A, &on(&disk));
    host.wait(A, "a refusal", |s| waits_for(s, &format!("b.2 ({B})")));
    host.remove(B);
    host.wait_state(A, "RUNNING");
}

#[test]
fn what_was_said_of_a_domain_when_it_was_built_is_said_by_the_next_agent() {
    let mut host = Host::new();
    let disk = host.path("disk");
    fs::write(&disk, [0; 1000]).unwrap();
    host.run(&[]);
    host.put(A, &on(&disk));
    host.wait_state(A, "RUNNING");
    let said = |s: &Value| s["Warnings"].to_string().contains("the last 488 bytes");
    host.wait(A, "the warning", said);
    host.kill();
    fs::remove_file(host.path(&format!("run/DomainStatus/{A}.json"))).unwrap();
    host.run(&[]);
    let adopted = host.wait_state(A, "RUNNING");
    assert!(said(&adopted), "{adopted}");
    // It goes with the domain.
    host.put(A, &json!({"Activate": false}));
    host.wait(A, "no warning", |s| !said(s));
}

/// A copy belongs to the domain that it was made for, whether that runs or not: it is removed with its DomainConfig.
#[test]
fn what_the_agent_has_made_is_nobody_elses_disk() {
    let host = Host::start(&[]);
    image(&host, HASH, &[7; 4096]);
    let preserved = disks(&json!({"Preserve": true}));
    host.put(A, &preserved);
    host.wait_state(A, "RUNNING");
    host.put(A, &with(preserved, "Activate", json!(false)));
    host.wait_state(A, "HALTED");
    for (disk, reason) in [
        (
            copy(&host, A),
            format!("a copy of an image that was made for {A}"),
        ),
        (
            host.path("run/state/journal.db"),
            "a file of domainmgr itself".to_owned(),
        ),
    ] {
        host.put(B, &on(&disk));
        let status = host.wait(B, "a refusal", |s| s["BootFailed"] == true);
        let error = status["LastErr"].as_str().unwrap();
        assert!(
            error.contains("DiskConfigList[0].FileLocation: ") && error.contains(&reason),
            "{error}"
        );
        host.remove(B);
        host.wait_gone(B);
    }
    assert_eq!(host.domains(), 0);
}

#[test]
fn what_two_writers_would_destroy_cannot_be_shared() {
    let host = Host::new();
    let file = host.path("config").join(format!("{A}.json"));
    for (more, reason) in [
        (
            json!({"Format": "qcow2"}),
            "DiskConfigList[0].Shared: two that write to one qcow2 file",
        ),
        (
            json!({"Format": "vhd"}),
            "DiskConfigList[0].Shared: two that write to one vhd file",
        ),
        (
            json!({"Format": "raw", "Maxsizebytes": 1 << 20}),
            "DiskConfigList[0].Maxsizebytes: a disk that is shared",
        ),
    ] {
        let mut disk = json!({"FileLocation": "/disk", "Shared": true});
        for (name, value) in more.as_object().unwrap() {
            disk[name] = value.clone();
        }
        host.put(A, &json!({"DiskConfigList": [disk]}));
        let out = domainmgr(&["check", "--no-files"], &[&file]);
        let said = text(&out.stderr);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn sharing_has_a_word() {
    let host = Host::new();
    let disk = host.path("disk");
    fs::write(&disk, [0; 4096]).unwrap();
    let mut host = host;
    host.run(&[]);
    let shared = json!({"DiskConfigList": [{"FileLocation": disk, "Shared": true}]});
    host.put(A, &shared);
    host.put(B, &shared);
    host.wait_state(A, "RUNNING");
    host.wait_state(B, "RUNNING");
}

#[test]
fn what_two_can_have_is_said() {
    let host = Host::start(&[]);
    host.put(A, &json!({"AppNum": 4}));
    host.wait_state(A, "RUNNING");
    host.put(B, &json!({"AppNum": 4, "SomethingNew": [1, {}]}));
    let up = host.wait_state(B, "RUNNING");
    let warning = format!("AppNum: 4 is also that of a.4 ({A})");
    let warnings = up["Warnings"].as_array().unwrap();
    assert!(warnings.contains(&json!(warning)), "{up}");
    assert!(
        warnings.contains(&json!("SomethingNew: skipped: no such field is known")),
        "{up}"
    );
}

#[test]
fn check_finds_it_before() {
    let host = Host::new();
    let disk = host.path("disk");
    fs::write(&disk, [0; 4096]).unwrap();
    host.put(A, &on(&disk));
    host.put(B, &on(&disk));
    for more in [&["check"][..], &["check", "--no-files"]] {
        let found = domainmgr(more, &[&host.path("config")]);
        assert_eq!(found.status.code(), Some(1));
        assert!(
            text(&found.stdout).contains("ok: a.1"),
            "{}",
            text(&found.stdout)
        );
        let wanted = format!(
            "DiskConfigList[0].FileLocation: {} is used by a.1 ({A})",
            disk.display()
        );
        assert!(
            text(&found.stderr).contains(&wanted),
            "{}",
            text(&found.stderr)
        );
    }
    host.put(B, &json!({"AppNum": 1, "DisplayName": "other"}));
    let found = domainmgr(&["check"], &[&host.path("config")]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    assert!(text(&found.stderr).contains("warning: AppNum: 1 is also that of a.1"));
}

#[test]
fn a_display_that_qemu_chose_has_an_owner() {
    let mut host = Host::start(&[]);
    host.put(A, &json!({"EnableVnc": true}));
    host.wait(A, "its display", |s| {
        s["StateName"] == "RUNNING" && s["VncDisplay"] == 0
    });
    host.put(B, &json!({"EnableVnc": true}));
    host.wait(B, "its display", |s| {
        s["StateName"] == "RUNNING" && s["VncDisplay"] == 1
    });
    let c = "cccccccc-0000-4000-8000-000000000003";
    host.put(c, &json!({"EnableVnc": true, "VncDisplay": 1}));
    let owner = format!("b.2 ({B})");
    host.wait(c, "a refusal", |s| waits_for(s, &owner));
    host.kill();
    host.run(&[]);
    host.wait(c, "a refusal", |s| waits_for(s, &owner));
    host.remove(B);
    host.wait_state(c, "RUNNING");
}

#[test]
fn what_does_not_run_takes_nothing() {
    let host = Host::new();
    let disk = host.path("disk");
    fs::write(&disk, [0; 4096]).unwrap();
    host.put(A, &on(&disk));
    host.put(
        B,
        &json!({"Activate": false, "DiskConfigList": [{"FileLocation": disk}]}),
    );
    let found = domainmgr(&["check"], &[&host.path("config")]);
    let said = text(&found.stderr);
    assert_eq!(found.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: DiskConfigList[0].FileLocation: ")
            && said.contains(" is used by a.1"),
        "{said}"
    );
}

#[test]
fn what_the_host_has_or_has_not_is_named_before_xen_is_asked() {
    let host = Host::start(&[]);
    for (config, error) in [
        (
            json!({"VifList": [{"Vif": "eth0"}]}),
            "VifList[0].Vif: the host has an interface \"eth0\" itself",
        ),
        (
            json!({"EnableVnc": true, "VncListen": "192.0.2.7"}),
            "VncListen: nothing can listen on 192.0.2.7: Cannot assign requested address",
        ),
        (
            json!({"CPUs": "2-3"}),
            "CPUs: the host has none of them: its processors are 0 to 1",
        ),
    ] {
        host.put(A, &config);
        let wanted = format!("{A}.json: {error}");
        host.wait(A, error, |s| {
            s["LastErr"].as_str().unwrap().contains(&wanted)
        });
        assert_eq!(host.domains(), 0);
    }
    host.put(
        A,
        &json!({"CPUs": "1-3", "VifList": [{"Vif": "web0", "Mac": "52:54:00:12:34:56"}]}),
    );
    let up = host.wait_state(A, "RUNNING");
    let warnings = up["Warnings"].as_array().unwrap();
    for wanted in [
        "CPUs: the host has no processor 2, 3: its processors are 0 to 1",
        "VifList[0].Mac: 52:54:00:12:34:56 is also the address of the host's eth0",
    ] {
        assert!(warnings.contains(&json!(wanted)), "{up}");
    }
    // The interface of the domain before goes with it.
    let before = up["DomainId"].clone();
    host.xen(&["end", "a.1", "1"]);
    host.wait(A, "the next life", |s| {
        s["DomainId"] != before && s["StateName"] == "RUNNING"
    });
}

#[test]
fn check_looks_at_this_host() {
    let host = Host::new();
    let own = fs::read_dir("/sys/class/net").unwrap();
    let own = own.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let own = own.filter(|name| name != "lo" && name.len() < 12).min();
    let mut cases = vec![
        (
            json!({"EnableVnc": true, "VncListen": "192.0.2.7"}),
            "VncListen: nothing can listen on 192.0.2.7".to_owned(),
        ),
        (
            json!({"CPUs": "4095"}),
            "CPUs: the host has none of them".to_owned(),
        ),
    ];
    // A container may have no other.
    cases.extend(own.map(|name| {
        let why = format!("VifList[0].Vif: the host has an interface {name:?} itself");
        (json!({"VifList": [{"Vif": name}]}), why)
    }));
    for (config, error) in cases {
        host.put(A, &config);
        let found = domainmgr(&["check"], &[&host.path("config")]);
        assert_eq!(found.status.code(), Some(1));
        let said = text(&found.stderr);
        assert!(said.contains(&error), "{said}");
        let found = domainmgr(&["check", "--no-files"], &[&host.path("config")]);
        assert!(found.status.success(), "{}", text(&found.stderr));
    }
    let odd = host.path("odd");
    fs::write(&odd, [0; 1000]).unwrap();
    host.put(A, &on(&odd));
    let found = domainmgr(&["check"], &[&host.path("config")]);
    assert!(found.status.success());
    let said = text(&found.stderr);
    assert!(
        said.contains("the guest does not see the last 488 bytes"),
        "{said}"
    );
}
