//! Configurations through libxl's JSON and back.

use libxl::{
    ErrorKind,
    config::{ActionOnShutdown, Disk, DomainConfig, Guest as GuestType, Nic, TscMode},
};

use crate::support::{Guest, KINDS, Kind, config, context, unique, watcher};

#[test]
fn a_domain_gives_its_configuration_back() {
    let ctx = context();
    let watcher = watcher();
    for kind in KINDS {
        let mut sent = config(kind, "back", "lab.action=none");
        sent.on_crash = ActionOnShutdown::Preserve;
        let guest = Guest::create(&ctx, &watcher, &sent);
        let got = guest.domain.retrieve_configuration().wait().unwrap();
        assert_eq!(got.c_info.name, sent.c_info.name);
        assert_eq!(got.c_info.uuid, Some(guest.id().uuid));
        assert_eq!(got.b_info.kernel, sent.b_info.kernel);
        assert_eq!(got.b_info.cmdline, sent.b_info.cmdline);
        assert_eq!(got.b_info.target_memkb, Some(128 << 10));
        assert_eq!(got.on_crash, ActionOnShutdown::Preserve);
    }
}

#[test]
fn a_kernel_that_is_not_there_is_named() {
    let ctx = context();
    let config = DomainConfig::pv(unique("nokernel"))
        .kernel("/nonexistent/vmlinuz")
        .memory_mib(64);
    let error = ctx.domain_create_new(&config).unwrap().wait().unwrap_err();
    assert!(
        format!("{error:#}").contains("/nonexistent/vmlinuz"),
        "{error:#}"
    );
    let left = ctx
        .list_domains()
        .unwrap()
        .iter()
        .any(|d| Some(d.domid) == error.domain());
    assert!(!left, "libxl takes apart what it could not build");
}

#[test]
fn memory_that_is_not_there_is_refused() {
    let ctx = context();
    // Nearly the largest size that Xen can represent.
    let config = config(Kind::Pv, "huge", "").memory_mib(8 << 20);
    let error = ctx.domain_create_new(&config).unwrap().wait().unwrap_err();
    assert!(
        error.domain().is_none_or(|d| ctx.domain_info(d).is_err()),
        "{error:#}"
    );
}

#[test]
fn two_domains_cannot_share_a_name() {
    let ctx = context();
    let watcher = watcher();
    let config = config(Kind::Pv, "twice", "");
    let _guest = Guest::create(&ctx, &watcher, &config);
    let error = ctx.domain_create_new(&config).unwrap().wait().unwrap_err();
    assert!(format!("{error:#}").contains("already exists"), "{error:#}");
}

#[test]
fn what_this_libxl_does_not_have_is_named() {
    // The field came with Xen 4.18. Where it exists nothing is refused.
    let ctx = context();
    let mut config = config(Kind::Pv, "newer", "");
    config.b_info.bootloader_restrict = Some(true);
    config.b_info.bootloader = Some("/bin/false".into());
    // A restricted bootloader must be given only one of kernel, ramdisk and cmdline.
    (config.b_info.ramdisk, config.b_info.cmdline) = (None, None);
    let made = ctx.domain_create_new(&config);
    if libxl::have("bootloader_restrict") {
        drop(made.unwrap());
    } else {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
        assert!(
            error.to_string().contains("b_info.bootloader_restrict"),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_configuration_is_refused_before_libxl_sees_it() {
    let ctx = context();
    let error = ctx
        .domain_create_new(&DomainConfig::pv("nul\0byte"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("c_info.name"), "{error}");
}

#[test]
fn a_word_that_libxl_does_not_know_is_named() {
    let ctx = context();
    let mut config = config(Kind::Pv, "word", "");
    config.b_info.tsc_mode = Some(TscMode::Other("sometimes".into()));
    let error = ctx.domain_create_new(&config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    assert!(error.to_string().contains("b_info.tsc_mode"), "{error}");
}

#[test]
fn devices_reach_the_domain() {
    let ctx = context();
    let watcher = watcher();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::File::create(&path)
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let sent = config(Kind::Pv, "devices", "")
        .disk(Disk::raw(path.to_str().unwrap(), "xvda"))
        .nic(Nic::bridge("xenbr0"));
    let guest = Guest::create(&ctx, &watcher, &sent);
    let got = guest.domain.retrieve_configuration().wait().unwrap();
    assert_eq!(got.disks.len(), 1);
    assert_eq!(got.disks[0].vdev.as_deref(), Some("xvda"));
    assert_eq!(got.nics.len(), 1);
    assert_eq!(got.nics[0].bridge.as_deref(), Some("xenbr0"));
    assert!(got.nics[0].mac.is_some(), "libxl has chosen an address");
    assert!(matches!(got.b_info.guest, GuestType::Pv(_)));
}
