use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::frontends::eve;

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

fn spec(key: Uuid, more: &str) -> Spec {
    let number = key.as_u128();
    let app_num = if more.contains("AppNum") {
        String::new()
    } else {
        format!(r#","AppNum":{number}"#)
    };
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"{key}"}},"DisplayName":"d{number:x}","Kernel":"/k","Memory":16384{app_num}{more}}}"#
    );
    let found = eve::understand(key, text.as_bytes()).unwrap();
    found.spec.unwrap()
}

fn disk(path: &Path, more: &str) -> String {
    format!(r#"{{"FileLocation":"{}"{more}}}"#, path.display())
}

fn disks(list: &[String]) -> String {
    format!(r#","DiskConfigList":[{}]"#, list.join(","))
}

fn refusal(owners: &Owners, key: Uuid, more: &str) -> Option<String> {
    let refused = owners.take(key, &spec(key, more), &[]).err();
    refused.map(|r| format!("{}: {}", r.field, r.reason))
}

#[test]
fn a_file_has_one_writer_by_whatever_path() {
    let dir = tempfile::tempdir().unwrap();
    let [file, soft, hard, other] = ["file", "soft", "hard", "other"].map(|n| dir.path().join(n));
    fs::write(&file, "x").unwrap();
    fs::write(&other, "x").unwrap();
    symlink(&file, &soft).unwrap();
    fs::hard_link(&file, &hard).unwrap();
    let owners = Owners::default();
    let one = |path: &Path, more: &str| disks(&[disk(path, more)]);
    assert_eq!(refusal(&owners, A, &one(&file, "")), None);
    for (path, more) in [
        (&file, ""),
        (&soft, ""),
        (&hard, ""),
        (&hard, r#","ReadOnly":true"#),
        (&hard, r#","Format":"qcow2""#),
        (&hard, r#","Shared":true"#),
    ] {
        assert_eq!(
            refusal(&owners, B, &one(path, more)),
            Some(format!(
                "DiskConfigList[0].FileLocation: {} is used by da.10 ({A})",
                path.display()
            ))
        );
    }
    assert_eq!(refusal(&owners, B, &one(&other, "")), None);
    // A domain keeps its resources until it takes others.
    assert_eq!(refusal(&owners, A, &one(&file, "")), None);
    assert!(refusal(&owners, A, &one(&other, "")).is_some());
    assert!(!owners.release(A) || refusal(&owners, B, &one(&file, "")).is_none());
}

#[test]
fn what_both_allow_both_have() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    for (first, second, fine) in [
        (r#","ReadOnly":true"#, r#","ReadOnly":true"#, true),
        (r#","Shared":true"#, r#","Shared":true"#, true),
        (
            r#","ReadOnly":true"#,
            r#","Shared":true,"ReadOnly":true"#,
            true,
        ),
        (r#","ReadOnly":true"#, r#","Shared":true"#, false),
        (r#","ReadOnly":true"#, "", false),
        (r#","Shared":true"#, "", false),
    ] {
        for (first, second) in [(first, second), (second, first)] {
            let owners = Owners::default();
            let one = |more: &str| disks(&[disk(&file, more)]);
            assert_eq!(refusal(&owners, A, &one(first)), None);
            assert_eq!(
                refusal(&owners, B, &one(second)).is_none(),
                fine,
                "{first} {second}"
            );
        }
    }
}

#[test]
fn who_waits_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let owners = Owners::default();
    let config = disks(&[disk(&file, "")]);
    assert_eq!(refusal(&owners, A, &config), None);
    assert!(owners.knows(A) && !owners.knows(B));
    assert!(!owners.release(B), "it had nothing");
    assert!(refusal(&owners, B, &config).is_some());
    assert!(owners.release(A));
    assert_eq!(refusal(&owners, B, &config), None);
    assert!(!owners.release(B), "nobody waits");
    owners.expect(A, &spec(A, &config));
    assert!(
        refusal(&owners, B, &config).is_some(),
        "it was there before"
    );
}

#[test]
fn a_domain_does_not_ask_for_one_thing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let [file, soft] = ["file", "soft"].map(|n| dir.path().join(n));
    fs::write(&file, "x").unwrap();
    symlink(&file, &soft).unwrap();
    let owners = Owners::default();
    assert_eq!(
        refusal(&owners, A, &disks(&[disk(&file, ""), disk(&soft, "")])),
        Some(format!(
            "DiskConfigList[1].FileLocation: {}: DiskConfigList[0].FileLocation is the same",
            soft.display()
        ))
    );
    let read = r#","ReadOnly":true"#;
    assert_eq!(
        refusal(&owners, A, &disks(&[disk(&file, read), disk(&soft, read)])),
        None
    );
    for (list, error) in [
        (
            r#"[{"Vif":"x"},{"Vif":"x"}]"#,
            r#"VifList[1].Vif: "x" is also the name of VifList[0]"#,
        ),
        (
            r#"[{"Mac":"02:00:00:00:00:01"},{"Mac":"02:00:00:00:00:01"}]"#,
            "VifList[1].Mac: 02:00:00:00:00:01 is also the address of VifList[0]",
        ),
    ] {
        assert_eq!(
            refusal(&owners, A, &format!(r#","VifList":{list}"#)),
            Some(error.to_owned())
        );
    }
}

#[test]
fn an_image_is_read_by_many_and_written_to_by_none() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, "x").unwrap();
    let from = |more: &str| disks(&[disk(&image, &format!(r#","ImageSha256":"ab"{more}"#))]);
    let owners = Owners::default();
    assert_eq!(refusal(&owners, A, &from("")), None);
    assert_eq!(refusal(&owners, B, &from("")), None);
    assert_eq!(refusal(&owners, B, &from(r#","ReadOnly":true"#)), None);
    assert!(refusal(&owners, B, &disks(&[disk(&image, "")])).is_some());
    // The copy, once it is there.
    let copy = dir.path().join("copy");
    fs::write(&copy, "x").unwrap();
    let mut ready = spec(A, &from(""));
    ready.disks[0].path = copy.to_str().unwrap().to_owned();
    owners.take(A, &ready, &[]).unwrap();
    assert!(refusal(&owners, B, &disks(&[disk(&copy, "")])).is_some());
}

#[test]
fn a_kernel_is_read_by_many_and_written_to_by_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vmlinuz");
    std::fs::write(&file, "kernel").unwrap();
    let path = file.display().to_string();
    let boots = |key, what: fn(&mut Spec) -> &mut Option<String>| {
        let mut spec = spec(key, "");
        *what(&mut spec) = Some(path.clone());
        spec
    };
    for what in [
        (|spec| &mut spec.kernel) as fn(&mut Spec) -> &mut Option<String>,
        |spec| &mut spec.ramdisk,
    ] {
        let owners = Owners::default();
        owners.take(A, &boots(A, what), &[]).unwrap();
        owners.take(B, &boots(B, what), &[]).unwrap();
        let reads = disks(&[disk(&file, r#","ReadOnly":true"#)]);
        assert_eq!(refusal(&owners, B, &reads), None);
        let wanted = format!("DiskConfigList[0].FileLocation: {path} is used by da.10 ({A})");
        let writes = disks(&[disk(&file, "")]);
        assert_eq!(refusal(&owners, B, &writes), Some(wanted));
    }
}

#[test]
fn interfaces_and_screens_have_one_owner() {
    let hvm = r#","VirtualizationMode":"HVM""#;
    let mac = r#","VifList":[{"Mac":"02:00:00:00:00:01"}]"#;
    for (first, second, wanted) in [
        (
            mac,
            mac,
            Some("VifList[0].Mac: 02:00:00:00:00:01, on the bridge xenbr0, is used by da.10"),
        ),
        (
            mac,
            r#","VifList":[{},{"Mac":"02:00:00:00:00:01","Bridge":"b"}]"#,
            None,
        ),
        (
            r#","VifList":[{"Vif":"x"}]"#,
            r#","VifList":[{},{"Vif":"x"}]"#,
            Some("VifList[1].Vif: \"x\" is used by da.10"),
        ),
        (
            r#","VirtualizationMode":"HVM","VifList":[{"Vif":"x"}]"#,
            r#","VifList":[{"Vif":"x-emu"}]"#,
            Some("VifList[0].Vif: \"x-emu\" is used by da.10"),
        ),
        (
            r#","VifList":[{"Vif":"x"}]"#,
            r#","VifList":[{"Vif":"x-emu"}]"#,
            None,
        ),
        (
            r#","VifList":[{"Bridge":"lan"}]"#,
            r#","VifList":[{"Vif":"lan"}]"#,
            Some("VifList[0].Vif: \"lan\", as a bridge, is used by da.10"),
        ),
        (
            r#","VifList":[{"Vif":"lan"}]"#,
            r#","VifList":[{"Bridge":"lan"}]"#,
            Some("VifList[0].Bridge: \"lan\", as the name of an interface, is used by da.10"),
        ),
        (
            r#","EnableVnc":true,"VncDisplay":5"#,
            r#","EnableVnc":true,"VncDisplay":5"#,
            Some("VncDisplay: 5 is used by da.10"),
        ),
        (
            r#","EnableVnc":true,"VncDisplay":5,"VncListen":"0.0.0.0""#,
            r#","EnableVnc":true,"VncDisplay":5"#,
            Some("VncDisplay: 5 is used by da.10"),
        ),
        (
            r#","EnableVnc":true,"VncDisplay":5,"VncListen":"10.0.0.1""#,
            r#","EnableVnc":true,"VncDisplay":5"#,
            None,
        ),
        (r#","EnableVnc":true"#, r#","EnableVnc":true"#, None),
        (
            r#","VncDisplay":5"#,
            r#","EnableVnc":true,"VncDisplay":5"#,
            None,
        ),
    ] {
        let owners = Owners::default();
        assert_eq!(refusal(&owners, A, first), None, "{first}");
        let found = refusal(&owners, B, second);
        let wanted = wanted.map(|w| format!("{w} ({A})"));
        assert_eq!(found, wanted, "{first}{hvm} beside {second}");
    }
}

#[test]
fn what_two_can_have_and_should_not_is_said_of_the_second() {
    let owners = Owners::default();
    let mac = |bridge: &str| {
        format!(r#","AppNum":7,"VifList":[{{"Mac":"02:00:00:00:00:01","Bridge":"{bridge}"}}]"#)
    };
    owners.take(A, &spec(A, &mac("a")), &[]).unwrap();
    owners.take(B, &spec(B, &mac("b")), &[]).unwrap();
    assert_eq!(
        owners.warnings(B),
        [
            format!("AppNum: 7 is also that of da.7 ({A})"),
            format!(
                "VifList[0].Mac: 02:00:00:00:00:01 is also the address of da.7 ({A}), on the bridge a"
            ),
        ]
    );
    assert_eq!(owners.warnings(Uuid::nil()), [""; 0]);
    let both = r#","VifList":[{"Mac":"02:00:00:00:00:02"},{"Mac":"02:00:00:00:00:02","Bridge":"b"}],"IRQs":[9]"#;
    owners.take(A, &spec(A, both), &[]).unwrap();
    let own =
        "VifList[1].Mac: 02:00:00:00:00:02 is also the address of VifList[0], on the bridge xenbr0";
    assert_eq!(owners.warnings(A), [own]);
    owners.take(B, &spec(B, r#","IRQs":[9]"#), &[]).unwrap();
    assert_eq!(
        owners.warnings(B),
        [format!("IRQs: 9 is also given to da.10 ({A})")]
    );
}

#[test]
fn what_other_toolstacks_domains_have_is_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let text = file.to_str().unwrap().to_owned();
    let other = |write| Taken {
        owner: "domain 7 (x)".to_owned(),
        claims: Claims::of_other(
            [(text.clone(), write)],
            [("02:00:00:00:00:01".to_owned(), None, Some("y".to_owned()))],
        ),
    };
    let owners = Owners::default();
    let ask = |more: &str, write| {
        let refused = owners.take(A, &spec(A, more), &[other(write)]).err();
        refused.map(|r| (r.ours, format!("{}: {}", r.field, r.reason)))
    };
    let used =
        |field: &str, what: &str| Some((false, format!("{field}: {what} is used by domain 7 (x)")));
    let wanted = used("DiskConfigList[0].FileLocation", &text);
    assert_eq!(ask(&disks(&[disk(&file, "")]), false), wanted);
    assert_eq!(
        ask(&disks(&[disk(&file, r#","ReadOnly":true"#)]), true),
        wanted
    );
    assert_eq!(
        ask(&disks(&[disk(&file, r#","ReadOnly":true"#)]), false),
        None
    );
    assert_eq!(
        ask(r#","VifList":[{"Vif":"y"}]"#, true),
        used("VifList[0].Vif", "\"y\"")
    );
    let mac = "02:00:00:00:00:01, on the bridge xenbr0,";
    assert_eq!(
        ask(r#","VifList":[{"Mac":"02:00:00:00:00:01"}]"#, true),
        used("VifList[0].Mac", mac)
    );
}

#[test]
fn hardware_of_the_host_is_compared_by_what_it_is() {
    let owners = Owners::default();
    let first = r#","IRQs":[4],"IOMem":["f7020,2"]"#;
    assert_eq!(refusal(&owners, A, first), None);
    let second = r#","IRQs":[5],"IOMem":["f7021,1","f7022,1"]"#;
    assert_eq!(refusal(&owners, B, second), None);
    let said = owners.warnings(B);
    let words = format!("IOMem: 0xf7021,1 is also given to da.10 ({A})");
    assert_eq!(said, [words]);
    let twice = r#","IRQs":[6,7,6],"IOMem":["f8000,10","f800f,1"]"#;
    assert_eq!(refusal(&owners, B, twice), None);
    let said = owners.warnings(B);
    assert_eq!(
        said,
        ["IOMem: 0xf800f,1 is given twice, also as 0xf8000,10"]
    );
}

#[test]
fn a_boot_loader_is_no_guests_disk() {
    let owners = Owners::default();
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("loader");
    std::fs::write(&path, "x").unwrap();
    let path = path.display();
    let loads = format!(r#","BootLoader":"{path}","DiskConfigList":[{{"FileLocation":"/other"}}]"#);
    assert_eq!(refusal(&owners, A, &loads), None);
    let writes = format!(r#","DiskConfigList":[{{"FileLocation":"{path}"}}]"#);
    let refused = refusal(&owners, B, &writes).unwrap();
    assert!(refused.contains("is used by"), "{refused}");
}

#[test]
fn a_display_that_was_chosen_is_owned_too() {
    let owners = Owners::default();
    assert_eq!(refusal(&owners, A, r#","EnableVnc":true"#), None);
    let one = r#","EnableVnc":true,"VncDisplay":1"#;
    owners.shows(A, "127.0.0.1".parse().unwrap(), 1);
    assert!(
        refusal(&owners, B, one)
            .unwrap()
            .starts_with("VncDisplay: 1 is used by")
    );
    let mapped = r#","EnableVnc":true,"VncDisplay":1,"VncListen":"::ffff:127.0.0.1""#;
    assert!(refusal(&owners, B, mapped).is_some());
}
