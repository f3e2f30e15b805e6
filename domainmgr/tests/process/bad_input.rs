//! Whatever is put into the config directory, every other domain is left alone, and the fault is named.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use crate::common::{A, B, Host, domainmgr, text};
use serde_json::{Value, json};

/// Puts an unusable file for A. Checks the reason in the status, that B is not affected, and that A works with a valid file.
fn refused(put: impl FnOnce(&Host), reason: &str) {
    let host = Host::start(&[]);
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    put(&host);
    let file = host.path("config").join(format!("{A}.json"));
    let wanted = format!(
        "{}: {}",
        file.display(),
        reason.replace(
            "{dir}",
            host.path("").to_str().unwrap().trim_end_matches('/')
        )
    );
    let status = host.wait(A, "the reason", |s| s["LastErr"] != "");
    let found = status["LastErr"].as_str().unwrap();
    assert!(
        found
            .trim_start_matches("boot failed: ")
            .starts_with(&wanted),
        "{found}\n{wanted}"
    );
    host.wait_log(reason.split("{dir}").next().unwrap());
    assert_eq!(status["Activated"], false);
    let b = host.status(B).unwrap();
    assert_eq!(
        (&b["StateName"], &b["DomainId"]),
        (&json!("RUNNING"), &json!(1))
    );
    // Right now.
    if fs::symlink_metadata(&file).unwrap().is_dir() {
        fs::remove_dir(&file).unwrap();
    }
    host.put(A, &json!({}));
    let up = host.wait_state(A, "RUNNING");
    assert_eq!(up["LastErr"], "");
    assert_eq!(host.status(B).unwrap()["DomainId"], 1);
}

fn refused_config(changes: &Value, reason: &str) {
    refused(|host| host.put(A, changes), reason);
}

fn refused_text(text: &str, reason: &str) {
    refused(|host| host.put_text(&format!("{A}.json"), text), reason);
}

#[test]
fn malformed_json() {
    refused_text(
        "{\"Memory\": ",
        "not JSON: EOF while parsing a value at line 1 column 11",
    );
    refused_text("", "not JSON: EOF while parsing a value");
    refused_text("[]", "expected a JSON object");
    refused_text(&"[".repeat(500_000), "not JSON: recursion limit exceeded");
    refused_text(
        &format!(
            "{{\"DiskConfigList\":{}{}}}",
            "[".repeat(120),
            "]".repeat(120)
        ),
        "DiskConfigList[0]: expected an object, found sequence",
    );
}

#[test]
fn a_wrong_type() {
    refused_config(
        &json!({"Memory": "lots"}),
        r#"Memory: expected an integer of kB, found string "lots""#,
    );
    refused_config(
        &json!({"diskconfiglist": [{"ReadOnly": 1}]}),
        "DiskConfigList[0].ReadOnly: expected a boolean, found integer `1`",
    );
}

#[test]
fn a_file_name_that_is_not_the_key() {
    refused_config(
        &json!({"UUIDandVersion": {"UUID": B}}),
        &format!("UUIDandVersion.UUID: {B} is not the name of the file, {A}"),
    );
    refused_config(
        &json!({"UUIDandVersion": {}}),
        "UUIDandVersion.UUID: missing",
    );
    let host = Host::start(&[]);
    host.put_text("web.json", &host.config(A, &json!({})).to_string());
    host.wait_log("web.json: the name of the file is not a uuid with .json; ignored");
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
}

#[test]
fn a_missing_kernel() {
    refused(
        |host| host.put(A, &json!({"Kernel": host.path("nothing")})),
        "Kernel: {dir}/nothing: No such file or directory",
    );
    refused_config(
        &json!({"Kernel": ""}),
        "Kernel: a PV domain needs a Kernel or a BootLoader",
    );
}

#[test]
fn an_unknown_mode() {
    refused_config(
        &json!({"VirtualizationMode": 4}),
        r#"VirtualizationMode: expected 0 or "PV", 1 or "HVM", or "PVH", found 4"#,
    );
}

#[test]
fn a_name_with_quotes_and_newlines() {
    refused_config(
        &json!({"DisplayName": "x\"\nkernel=\"/etc/passwd"}),
        "DisplayName: '\"' cannot be in the name of a domain",
    );
    refused_config(
        &json!({"DisplayName": "x\nkernel=y"}),
        "DisplayName: '\\n' cannot be in the name of a domain",
    );
}

#[test]
fn a_hundred_megabytes() {
    refused(
        |host| {
            let temp = host.path("config/temp");
            File::create(&temp).unwrap().set_len(100 << 20).unwrap();
            fs::rename(temp, host.path("config").join(format!("{A}.json"))).unwrap();
        },
        "104857600 bytes, at most 1048576 are read",
    );
}

#[test]
fn a_symbolic_link() {
    refused(
        |host| {
            fs::write(
                host.path("elsewhere"),
                host.config(A, &json!({})).to_string(),
            )
            .unwrap();
            symlink(
                host.path("elsewhere"),
                host.path("config").join(format!("{A}.json")),
            )
            .unwrap();
        },
        "a symbolic link, expected a plain file",
    );
}

#[test]
fn a_directory() {
    refused(
        |host| fs::create_dir(host.path("config").join(format!("{A}.json"))).unwrap(),
        "a directory, expected a plain file",
    );
}

#[test]
fn what_this_version_cannot_do() {
    refused_config(
        &json!({"DiskConfigList": [{"FileLocation": "/x.vmdk", "Format": "vmdk"}]}),
        r#"DiskConfigList[0].Format: expected one of raw, qcow, qcow2, vhd, iso, found "vmdk""#,
    );
}

#[test]
fn memory_that_is_not_there() {
    let host = Host::start(&["--simulate-memory", "1024"]);
    host.put(A, &json!({"Memory": 2_000_000}));
    let failed = host.wait(A, "failure", |s| s["BootFailed"] == true);
    assert_eq!(
        failed["LastErr"],
        "boot failed: Memory: the domain needs 1954 MiB, 1024 MiB are free, and dom0 gives no more back: stop another \
         domain, or ask for less"
    );
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
}

#[test]
fn a_file_that_vanishes_at_once() {
    let host = Host::start(&[]);
    for _ in 0..20 {
        host.put(A, &json!({}));
        host.remove(A);
    }
    host.put(B, &json!({}));
    host.wait_state(B, "RUNNING");
    host.wait_gone(A);
    host.until("one domain", || host.domains() == 1);
}

#[test]
fn a_running_domain_survives_its_broken_config() {
    let host = Host::start(&[]);
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    host.put_text(&format!("{A}.json"), "{");
    let status = host.wait(A, "the reason", |s| s["LastErr"] != "");
    assert_eq!(
        (&status["StateName"], &status["DomainId"]),
        (&json!("RUNNING"), &json!(1))
    );
    host.put(A, &json!({"MaxMem": 1}));
    let status = host.wait(A, "the other reason", |s| {
        s["LastErr"].as_str().unwrap().contains("MaxMem")
    });
    assert_eq!(
        (&status["StateName"], &status["DomainId"]),
        (&json!("RUNNING"), &json!(1))
    );
    host.put(A, &json!({}));
    let status = host.wait(A, "peace", |s| s["LastErr"] == "");
    assert_eq!(
        (&status["StateName"], &status["DomainId"]),
        (&json!("RUNNING"), &json!(1))
    );
}

#[test]
fn files_that_are_not_for_us() {
    let host = Host::start(&[]);
    for name in ["pubsub123", ".hidden.json", "README", "x.json.tmp"] {
        host.put_text(name, "{");
    }
    host.put(A, &json!({}));
    host.wait_state(A, "RUNNING");
    let log = host.log();
    assert!(!log.contains("ignored"), "{log}");
}

#[test]
fn files_of_eve_in_2019() {
    let host = Host::start(&[]);
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"{A}","Version":"1"}},"DisplayName":"eve","Activate":true,"AppNum":9,
        "kernel":{:?},"Ramdisk":"","memory":524288,"MaxMem":524288,"VCpus":1,"MaxCpus":0,"RootDev":"/dev/xvda1",
        "ExtraArgs":"","BootLoader":"","CPUs":"","DeviceTree":"","DtDev":null,"IRQs":null,"IOMem":null,
        "VirtualizationMode":0,"EnableVnc":true,"VncDisplay":0,"VncPasswd":"hunter2","DiskConfigList":null,
        "VifList":[{{"Bridge":"bn1","Vif":"nbu1x1","Mac":"00:16:3e:00:01:01"}}],"IoAdapterList":null,
        "CloudInitUserData":null,"Errors":[]}}"#,
        host.path("kernel").to_str().unwrap()
    );
    host.put_text(&format!("{A}.json"), &text);
    let status = host.wait_state(A, "RUNNING");
    assert_eq!(status["DomainName"], "eve.9");
    assert_eq!(status["VifList"][0]["Bridge"], "bn1");
    let written = fs::read_to_string(host.status_file(A)).unwrap();
    assert!(
        !written.contains("hunter2") && !written.contains("VncPasswd"),
        "{written}"
    );
    host.signal("-USR1");
    host.wait_log("1 workers");
    assert!(!host.log().contains("hunter2"));
}

#[test]
fn check() {
    let host = Host::new();
    host.put(A, &json!({}));
    host.put(B, &json!({"Memory": "lots"}));
    fs::write(host.path("config/restarted"), "").unwrap();
    let out = domainmgr(&["check"], &[&host.path("config")]);
    assert_eq!(out.status.code(), Some(1));
    let config = host.path("config");
    assert_eq!(
        text(&out.stdout),
        format!("{}/{A}.json: ok: a.1 (PV)\n", config.display())
    );
    assert_eq!(
        text(&out.stderr),
        format!(
            "{}/{B}.json: Memory: expected an integer of kB, found string \"lots\"\n",
            config.display()
        )
    );
    let good = config.join(format!("{A}.json"));
    assert_eq!(domainmgr(&["check"], &[&good]).status.code(), Some(0));
    fs::remove_file(host.path("kernel")).unwrap();
    let out = domainmgr(&["check"], &[&good]);
    assert!(
        text(&out.stderr).contains("Kernel: "),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(
        domainmgr(&["check", "--no-files"], &[&good]).status.code(),
        Some(0)
    );
    let out = domainmgr(&["check"], &[&host.path("nothing")]);
    assert_eq!(out.status.code(), Some(1));
}
