//! The JSON form that libxl reads and writes.

use super::*;

#[test]
fn pv_as_json() {
    assert_eq!(
        to_json(&typical::pv()),
        json!({
            "c_info": { "type": "pv", "name": "pv guest", "uuid": "4da36d5a-4ed9-4e6e-8b8f-2ac12f0c9d11" },
            "b_info": {
                "max_vcpus": 2,
                "avail_vcpus": [0, 1],
                "cpumap": [0, 1, 9],
                "max_memkb": 131_072,
                "target_memkb": 131_072,
                "claim_mode": "True",
                "kernel": "/boot/vmlinuz",
                "ramdisk": "/boot/initrd.img",
                "cmdline": "root=/dev/xvda1 console=hvc0 quiet=\"yes\"",
                "type.pv": { "e820_host": "True" },
            },
            "disks": [
                { "pdev_path": "/dev/vg/root", "vdev": "xvda", "format": "raw", "readwrite": 1 },
                { "pdev_path": "/images/data.qcow2", "vdev": "xvdb", "format": "qcow2" },
            ],
            "nics": [{ "bridge": "xenbr0", "ifname": "nbu1x1", "mac": "00:16:3e:0a:bc:01" }],
            "pcidevs": [{ "bus": 7, "func": 1 }],
            "vfbs": [{ "vnc": { "enable": "True", "listen": "0.0.0.0", "display": 3 } }],
            "vkbs": [{}],
            "channels": [{ "name": "org.example.agent.1", "connection.socket": { "path": "/run/agent.sock" } }],
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset",
        }),
    );
}

#[test]
fn pvh_as_json() {
    assert_eq!(
        to_json(&typical::pvh()),
        json!({
            "c_info": { "type": "pvh", "name": "pvh", "uuid": "4da36d5a-4ed9-4e6e-8b8f-2ac12f0c9d11" },
            "b_info": {
                "max_vcpus": 4,
                "avail_vcpus": [0],
                "vcpu_hard_affinity": [[1], [0, 1, 2]],
                "max_memkb": 524_288,
                "target_memkb": 262_144,
                "rtc_timeoffset": 4_294_963_696_u32,
                "claim_mode": "True",
                "bootloader": "pygrub",
                "type.pvh": {},
            },
            "disks": [{ "pdev_path": "/images/root.img", "vdev": "xvda1", "format": "raw", "readwrite": 1 }],
            "nics": [{ "bridge": "xenbr0" }],
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset",
        }),
    );
}

#[test]
fn hvm_as_json() {
    assert_eq!(
        to_json(&typical::hvm()),
        json!({
            "c_info": { "type": "hvm", "name": "desktop", "uuid": "4da36d5a-4ed9-4e6e-8b8f-2ac12f0c9d11" },
            "b_info": {
                "max_vcpus": 4,
                "avail_vcpus": [0, 1, 2, 3],
                "max_memkb": 4_194_304,
                "target_memkb": 4_194_304,
                "claim_mode": "True",
                "type.hvm": {
                    "bios": "ovmf",
                    "boot": "dc",
                    "serial": "pty",
                    "hpet": "False",
                    "usb": "True",
                    "usbdevice_list": ["tablet"],
                    "vga": { "kind": "std" },
                    "vnc": { "enable": "True", "passwd": "hunter2", "findunused": "False" },
                },
            },
            "disks": [
                { "pdev_path": "/images/windows.qcow2", "vdev": "hda", "format": "qcow2", "readwrite": 1 },
                { "pdev_path": "/images/install.iso", "vdev": "hdc", "format": "raw", "removable": 1, "is_cdrom": 1 },
                { "vdev": "hdd", "format": "empty", "removable": 1, "is_cdrom": 1 },
            ],
            "nics": [{ "model": "e1000", "bridge": "bn2" }],
            "pcidevs": [
                { "domain": 1, "bus": 0x8f, "dev": 0x1f, "func": 7, "permissive": true, "rdm_policy": "relaxed" },
            ],
            "usbctrls": [{ "version": 2, "ports": 6 }],
            "usbdevs": [{ "ctrl": 0, "port": 1, "type.hostdev": { "hostbus": 3, "hostaddr": 2 } }],
            "on_reboot": "restart",
            "on_soft_reset": "soft_reset",
        }),
    );
}

#[test]
fn yes_and_no() {
    let form = |hap| {
        to_json(&CreateInfo {
            hap,
            ..CreateInfo::default()
        })["hap"]
            .clone()
    };
    assert_eq!(form(Some(true)), json!("True"));
    assert_eq!(form(Some(false)), json!("False"));
    assert_eq!(form(None), Value::Null);

    let read = |hap: Value| {
        serde_json::from_value::<CreateInfo>(json!({ "hap": hap })).map(|read| read.hap)
    };
    assert_eq!(read(json!("True")).unwrap(), Some(true));
    assert_eq!(read(json!("False")).unwrap(), Some(false));
    assert_eq!(read(json!("<default>")).unwrap(), None);
    assert_eq!(read(json!(null)).unwrap(), None);
    assert_eq!(read(json!(true)).unwrap(), Some(true));
    assert!(
        read(json!("true"))
            .unwrap_err()
            .to_string()
            .contains("\"True\"")
    );
    assert!(read(json!(1)).is_err());
}

#[test]
fn integers_that_mean_yes_and_no() {
    let disk = Disk {
        removable: true,
        ..Disk::default()
    };
    assert_eq!(to_json(&disk), json!({ "removable": 1 }));
    let read = |removable: Value| from_json::<Disk>(json!({ "removable": removable })).removable;
    assert!(read(json!(1)) && read(json!(2)) && read(json!(-1)) && read(json!(true)));
    assert!(!read(json!(0)) && !read(json!(false)));
}

#[test]
fn clock_offsets_are_signed() {
    for (seconds, form) in [(-1, u32::MAX), (3600, 3600), (i32::MIN, 1 << 31), (0, 0)] {
        let b_info = BuildInfo {
            rtc_timeoffset: Some(seconds),
            ..BuildInfo::default()
        };
        assert_eq!(to_json(&b_info)["rtc_timeoffset"], json!(form));
        assert_eq!(from_json::<BuildInfo>(to_json(&b_info)), b_info);
    }
}

#[test]
fn the_kind_of_guest_is_written_twice_and_must_agree() {
    for kind in [DomainType::Pv, DomainType::Hvm, DomainType::Pvh] {
        let config = DomainConfig::new("x", kind);
        assert_eq!(config.domain_type(), kind);
        assert_eq!(to_json(&config)["c_info"]["type"], json!(kind.word()));
        assert_eq!(
            to_json(&config)["b_info"][format!("type.{kind}")],
            json!({})
        );
        assert_eq!(to_json(&kind), json!(kind.word()));
        assert_eq!(kind.word().parse::<DomainType>().unwrap(), kind);
    }
    let read =
        |json| serde_json::from_value::<DomainConfig>(json).map(|config| config.domain_type());
    assert_eq!(
        read(json!({ "c_info": { "type": "hvm" } })).unwrap(),
        DomainType::Hvm
    );
    assert_eq!(
        read(json!({ "c_info": { "type": "pvh" }, "b_info": { "max_vcpus": 1 } })).unwrap(),
        DomainType::Pvh
    );
    assert_eq!(
        read(json!({ "b_info": { "type.pvh": {} } })).unwrap(),
        DomainType::Pvh
    );
    let contradiction =
        read(json!({ "c_info": { "type": "pv" }, "b_info": { "type.pvh": {} } })).unwrap_err();
    assert_eq!(
        contradiction.to_string(),
        "c_info.type is \"pv\" but b_info has \"type.pvh\""
    );
    assert!(read(json!({})).is_err());
    assert!(read(json!({ "c_info": { "type": "vm" } })).is_err());
    assert!(read(json!({ "b_info": 7 })).is_err());
}

#[test]
fn fields_are_found_in_their_old_places() {
    let hvm: DomainConfig = from_json(json!({
        "c_info": { "type": "hvm" },
        "b_info": { "type.hvm": {
            "apic": "False", "acpi": "False", "nested_hvm": "True", "timer_mode": "no_missed_ticks_pending",
        } },
    }));
    assert_eq!(hvm.b_info.apic, Some(false));
    assert_eq!(hvm.b_info.nested_hvm, Some(true));
    assert_eq!(hvm.b_info.timer_mode, Some(TimerMode::NoMissedTicksPending));
    assert_eq!(
        hvm.b_info.guest,
        HvmInfo {
            acpi: Some(false),
            ..HvmInfo::default()
        }
        .into()
    );

    let pv: DomainConfig = from_json(json!({
        "b_info": { "cmdline": "new", "type.pv": {
            "kernel": "k", "ramdisk": "r", "cmdline": "old", "bootloader": "b", "bootloader_args": ["-q"],
        } },
    }));
    let expected = BuildInfo {
        kernel: Some("k".to_owned()),
        ramdisk: Some("r".to_owned()),
        cmdline: Some("new".to_owned()),
        bootloader: Some("b".to_owned()),
        bootloader_args: vec!["-q".to_owned()],
        ..BuildInfo::default()
    };
    assert_eq!(pv.b_info, expected);
}

#[test]
fn what_a_newer_xen_adds_is_no_error() {
    let config: DomainConfig = from_json(json!({
        "c_info": { "type": "pvh", "quantum": "True" },
        "b_info": { "type.pvh": { "cat": 7 }, "tee": "coffee" },
        "teleporters": [{}],
        "on_crash": "weep",
    }));
    assert_eq!(to_json(&config.b_info.tee), json!("coffee"));
    assert_eq!(config.on_crash, ActionOnShutdown::Other("weep".to_owned()));
    assert_eq!(to_json(&config)["on_crash"], json!("weep"));
}

#[test]
fn unset_enumerations_are_null_or_absent() {
    // libxl's `to_json` writes null for a value that is not in the table of the enumeration.
    let disk: Disk = from_json(json!({ "format": null, "backend": null }));
    assert_eq!(disk, Disk::default());
}

#[test]
fn cpuid_policies_have_two_forms() {
    let leaf = CpuidLeaf {
        leaf: Some(1),
        subleaf: None,
        ecx: Some("x".repeat(32)),
        ..CpuidLeaf::default()
    };
    let leaves = CpuidPolicy {
        cpuid: vec![leaf.clone()],
        msr: Vec::new(),
    };
    let old_form = json!([{ "leaf": 1, "ecx": "x".repeat(32) }]);
    assert_eq!(to_json(&leaves), old_form);
    assert_eq!(from_json::<CpuidPolicy>(old_form.clone()), leaves);
    assert_eq!(
        from_json::<CpuidPolicy>(json!({ "cpuid": old_form, "msr": [] })),
        leaves
    );

    let msr = MsrPolicy {
        index: 0x10a,
        policy: "k".repeat(64),
    };
    let both = CpuidPolicy {
        cpuid: vec![leaf],
        msr: vec![msr],
    };
    let new_form =
        json!({ "cpuid": old_form, "msr": [{ "index": 0x10a, "policy": "k".repeat(64) }] });
    assert_eq!(to_json(&both), new_form);
    assert_eq!(from_json::<CpuidPolicy>(new_form), both);

    // libxl requires both keys.
    let msr_only = CpuidPolicy {
        cpuid: Vec::new(),
        ..both
    };
    assert_eq!(to_json(&msr_only)["cpuid"], json!([]));
}

#[test]
fn keys_and_values() {
    let read: CreateInfo = from_json(json!({ "xsdata": { "vm-data/a": "1", "gone": null } }));
    assert_eq!(
        read.xsdata,
        BTreeMap::from([("vm-data/a".to_owned(), "1".to_owned())])
    );
    assert_eq!(
        to_json(&read),
        json!({ "name": "", "xsdata": { "vm-data/a": "1" } })
            .as_object()
            .map(|object| {
                let mut object = object.clone();
                object.remove("name");
                Value::Object(object)
            })
            .unwrap()
    );
}

#[test]
fn what_is_written_at_once_is_the_same() {
    for config in full_configs() {
        let text = serde_json::to_string(&Direct(&config)).unwrap();
        let direct: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(direct, to_json(&config));
    }
}
