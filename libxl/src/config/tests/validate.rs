//! Configurations that must not reach libxl.

use super::{full_configs, leaves, sound, to_json, typical};
use crate::config::{
    Bitmap, Channel, ChannelConnection, ConnectorParam, CpuidLeaf, Disk, DomainConfig, Dtdev,
    Guest, HvmInfo, IomemRange, MsrPolicy, Nic, P9, P9Type, Pci, PvInfo, PvhInfo, Smbios, Usbctrl,
    Vdispl, Virtio, VncInfo, VnodeInfo,
};

fn refused(change: impl FnOnce(&mut DomainConfig)) -> String {
    let mut config = sound();
    change(&mut config);
    config.validate().expect_err("it is not sound").to_string()
}

#[test]
fn sound_configurations_pass() {
    sound().validate().unwrap();
    for (name, config) in typical::all() {
        config
            .validate()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn identity() {
    assert_eq!(
        refused(|config| config.c_info.name.clear()),
        "c_info.name: is empty"
    );
    assert!(
        refused(|config| config.c_info.name = "../a".to_owned())
            .starts_with("c_info.name: contains a slash")
    );
    assert!(refused(|config| config.c_info.uuid = None).starts_with("c_info.uuid: is not set"));
    assert!(
        refused(|config| config.c_info.uuid = Some(uuid::Uuid::nil()))
            .starts_with("c_info.uuid: is not set")
    );
}

#[test]
fn nul_bytes_are_found_in_every_string() {
    let mut strings = 0;
    for config in full_configs() {
        let json = to_json(&config);
        for pointer in leaves(&json) {
            let mut broken = json.clone();
            let value = broken.pointer_mut(&pointer).unwrap();
            match value {
                serde_json::Value::String(text) if !["True", "False"].contains(&text.as_str()) => {
                    text.push('\0');
                }
                serde_json::Value::Array(array) if array[0].is_string() => array[0] = "\0".into(),
                _ => continue,
            }
            let Ok(broken) = serde_json::from_value::<DomainConfig>(broken) else {
                continue;
            };
            strings += 1;
            let error = broken.validate().unwrap_err();
            assert!(
                error.reason.starts_with("contains a NUL byte"),
                "{pointer}: {error}"
            );
            let last = pointer.rsplit('/').next().unwrap().replace("~1", "/");
            assert!(error.field.contains(&last), "{pointer}: {error}");
        }
    }
    assert!(strings > 300, "{strings} strings");
    let key = refused(|config| {
        drop(
            config
                .c_info
                .xsdata
                .insert("a\0b".to_owned(), "1".to_owned()),
        );
    });
    assert!(
        key.starts_with("c_info.xsdata.a\0b: has a NUL byte in its name"),
        "{key}"
    );
}

#[test]
fn numbers_that_libxl_does_not_read() {
    let most = i64::MAX.unsigned_abs();
    let iomem = |gfn| {
        move |config: &mut DomainConfig| {
            config.b_info.iomem = vec![
                IomemRange::default(),
                IomemRange {
                    start: 1,
                    number: 1,
                    gfn: Some(gfn),
                },
            ];
        }
    };
    assert!(refused(iomem(u64::MAX)).starts_with("b_info.iomem[1].gfn: is 18446744073709551615"));
    assert!(refused(iomem(most)).starts_with("b_info.iomem[1].gfn: "));
    let mut config = sound();
    iomem(most - 1)(&mut config);
    config.validate().unwrap();

    let c_int = refused(|config| {
        config.nics.push(Nic {
            mtu: Some(1 << 31),
            ..Nic::default()
        });
    });
    assert_eq!(
        c_int,
        "nics[0].mtu: is 2147483648, and the largest that libxl reads is 2147483647"
    );
    let c_int = refused(|config| {
        config.vfbs.push(crate::config::Vfb {
            vnc: VncInfo {
                display: Some(u32::MAX),
                ..VncInfo::default()
            },
            ..crate::config::Vfb::default()
        });
    });
    assert!(c_int.starts_with("vfbs[0].vnc.display: "), "{c_int}");
    let mut config = sound();
    config.b_info.event_channels = Some(u32::MAX);
    config.usbctrls.push(Usbctrl {
        ports: Some(i32::MAX.unsigned_abs()),
        ..Usbctrl::default()
    });
    config.validate().unwrap();
}

/// libxl would write past the end of the room that it has for the vCPUs.
#[test]
fn vcpus_for_which_libxl_has_no_room_are_refused() {
    let many = |config: &mut DomainConfig| {
        config.b_info.max_vcpus = Some(200);
        config.b_info.avail_vcpus = Bitmap::first(129);
    };
    let text =
        "b_info.avail_vcpus: has vCPU 128, but libxl has room for 128 of this type of domain";
    for guest in [Guest::Pvh(PvhInfo::default()), Guest::Hvm(Box::default())] {
        let refused = refused(|config| {
            many(config);
            config.b_info.guest = guest.clone();
        });
        assert_eq!(refused, text);
    }
    let mut config = sound();
    many(&mut config);
    config.b_info.guest = Guest::Pv(PvInfo::default());
    config.validate().unwrap();
    config.b_info.guest = Guest::Pvh(PvhInfo::default());
    config.b_info.avail_vcpus = Bitmap::first(128);
    config.validate().unwrap();
}

#[test]
fn vcpus_and_memory() {
    assert_eq!(
        refused(|config| config.b_info.avail_vcpus = Bitmap::first(2)),
        "b_info.avail_vcpus: has vCPU 1, but max_vcpus is 1",
    );
    assert!(
        refused(|config| config.b_info.max_vcpus = Some(1 << 20))
            .starts_with("b_info.max_vcpus: is 1048576")
    );
    assert!(
        refused(|config| config.b_info.max_memkb = None)
            .starts_with("b_info.max_memkb: is not set")
    );
    assert_eq!(
        refused(|config| config.b_info.max_memkb = Some(1024)),
        "b_info.target_memkb: is 131072 KiB, more than max_memkb, which is 1024 KiB",
    );
    let mut many = sound();
    many.b_info.max_vcpus = Some(Bitmap::MAX);
    many.validate().unwrap();
    let mut only_max = sound();
    only_max.b_info.target_memkb = None;
    only_max.validate().unwrap();
}

/// Xen's library counts pages in 32 bits, and would build a domain with the truncated number.
#[test]
fn memory_that_xen_cannot_count() {
    const MOST: u64 = (1 << 34) - 1;
    for kib in [MOST + 1, 1 << 42, i64::MAX.unsigned_abs() - 1] {
        let max = refused(|config| config.b_info.max_memkb = Some(kib));
        assert_eq!(
            max,
            format!("b_info.max_memkb: is {kib}, and the largest that libxl reads is {MOST}")
        );
        let hole = refused(|config| {
            config.b_info.guest = HvmInfo {
                mmio_hole_memkb: Some(kib),
                ..HvmInfo::default()
            }
            .into();
        });
        assert!(
            hole.starts_with("b_info.type.hvm.mmio_hole_memkb: is "),
            "{hole}"
        );
        let node = refused(|config| {
            config.b_info.vnuma_nodes = vec![VnodeInfo {
                memkb: Some(kib),
                ..VnodeInfo::default()
            }];
        });
        assert!(
            node.starts_with("b_info.vnuma_nodes[0].memkb: is "),
            "{node}"
        );
    }
    let mut largest = sound();
    largest.b_info.max_memkb = Some(MOST);
    largest.b_info.shadow_memkb = Some(MOST);
    largest.validate().unwrap();
}

/// libxl subtracts the video memory from the memory.
#[test]
fn more_video_memory_than_memory() {
    let video = |kib| {
        move |config: &mut DomainConfig| {
            config.b_info.guest = Guest::Hvm(Box::default());
            config.b_info.video_memkb = Some(kib);
        }
    };
    assert_eq!(
        refused(video(131_073)),
        "b_info.video_memkb: is 131073 KiB, of 131072 KiB that it is a part of"
    );
    let mut all = sound();
    video(131_072)(&mut all);
    all.validate().unwrap();
}

#[test]
fn numbers_that_are_cut_on_their_way_to_xen() {
    for domid in [0x7ff0, 65_541, u32::MAX] {
        let id = refused(|config| config.c_info.domid = Some(domid));
        assert_eq!(
            id,
            format!("c_info.domid: is {domid}, and the largest id of a guest is 32751")
        );
        let backend = refused(|config| {
            config.nics.push(Nic {
                backend_domid: Some(domid),
                ..Nic::default()
            });
        });
        assert!(
            backend.starts_with("nics[0].backend_domid: is "),
            "{backend}"
        );
    }
    let trace = refused(|config| config.b_info.vmtrace_buf_kb = Some(1 << 21));
    assert!(trace.starts_with("b_info.vmtrace_buf_kb: is "), "{trace}");
    let grants = refused(|config| config.b_info.max_grant_frames = Some(1 << 31));
    assert!(
        grants.starts_with("b_info.max_grant_frames: is "),
        "{grants}"
    );
    let mut fine = sound();
    fine.b_info.vmtrace_buf_kb = Some(1 << 20);
    fine.b_info.max_maptrack_frames = Some(i32::MAX.unsigned_abs());
    for domid in [0, 0x7fef, 0xffff_fffe] {
        fine.c_info.domid = Some(domid);
        fine.validate().unwrap();
    }
}

/// libxl has nine places for arguments, and ends the process when it needs a tenth.
#[test]
fn arguments_for_which_a_restricted_bootloader_has_no_place() {
    let boots = |config: &mut DomainConfig| {
        config.b_info.bootloader = Some("pygrub".to_owned());
        config.b_info.bootloader_restrict = Some(true);
        config.b_info.cmdline = Some("quiet".to_owned());
    };
    assert_eq!(
        refused(boots),
        "b_info.cmdline: is set beside kernel, but libxl passes only one of them to a restricted \
         bootloader"
    );
    let by_user = refused(|config| {
        boots(config);
        config.b_info.bootloader_restrict = None;
        config.b_info.bootloader_user = Some("boot".to_owned());
        config.b_info.kernel = None;
        config.b_info.ramdisk = Some("/initrd".to_owned());
    });
    assert!(by_user.starts_with("b_info.cmdline: is set beside ramdisk"));
    let allowed: [fn(&mut DomainConfig); 4] = [
        |config| config.b_info.bootloader_restrict = None,
        |config| config.b_info.kernel = None,
        |config| config.b_info.cmdline = Some(String::new()),
        |config| config.b_info.guest = Guest::Hvm(Box::default()),
    ];
    for change in allowed {
        let mut config = sound();
        boots(&mut config);
        change(&mut config);
        config.validate().unwrap();
    }
}

#[test]
fn bitmaps() {
    let bit = |bit| Bitmap::from([bit]);
    assert!(
        refused(|config| config.b_info.cpumap = bit(Bitmap::MAX + 1))
            .starts_with("b_info.cpumap[0]: 65536")
    );
    let each = refused(|config| config.b_info.vcpu_soft_affinity = vec![bit(1), bit(u32::MAX)]);
    assert!(
        each.starts_with("b_info.vcpu_soft_affinity[1]: 4294967295 is in the set"),
        "{each}"
    );
    let mut largest = sound();
    largest.b_info.nodemap = bit(Bitmap::MAX);
    largest.validate().unwrap();
    // `irqs` is not a bitmap: any number is valid.
    largest.b_info.irqs = vec![u32::MAX];
    largest.validate().unwrap();
}

#[test]
fn numa() {
    let node = |distances: &[u32], vcpus| VnodeInfo {
        distances: distances.to_vec(),
        vcpus,
        ..VnodeInfo::default()
    };
    let outside = refused(|config| config.b_info.vnuma_nodes = vec![node(&[10], Bitmap::first(2))]);
    assert_eq!(
        outside,
        "b_info.vnuma_nodes[0].vcpus: has vCPU 1, but max_vcpus is 1"
    );
    let distances = refused(|config| {
        config.b_info.vnuma_nodes = vec![
            node(&[10, 20], Bitmap::first(1)),
            node(&[20], Bitmap::new()),
        ];
    });
    assert_eq!(
        distances,
        "b_info.vnuma_nodes[1].distances: has 1 distances, but there are 2 nodes"
    );
}

#[test]
fn cpuid() {
    let x32 = || Some("x".repeat(32));
    let leaf = CpuidLeaf {
        leaf: Some(1),
        eax: x32(),
        ebx: x32(),
        ecx: x32(),
        edx: x32(),
        subleaf: None,
    };
    let msr = MsrPolicy {
        index: 1,
        policy: "01xks".repeat(12) + "0000",
    };
    let mut config = sound();
    config.b_info.cpuid.cpuid = vec![leaf.clone()];
    config.b_info.cpuid.msr = vec![msr.clone()];
    config.validate().unwrap();

    let with_leaf = |change: fn(&mut CpuidLeaf)| {
        let mut broken = leaf.clone();
        change(&mut broken);
        refused(|config| config.b_info.cpuid.cpuid = vec![leaf.clone(), broken])
    };
    assert_eq!(
        with_leaf(|leaf| leaf.leaf = None),
        "b_info.cpuid[1].leaf: is not set"
    );
    assert_eq!(
        with_leaf(|leaf| leaf.leaf = Some(u32::MAX)),
        "b_info.cpuid[1].leaf: is not set"
    );
    assert!(
        with_leaf(|leaf| leaf.eax = Some("x".repeat(31)))
            .starts_with("b_info.cpuid[1].eax: is \"x")
    );
    assert!(with_leaf(|leaf| leaf.edx = Some("x".repeat(33))).starts_with("b_info.cpuid[1].edx: "));
    assert!(with_leaf(|leaf| leaf.ecx = Some("2".repeat(32))).starts_with("b_info.cpuid[1].ecx: "));
    assert!(with_leaf(|leaf| leaf.ebx = Some("é".repeat(16))).starts_with("b_info.cpuid[1].ebx: "));

    let short = MsrPolicy {
        index: 1,
        policy: "x".repeat(32),
    };
    let error = refused(|config| config.b_info.cpuid.msr = vec![short]);
    assert!(error.starts_with("b_info.cpuid.msr[0].policy: "), "{error}");
    let error = refused(|config| {
        config.b_info.cpuid.msr = vec![MsrPolicy {
            index: u32::MAX,
            ..msr
        }];
    });
    assert_eq!(error, "b_info.cpuid.msr[0].index: is not set");
}

#[test]
fn devices_lack_what_libxl_does_not_look_for() {
    let disk = Disk::raw("/a", "xvda");
    for (error, change) in [
        (
            "disks[1].vdev: is not set",
            Disk {
                vdev: None,
                ..disk.clone()
            },
        ),
        (
            "disks[1].vdev: is empty",
            Disk {
                vdev: Some(String::new()),
                ..disk.clone()
            },
        ),
        (
            "disks[1].pdev_path: is not set",
            Disk {
                pdev_path: None,
                ..disk.clone()
            },
        ),
    ] {
        assert_eq!(
            refused(|config| config.disks = vec![Disk::empty_cdrom("hdc"), change]),
            error
        );
    }

    for (error, pci) in [
        (
            "pcidevs[0].domain: is 0x10000, and the largest there is is 0xffff",
            Pci {
                domain: 0x10000,
                ..Pci::default()
            },
        ),
        (
            "pcidevs[0].dev: is 0x20, and the largest there is is 0x1f",
            Pci::new(0, 0, 0x20, 0),
        ),
        (
            "pcidevs[0].func: is 0x8, and the largest there is is 0x7",
            Pci::new(0, 0, 0, 8),
        ),
    ] {
        assert_eq!(refused(|config| config.pcidevs = vec![pci]), error);
    }

    assert_eq!(
        refused(|config| config.dtdevs = vec![Dtdev::default()]),
        "dtdevs[0].path: is not set"
    );
    assert_eq!(
        refused(|config| config.virtios = vec![Virtio::default()]),
        "virtios[0].type: is not set"
    );

    let p9 = P9::new("tag", "/path");
    assert_eq!(
        refused(|config| config.p9s = vec![P9 {
            tag: None,
            ..p9.clone()
        }]),
        "p9s[0].tag: is not set"
    );
    assert_eq!(
        refused(|config| config.p9s = vec![P9 {
            path: None,
            ..p9.clone()
        }]),
        "p9s[0].path: is not set"
    );
    let error = refused(|config| {
        config.p9s = vec![P9 {
            security_model: None,
            ..p9.clone()
        }];
    });
    assert_eq!(error, "p9s[0].security_model: is not set");
    P9 {
        tag: None,
        r#type: Some(P9Type::Xen9pfsd),
        ..p9
    }
    .validate()
    .unwrap();

    assert_eq!(
        refused(|config| config.channels = vec![Channel::default()]),
        "channels[0].name: is not set"
    );
    let no_path = Channel {
        connection: ChannelConnection::Socket { path: None },
        ..Channel::pty("a")
    };
    assert_eq!(
        refused(|config| config.channels = vec![no_path]),
        "channels[0].connection.socket.path: is not set"
    );

    let vdispl = Vdispl {
        connectors: vec![ConnectorParam::default()],
        ..Vdispl::default()
    };
    assert_eq!(
        refused(|config| config.vdispls = vec![vdispl]),
        "vdispls[0].connectors[0].unique_id: is not set"
    );

    let smbios = |smbios| {
        move |config: &mut DomainConfig| {
            config.b_info.guest = HvmInfo {
                smbios: vec![smbios],
                ..HvmInfo::default()
            }
            .into();
        }
    };
    assert_eq!(
        refused(smbios(Smbios::default())),
        "b_info.type.hvm.smbios[0].key: is not set"
    );
    let no_value = Smbios {
        key: Some(crate::config::SmbiosType::Oem),
        value: None,
    };
    assert_eq!(
        refused(smbios(no_value)),
        "b_info.type.hvm.smbios[0].value: is not set"
    );
}

#[test]
fn devices_are_checked_alone() {
    Disk::raw("/a", "xvda").validate().unwrap();
    assert_eq!(Disk::default().validate().unwrap_err().field, "vdev");
    assert_eq!(
        Disk::raw("/a\0", "xvda").validate().unwrap_err().field,
        "pdev_path"
    );
    assert_eq!(Nic::bridge("a\0").validate().unwrap_err().field, "bridge");
    assert_eq!(
        Nic {
            mtu: Some(u32::MAX),
            ..Nic::default()
        }
        .validate()
        .unwrap_err()
        .field,
        "mtu"
    );
    assert!(matches!(sound().b_info.guest, Guest::Pvh(_)));
}

#[test]
fn a_drive_as_libxl_lists_it_can_be_named_and_not_added() {
    let listed = Disk {
        pdev_path: Some(String::new()),
        vdev: Some("hdc".to_owned()),
        ..Disk::default()
    };
    listed.validate_name().unwrap();
    assert_eq!(
        listed.validate().unwrap_err().to_string(),
        "pdev_path: is empty"
    );
    let wrong = Disk {
        vdev: None,
        ..Disk::raw("/image", "hdc")
    };
    assert_eq!(
        wrong.validate_name().unwrap_err().to_string(),
        "vdev: is not set"
    );
    let cut = Disk {
        vdev: Some("hd\0c".to_owned()),
        ..Disk::default()
    };
    cut.validate_name().unwrap_err();
}
