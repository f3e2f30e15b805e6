//! Calls and fields that the installed libxl lacks are refused, and the error names them.

use libxl::{
    BUILT_FOR, DomId, Error, ErrorKind, OverlayOp,
    config::{Disk, P9, XsQuotaList},
    console::ConsoleOptions,
    have,
};

use crate::support::{Guest, Kind, context, tiny_config, watcher};

/// Checks for `Unsupported`, with the function or feature, and the version.
#[track_caller]
fn is_unsupported(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
    let text = error.to_string();
    assert!(text.contains(what) && text.contains(BUILT_FOR), "{text}");
}

/// Before Xen 4.18 and 4.19 the functions are missing. Later they refuse because this is no Arm machine.
#[test]
fn overlays_are_for_arm() {
    let ctx = context();
    let dom0 = ctx.domain_by_domid(DomId::DOM0).unwrap();
    for op in [OverlayOp::Add, OverlayOp::Remove] {
        let error = ctx.dt_overlay(&[0; 64], op).unwrap_err();
        is_unsupported(&error, "libxl_dt_overlay");
        let error = dom0.dt_overlay(&[0; 64], op).unwrap_err();
        is_unsupported(&error, "libxl_dt_overlay_domain");
    }
}

/// Functions that came after Xen 4.14 work, or the error names the missing feature. See docs/xen-versions.md.
#[test]
fn functions_that_are_missing_are_named() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "missing", ""));
    let domain = &guest.domain;
    let shared = P9 {
        tag: Some("tag".into()),
        path: Some("/tmp".into()),
        security_model: Some("none".into()),
        ..P9::default()
    };
    let disk = Disk::raw("/tmp/none", "xvda");
    let mut missing = 0;
    for (feature, error) in [
        ("disk_safe_remove", domain.disk_safe_remove(&disk).err()),
        (
            "console_add_xenstore",
            domain.console_add_xenstore(DomId::DOM0, 1, 1).err(),
        ),
        ("p9_add", domain.p9_add(&shared).err()),
        ("xenstore_quota", ctx.xs_quota().err()),
        ("xenstore_quota", domain.xs_quota().err()),
        (
            "xenstore_quota",
            ctx.set_xs_quota(&XsQuotaList::default()).err(),
        ),
        (
            "xenstore_quota",
            domain.set_xs_quota(&XsQuotaList::default()).err(),
        ),
    ] {
        match error {
            _ if have(feature) => {}
            Some(error) => {
                is_unsupported(&error, &format!("LIBXL_HAVE_{}", feature.to_uppercase()));
                missing += 1;
            }
            None => panic!("{feature} is not there, and nothing was said"),
        }
    }
    println!("{missing} of 7 are missing in libxl {BUILT_FOR}");
    if !have("console_escape_character") {
        // With the feature, this process would become the program that shows the console.
        let error = domain.primary_console_exec(Some(ConsoleOptions::new().escape('x')));
        is_unsupported(&error, "LIBXL_HAVE_CONSOLE_ESCAPE_CHARACTER");
    }
}

/// The same for fields: of a domain's configuration, and of a device to be plugged in.
#[test]
fn fields_that_are_missing_are_named() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "fields", ""));
    let mut config = tiny_config(Kind::Pv, "newer", "");
    config.b_info.xenstore_feature_mask = Some(3);
    if !have("xenstore_feature_mask") {
        let error = ctx.domain_create_new(&config).unwrap_err();
        is_unsupported(&error, "b_info.xenstore_feature_mask");
    }
    let disk = Disk {
        grant_usage: Some(true),
        ..Disk::raw("/tmp/none", "xvda")
    };
    if !have("disk_grant_usage") {
        let error = guest.domain.disk_add(&disk).unwrap_err();
        is_unsupported(&error, "grant_usage");
    }
}
