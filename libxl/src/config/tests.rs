//! Tests of the JSON form, of what is lost in it, and of the checks before it.

mod full;
mod lost;
mod typical;
mod validate;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ActionOnShutdown, Bitmap, BuildInfo, Channel, ChannelConnection, CpuidLeaf, CpuidPolicy,
    CreateInfo, Disk, DiskFormat, DomainConfig, DomainType, Guest, HvmInfo, IomemRange, Mac,
    MsVmGenid, MsrPolicy, Nic, P9, Pci, PvInfo, PvhInfo, Secret, TimerMode, Usbdev, Vkb, VncInfo,
    redact,
};

/// What libxl printed of [`typical::all`], by kind of guest and version.
const GOLDEN: &[(&str, &str, &str)] = &[
    ("pv", "4.14", include_str!("tests/golden/pv-4.14.json")),
    ("pv", "4.17", include_str!("tests/golden/pv-4.17.json")),
    ("pv", "4.20", include_str!("tests/golden/pv-4.20.json")),
    ("pvh", "4.14", include_str!("tests/golden/pvh-4.14.json")),
    ("pvh", "4.17", include_str!("tests/golden/pvh-4.17.json")),
    ("pvh", "4.20", include_str!("tests/golden/pvh-4.20.json")),
    ("hvm", "4.14", include_str!("tests/golden/hvm-4.14.json")),
    ("hvm", "4.17", include_str!("tests/golden/hvm-4.17.json")),
    ("hvm", "4.20", include_str!("tests/golden/hvm-4.20.json")),
];

fn full_configs() -> [DomainConfig; 3] {
    [full::pv(), full::hvm(), full::pvh()].map(full::config)
}

fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

fn from_json<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A configuration that passes every check.
fn sound() -> DomainConfig {
    DomainConfig::pvh("sound")
        .uuid(Uuid::from_u128(1))
        .kernel("/boot/vmlinuz")
        .memory_mib(128)
}

/// The JSON pointers of every value in `json` that is neither an object nor an array of objects.
fn leaves(json: &Value) -> Vec<String> {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let below = |key: String, value: &Value| {
        leaves(value)
            .into_iter()
            .map(move |leaf| format!("/{key}{leaf}"))
    };
    match json {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| below(escape(key), value))
            .collect(),
        Value::Array(array) if array.iter().any(Value::is_object) => array
            .iter()
            .enumerate()
            .flat_map(|(index, value)| below(index.to_string(), value))
            .collect(),
        _ => vec![String::new()],
    }
}

/// Takes a value out of the object that it is in.
fn take_out(json: &mut Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    json.pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(&key)
        .unwrap()
}

#[test]
fn every_field_survives_json() {
    for config in full_configs() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DomainConfig>(&text).unwrap(), config);
    }
}

#[test]
fn every_field_can_be_absent() {
    for config in full_configs() {
        let all = to_json(&config);
        let pointers = leaves(&all);
        assert!(pointers.len() > 200, "{} leaves", pointers.len());
        for pointer in pointers {
            // Without their other half these are something else or nothing.
            if pointer.contains("/cpuid/") || pointer.starts_with("/c_info/type") {
                continue;
            }
            let mut without = all.clone();
            take_out(&mut without, &pointer);
            let read: DomainConfig = from_json(without.clone());
            assert_ne!(read, config, "{pointer} is not read");
            let written = to_json(&read);
            // Plain numbers are written also if they are 0.
            let zero = written
                .pointer(&pointer)
                .is_none_or(|value| *value == json!(0));
            assert!(
                zero,
                "{pointer} is written as {:?}",
                written.pointer(&pointer)
            );
        }
    }
}

#[test]
fn nothing_is_written_of_a_default() {
    assert_eq!(
        to_json(&DomainConfig::default()),
        json!({ "c_info": { "type": "pv" }, "b_info": { "type.pv": {} } }),
    );
    assert_eq!(to_json(&Disk::default()), json!({}));
    assert_eq!(to_json(&Nic::default()), json!({}));
    assert_eq!(to_json(&Pci::default()), json!({}));
    assert_eq!(to_json(&Vkb::default()), json!({}));
    assert_eq!(
        to_json(&Channel::default()),
        json!({ "connection.unknown": {} })
    );
    assert_eq!(
        to_json(&Usbdev::default()),
        json!({ "type.hostdev": { "hostbus": 0, "hostaddr": 0 } })
    );
}

#[test]
fn typical_configurations_come_back_from_libxl_as_they_were_sent() {
    for (kind, version, golden) in GOLDEN {
        let (_, sent) = typical::all()
            .into_iter()
            .find(|(name, _)| name == kind)
            .unwrap();
        let read: DomainConfig = serde_json::from_str(golden).unwrap();
        assert_eq!(read, sent, "{kind} {version}");
    }
}

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
    // What to_json prints of a value that is in no table.
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

    // libxl wants both keys.
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
fn small_types() {
    assert_eq!(to_json(&Bitmap::from([9, 0, 3])), json!([0, 3, 9]));
    assert_eq!(
        from_json::<Bitmap>(json!([3, 9, 0, 3])),
        Bitmap::from([0, 3, 9])
    );
    assert_eq!(Bitmap::from([0, 1, 2, 5, 7, 8]).to_string(), "0-2,5,7-8");
    assert_eq!(
        Bitmap::from([u32::MAX - 1, u32::MAX]).to_string(),
        "4294967294-4294967295"
    );
    assert_eq!(Bitmap::new().to_string(), "");
    assert_eq!(format!("{:?}", Bitmap::first(2)), "Bitmap(0-1)");
    assert_eq!(Bitmap::first(0), Bitmap::new());

    let mut bitmap = Bitmap::from([4]);
    assert!(bitmap.insert(9) && !bitmap.insert(9));
    bitmap.extend([5, 6]);
    assert!(bitmap.remove(4) && !bitmap.remove(4));
    assert!(
        bitmap.contains(6) && !bitmap.contains(4) && !bitmap.is_empty() && Bitmap::new().is_empty()
    );
    assert_eq!(bitmap.iter().collect::<Vec<_>>(), [5, 6, 9]);
    assert_eq!(
        (bitmap.len(), bitmap.last(), Bitmap::new().last()),
        (3, Some(9), None)
    );

    assert_eq!(to_json(&MsVmGenid([7; 16])), json!(vec![7; 16]));
    assert_eq!(
        from_json::<MsVmGenid>(json!(vec![255; 16])),
        MsVmGenid([255; 16])
    );
    assert!(serde_json::from_value::<MsVmGenid>(json!([1, 2])).is_err());
    assert_ne!(MsVmGenid::generate(), MsVmGenid::generate());

    assert_eq!(
        to_json(&IomemRange {
            start: 1,
            number: 0,
            gfn: None
        }),
        json!({ "start": 1, "number": 0 })
    );

    let nil: CreateInfo = from_json(json!({ "uuid": "00000000-0000-0000-0000-000000000000" }));
    assert_eq!(nil.uuid, None);
}

#[test]
fn ethernet_addresses() {
    let mac = Mac([0, 0x16, 0x3e, 0xff, 1, 2]);
    assert_eq!("00:16:3E:ff:01:02".parse(), Ok(mac));
    assert_eq!(to_json(&mac), json!("00:16:3e:ff:01:02"));
    assert_eq!(from_json::<Mac>(json!("00:16:3E:FF:01:02")), mac);
    assert!(Mac::default().is_nil() && !mac.is_nil());
    assert_eq!(format!("{mac:?}"), "Mac(00:16:3e:ff:01:02)");
    for wrong in [
        "",
        "00:16:3e:00:01",
        "00:16:3e:00:01:02:03",
        "0:16:3e:0:1:2",
        "00:16:3e:00:01:0g",
        "00:16:3e:00:01:+2",
        "é:0",
    ] {
        let error = wrong.parse::<Mac>().unwrap_err();
        assert!(error.to_string().contains("Ethernet"), "{wrong}");
    }
}

#[test]
fn pci_addresses() {
    assert_eq!("07:00.1".parse(), Ok(Pci::new(0, 7, 0, 1)));
    assert_eq!("0000:ff:1F.7".parse(), Ok(Pci::new(0, 0xff, 0x1f, 7)));
    assert_eq!("abcd:1:2.3".parse(), Ok(Pci::new(0xabcd, 1, 2, 3)));
    let all = Pci {
        vfunc_mask: Some(Pci::ALL_FUNCTIONS),
        ..Pci::new(0, 1, 2, 0)
    };
    assert_eq!("0000:01:02.*".parse(), Ok(all));
    for wrong in [
        "",
        "07:00",
        "07.1",
        "0:0:07:00.1",
        "07:20.0",
        "07:00.8",
        "107:00.0",
        "12345:07:00.0",
        "07:00.",
        ":00.0",
        "+7:00.0",
        "07:00.**",
    ] {
        let error = wrong.parse::<Pci>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{wrong:?} is no PCI address")),
            "{error}"
        );
    }
}

#[test]
fn unions() {
    let pty = Channel::pty("a");
    assert_eq!(to_json(&pty), json!({ "name": "a", "connection.pty": {} }));
    assert_eq!(from_json::<Channel>(to_json(&pty)), pty);
    let socket = ChannelConnection::Socket { path: None };
    assert_eq!(
        to_json(&Channel {
            connection: socket,
            ..pty
        }),
        json!({ "name": "a", "connection.socket": {} })
    );
    assert_eq!(
        to_json(&Guest::from(PvhInfo::default())),
        json!({ "type.pvh": {} })
    );
}

#[test]
fn constructors_set_what_xl_sets() {
    let config = DomainConfig::pv("a");
    let expected = DomainConfig {
        c_info: CreateInfo {
            name: "a".to_owned(),
            uuid: config.c_info.uuid,
            ..CreateInfo::default()
        },
        b_info: BuildInfo {
            claim_mode: Some(true),
            guest: PvInfo::default().into(),
            ..BuildInfo::default()
        },
        on_poweroff: ActionOnShutdown::Destroy,
        on_reboot: ActionOnShutdown::Restart,
        on_watchdog: ActionOnShutdown::Destroy,
        on_crash: ActionOnShutdown::Destroy,
        on_soft_reset: ActionOnShutdown::SoftReset,
        ..DomainConfig::default()
    };
    assert_eq!(config, expected);
    assert!(config.c_info.uuid.is_some_and(|uuid| !uuid.is_nil()));
    assert_ne!(config.c_info.uuid, DomainConfig::pv("a").c_info.uuid);
}

#[test]
fn limits_follow_memory_and_vcpus_unless_set() {
    let memory = |config: DomainConfig| (config.b_info.target_memkb, config.b_info.max_memkb);
    let new = || DomainConfig::pvh("a");
    assert_eq!(memory(new().memory_mib(1)), (Some(1024), Some(1024)));
    assert_eq!(
        memory(new().memory_mib(2).memory_mib(1)),
        (Some(1024), Some(1024))
    );
    assert_eq!(
        memory(new().memory_mib(1).max_memory_mib(4)),
        (Some(1024), Some(4096))
    );
    assert_eq!(
        memory(new().max_memory_mib(4).memory_mib(1)),
        (Some(1024), Some(4096))
    );
    assert_eq!(
        memory(new().max_memory_mib(1).memory_mib(4)),
        (Some(4096), Some(4096))
    );
    assert_eq!(memory(new().memory_mib(u64::MAX)).0, Some(u64::MAX));

    let vcpus = |config: DomainConfig| (config.b_info.avail_vcpus.len(), config.b_info.max_vcpus);
    assert_eq!(vcpus(new().vcpus(2)), (2, Some(2)));
    assert_eq!(vcpus(new().vcpus(3).vcpus(2)), (2, Some(2)));
    assert_eq!(vcpus(new().vcpus(2).max_vcpus(8)), (2, Some(8)));
    assert_eq!(vcpus(new().max_vcpus(8).vcpus(2)), (2, Some(8)));
    assert_eq!(vcpus(new().max_vcpus(1).vcpus(2)), (2, Some(2)));
}

#[test]
fn builders_know_the_kind_of_guest() {
    let pci = Pci::new(0, 1, 2, 3);
    let pv = DomainConfig::pv("a").pci(pci.clone());
    assert_eq!(
        pv.b_info.guest,
        PvInfo {
            e820_host: Some(true),
            ..PvInfo::default()
        }
        .into()
    );
    assert_eq!(
        DomainConfig::pvh("a").pci(pci).b_info.guest,
        PvhInfo::default().into()
    );

    let vnc = VncInfo {
        enable: Some(true),
        display: Some(1),
        ..VncInfo::default()
    };
    let screen = VncInfo {
        enable: None,
        ..vnc.clone()
    };
    let hvm = DomainConfig::hvm("a").vnc(screen.clone());
    assert_eq!(
        hvm.b_info.guest,
        HvmInfo {
            vnc: vnc.clone(),
            ..HvmInfo::default()
        }
        .into()
    );
    assert!(hvm.vfbs.is_empty() && hvm.vkbs.is_empty());
    let pv = DomainConfig::pv("a").vnc(screen);
    assert_eq!(pv.vfbs[0].vnc, vnc);
    assert_eq!(pv.vkbs.len(), 1);
}

#[test]
fn builders_add_to_what_is_there() {
    let config = sound()
        .p9(P9::new("a", "/a"))
        .p9(P9::new("b", "/b"))
        .bootloader("pygrub")
        .cpus(Bitmap::first(1))
        .on_poweroff(ActionOnShutdown::Preserve)
        .on_reboot(ActionOnShutdown::CoredumpRestart)
        .on_watchdog(ActionOnShutdown::CoredumpDestroy)
        .on_crash(ActionOnShutdown::RenameRestart)
        .on_soft_reset(ActionOnShutdown::Destroy);
    let mut expected = sound();
    expected.p9s = vec![P9::new("a", "/a"), P9::new("b", "/b")];
    expected.b_info.bootloader = Some("pygrub".to_owned());
    expected.b_info.cpumap = Bitmap::from([0]);
    expected.on_poweroff = ActionOnShutdown::Preserve;
    expected.on_reboot = ActionOnShutdown::CoredumpRestart;
    expected.on_watchdog = ActionOnShutdown::CoredumpDestroy;
    expected.on_crash = ActionOnShutdown::RenameRestart;
    expected.on_soft_reset = ActionOnShutdown::Destroy;
    assert_eq!(config, expected);
}

#[test]
fn disks() {
    assert!(Disk::raw("a", "xvda").readwrite);
    assert!(!Disk::raw("a", "xvda").read_only().readwrite);
    assert!(!Disk::cdrom("a", "hdc").readwrite);
    let empty = Disk::empty_cdrom("hdc");
    assert_eq!(
        (empty.format, empty.pdev_path),
        (Some(DiskFormat::Empty), None)
    );
}

#[test]
fn people_see_no_password() {
    let hvm = typical::hvm();
    assert!(serde_json::to_string(&hvm).unwrap().contains("hunter2"));
    for text in [format!("{hvm:?}"), format!("{hvm:#?}"), hvm.to_string()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(format!("{hvm:?}").contains("Some(***)"));
    assert_eq!(Secret::from("a".to_owned()).expose(), "a");
    let mut no_password = json!({ "passwd": { "name": "a" } });
    redact(&mut no_password);
    assert_eq!(no_password, json!({ "passwd": { "name": "a" } }));

    for config in full_configs() {
        let mut json = to_json(&config);
        redact(&mut json);
        let passwords: Vec<_> = leaves(&json)
            .into_iter()
            .filter(|pointer| pointer.ends_with("/passwd"))
            .collect();
        assert!(!passwords.is_empty());
        for pointer in passwords {
            assert_eq!(json.pointer(&pointer), Some(&json!("***")), "{pointer}");
        }
    }
}

#[test]
fn a_configuration_in_one_line() {
    assert_eq!(
        typical::pv().to_string(),
        "pv guest: pv, 128 MiB, 2 vCPUs, 2 disks, 1 nic, 1 PCI device"
    );
    assert_eq!(DomainConfig::pvh("tiny").to_string(), "tiny: pvh, 1 vCPU");
}
