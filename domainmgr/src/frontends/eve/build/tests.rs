use super::*;
use crate::base::json::parse;
use crate::frontends::eve::DomainConfig;
use crate::spec::{Mode, Spec};

mod limits;

const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

fn build(more: &str) -> std::result::Result<Spec, String> {
    let text = format!(
        r#"{{"UUIDandVersion":{{"UUID":"{KEY}","Version":"1"}},"DisplayName":"app","AppNum":3,"Kernel":"/k","Memory":16385{more}}}"#
    );
    let config: DomainConfig = parse(text.as_bytes()).map_err(|e| e.to_string())?;
    spec(KEY.parse().unwrap(), &config).map_err(|e| e.to_string())
}

#[test]
fn defaults_are_eves() {
    let s = build("").unwrap();
    assert_eq!(s.name, "app.3");
    assert_eq!(s.memory_mib, 17);
    assert_eq!((s.vcpus, s.max_vcpus, s.max_memory_mib), (1, 1, None));
    assert_eq!(
        s.cmdline(),
        format!("root=/dev/xvda1 console=hvc0 appuuid={KEY}")
    );
    let s = build(r#","VirtualizationMode":"PVH","ExtraArgs":"a b","VCpus":2,"CPUs":"3,1-2,2""#)
        .unwrap();
    assert_eq!(s.mode, Mode::Pvh);
    assert_eq!(s.cmdline(), "a b");
    assert_eq!(s.cpus, [1, 2, 3]);
    assert_eq!(s.max_vcpus, 2);
}

#[test]
fn errors_name_the_field() {
    for (more, error) in [
        (
            r#","Memory":"lots""#,
            r#"Memory: expected an integer of kB, found string "lots""#,
        ),
        (
            r#","Memory":-1"#,
            "Memory: expected an integer of kB, found integer `-1`",
        ),
        (
            r#","Memory":0"#,
            "Memory: expected an integer of kB above 0, found 0",
        ),
        (
            r#","MaxMem":1"#,
            "MaxMem: 1 kB is less than Memory, 16385 kB",
        ),
        (
            r#","VirtualizationMode":7"#,
            r#"VirtualizationMode: expected 0 or "PV", 1 or "HVM", or "PVH", found 7"#,
        ),
        (
            r#","VirtualizationMode":"LXC""#,
            r#"VirtualizationMode: expected 0 or "PV", 1 or "HVM", or "PVH", found "LXC""#,
        ),
        (
            r#","Kernel":"k""#,
            r#"Kernel: expected an absolute path, found "k""#,
        ),
        (
            r#","Kernel":"""#,
            "Kernel: a PV domain needs a Kernel or a BootLoader",
        ),
        (
            r#","DisplayName":"x\"\nkernel=\"/etc/passwd""#,
            r#"DisplayName: '"' cannot be in the name of a domain"#,
        ),
        (
            r#","DisplayName":"x\ny""#,
            r"DisplayName: '\n' cannot be in the name of a domain",
        ),
        (
            r#","OnCrash":"explode""#,
            r#"OnCrash: expected one of destroy, restart, rename-restart, preserve, coredump-destroy, coredump-restart, soft-reset, found "explode""#,
        ),
        (
            r#","IoAdapterList":[{"Type":1,"Name":"eth1"},{"Type":2}]"#,
            "IoAdapterList[1].Name: missing",
        ),
        (
            r#","CloudInitUserData":"aGk""#,
            "CloudInitUserData: not base64: Invalid padding",
        ),
        (
            r#","VncPasswd":12345678"#,
            "VncPasswd: expected text, found a number",
        ),
        (
            r#","VncPasswd":["secret"]"#,
            "VncPasswd: expected text, found a list",
        ),
        (
            r#","CloudInitUserData":{"password":"secret"}"#,
            "CloudInitUserData: expected base64 text, found an object",
        ),
        (
            r#","CloudInitUserData":12345678"#,
            "CloudInitUserData: expected base64 text, found a number",
        ),
        (
            r#","CloudInitUserData":"*""#,
            "CloudInitUserData: expected base64 text, found another character at 0",
        ),
        (
            r#","DiskConfigList":[{"Format":"raw"}]"#,
            "DiskConfigList[0].ImageSha256: missing, and FileLocation as well",
        ),
        (
            r#","DiskConfigList":[{"ImageSha256":"../ab"}]"#,
            r#"DiskConfigList[0].ImageSha256: expected hexadecimal digits, found "../ab""#,
        ),
        (
            r#","DiskConfigList":[{"FileLocation":"/d","Format":"vmdk"}]"#,
            r#"DiskConfigList[0].Format: expected one of raw, qcow, qcow2, vhd, iso, found "vmdk""#,
        ),
        (
            r#","DiskConfigList":[{"FileLocation":"/d","Devtype":"floppy"}]"#,
            r#"DiskConfigList[0].Devtype: expected "hdd", "cdrom" or "", found "floppy""#,
        ),
        (
            r#","DiskConfigList":[{"FileLocation":"/d\nformat=qcow2"}]"#,
            r"DiskConfigList[0].FileLocation: '\n' cannot be part of it",
        ),
        (
            r#","VifList":[{"Bridge":"a,script=/x"}]"#,
            r#"VifList[0].Bridge: expected the name of an interface, letters, digits and "._-", found "a,script=/x""#,
        ),
        (
            r#","VifList":[{"Mac":"00:11"}]"#,
            r#"VifList[0].Mac: expected six hexadecimal octets, found "00:11""#,
        ),
        (
            r#","VifList":[{"Type":"e1000"}]"#,
            r#"VifList[0].Type: expected "vif" or "ioemu", found "e1000""#,
        ),
        (
            r#","VifList":[{},{"Type":"ioemu"}]"#,
            "VifList[1].Type: only an HVM domain has emulated cards",
        ),
        (
            r#","VifList":[{"MTU":67}]"#,
            "VifList[0].MTU: expected 0, or 68 to 65517 bytes, found 67",
        ),
        (
            r#","IOMem":["x"]"#,
            r#"IOMem[0]: expected START,COUNT in hexadecimal pages, found "x""#,
        ),
        (
            r#","CPUs":"2-1""#,
            r#"CPUs: expected numbers below 4096 like "1,2" or "0-3", found "2-1""#,
        ),
        (
            r#","UUIDandVersion":{"UUID":"00000000-0000-0000-0000-000000000001"}"#,
            "UUIDandVersion.UUID: 00000000-0000-0000-0000-000000000001 is not the name of the file, 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        ),
    ] {
        // The last of two members with one name counts, so each of these replaces the default.
        assert_eq!(build(more).unwrap_err(), error);
    }
}

#[test]
fn an_interface_has_an_address_of_its_own_that_stays() {
    let macs = |text: &str| -> Vec<[u8; 6]> {
        let spec = build(&format!(r#","VifList":{text}"#)).unwrap();
        spec.nics.iter().map(|nic| nic.mac).collect()
    };
    let two = macs("[{},{}]");
    assert_ne!(two[0], two[1]);
    assert!(two.iter().all(|mac| mac.starts_with(&[0x00, 0x16, 0x3e])));
    assert_eq!(macs(r#"[{"Bridge":"b","MTU":1400},{}]"#), two);
    let given = macs(r#"[{"Mac":"02:00:00:00:00:0a"},{}]"#);
    assert_eq!(given, [[2, 0, 0, 0, 0, 10], two[1]]);
}

#[test]
fn many_ranges_of_processors_take_no_memory() {
    let all = |times| build(&format!(r#","CPUs":"{}""#, vec!["0-4095"; times].join(",")));
    assert_eq!(all(4096).unwrap().cpus.len(), 4096);
    assert_eq!(
        all(4097).unwrap_err(),
        "CPUs: 4097 numbers and ranges, at most 4096"
    );
}

#[test]
fn secrets_do_not_show() {
    let s = build(r#","EnableVnc":true,"VncPasswd":"hunter2""#).unwrap();
    assert!(!format!("{s:?}").contains("hunter2"));
    assert_eq!(s.vnc.unwrap().passwd.unwrap().reveal(), "hunter2");
}

#[test]
fn rename_restart_keeps_no_device_that_the_next_domain_needs() {
    let devices = "rename-restart keeps the domain, and with it the devices";
    let qemu = "rename-restart keeps QEMU";
    let adapter = r#""IoAdapterList":[{"Name":"eth1"}]"#;
    let writes = r#""DiskConfigList":[{"FileLocation":"/d"}]"#;
    let reads = r#""DiskConfigList":[{"FileLocation":"/d","Devtype":"cdrom"}]"#;
    for (action, more, refused) in [
        ("OnCrash", adapter, Some(devices)),
        ("OnReboot", adapter, Some(devices)),
        ("OnSoftReset", r#""DtDev":["/a"]"#, Some(devices)),
        ("OnCrash", r#""IRQs":[5]"#, Some(devices)),
        ("OnCrash", r#""EnableVnc":true,"VncDisplay":5"#, Some(qemu)),
        ("OnCrash", r#""IOMem":["f7020,1"]"#, None),
        ("OnCrash", writes, Some(qemu)),
        ("OnCrash", r#""VifList":[{"Vif":"nbu1x1"}]"#, Some(qemu)),
        ("OnCrash", r#""VifList":[{}]"#, None),
        ("OnCrash", reads, None),
    ] {
        for mode in ["PV", "PVH", "HVM"] {
            let found = build(&format!(
                r#","VirtualizationMode":"{mode}","{action}":"rename_restart",{more}"#
            ));
            // Interrupts reach PV guests only, and only QEMU keeps the disks and interfaces that an ended domain has released.
            let (pv_only, hvm_only) = (
                more.contains("IRQs"),
                more.contains("VifList") || more == writes,
            );
            let refused = refused.filter(|_| mode == "PV" || !pv_only);
            let refused = refused.filter(|_| mode == "HVM" || !hvm_only);
            match (found, refused) {
                (Ok(_), None) => {}
                (Err(e), Some(why)) => assert!(e.starts_with(&format!("{action}: {why}")), "{e}"),
                (found, _) => panic!("{mode} {more}: {found:?}"),
            }
        }
        assert!(build(&format!(r#","OnCrash":"preserve",{more}"#)).is_ok());
    }
}

#[test]
fn only_pygrub_itself_is_xens_own() {
    for (path, runs) in [
        ("pygrub", "pygrub"),
        ("/usr/bin/pygrub", "pygrub"),
        ("/opt/mypygrub", "/opt/mypygrub"),
        ("/opt/pygrub.old", "/opt/pygrub.old"),
    ] {
        let disk = r#""DiskConfigList":[{"FileLocation":"/d"}]"#;
        let spec = build(&format!(r#","BootLoader":"{path}",{disk}"#)).unwrap();
        assert_eq!(spec.bootloader.as_deref(), Some(runs));
    }
}

#[test]
fn the_case_of_an_images_hash_means_nothing() {
    let of = |hashes: [&str; 2]| {
        let disks = hashes.map(|hash| format!(r#"{{"ImageSha256":"{hash}"}}"#));
        build(&format!(r#","DiskConfigList":[{}]"#, disks.join(","))).unwrap()
    };
    let small = of(["ab", "ab"]);
    assert_eq!(of(["AB", "aB"]), small);
    let names = small.disks.iter();
    let names: Vec<&String> = names
        .map(|d| &d.image.as_ref().unwrap().copy.as_ref().unwrap().name)
        .collect();
    assert_eq!(
        names,
        [&format!("ab-{KEY}.raw"), &format!("ab-{KEY}-2.raw")]
    );
}

#[test]
fn what_may_surprise_is_said() {
    let warnings = |more: &str| -> Vec<String> {
        let kernel = if more.contains("Kernel") {
            ""
        } else {
            r#","Kernel":"/k""#
        };
        let text = format!(
            r#"{{"UUIDandVersion":{{"UUID":"{KEY}"}},"DisplayName":"app","Memory":16384{kernel}{more}}}"#
        );
        let found =
            crate::frontends::eve::understand(KEY.parse().unwrap(), text.as_bytes()).unwrap();
        found.spec.unwrap();
        found.warnings.iter().map(ToString::to_string).collect()
    };
    let image = r#"{"ImageSha256":"ab"}"#;
    for (more, wanted) in [
        (
            r#","Kernel":"","BootLoader":"/usr/bin/pygrub","DiskConfigList":[{"FileLocation":"/d"}]"#.to_owned(),
            Some("BootLoader: libxl's own pygrub runs instead of /usr/bin/pygrub"),
        ),
        (
            r#","Kernel":"","BootLoader":"pygrub","DiskConfigList":[{"FileLocation":"/d"}]"#.to_owned(),
            None,
        ),
        (
            r#","ExtraArgs":"a=\"b c""#.to_owned(),
            Some("ExtraArgs: it has an odd number of \""),
        ),
        (r#","ExtraArgs":"a=\"b c\"""#.to_owned(), None),
        (
            r#","DiskConfigList":[{"FileLocation":"/d","Format":9,"Devtype":"hdd"}]"#.to_owned(),
            Some("DiskConfigList[0].Devtype: hdd, although the Format is iso"),
        ),
        (
            format!(r#","DiskConfigList":[{{"FileLocation":"/d"}},{image},{{"ImageSha256":"AB"}}]"#),
            Some("DiskConfigList[2].ImageSha256: DiskConfigList[1] has the same image"),
        ),
        (
            format!(r#","DiskConfigList":[{image},{{"ImageSha256":"ab","ReadOnly":true}}]"#),
            None,
        ),
        (
            r#","VirtualizationMode":"HVM","IRQs":[5]"#.to_owned(),
            Some("IRQs: without effect: Xen delivers"),
        ),
        (r#","IRQs":[5]"#.to_owned(), None),
        // Xen maps pages into every guest.
        (
            r#","VirtualizationMode":"PVH","IOMem":["f7020,1"]"#.to_owned(),
            None,
        ),
    ] {
        let found = warnings(&more);
        match wanted {
            None => assert_eq!(found, [""; 0], "{more}"),
            Some(wanted) => assert!(
                found.len() == 1 && found[0].starts_with(wanted),
                "{more}: {found:?}"
            ),
        }
    }
}
