//! Tests of the constructors, the builders and the output for users.

use super::*;

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
