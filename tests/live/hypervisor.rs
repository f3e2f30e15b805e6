//! The hypervisor itself, and its facilities around domains.

use std::time::{Duration, SystemTime};

use libxl::{
    DomId, ErrorKind,
    config::{Bitmap, DiskBackend, XsQuotaList},
    have,
    psr::{CmtType, PsrFeature, PsrType},
};

use crate::support::{Guest, Kind, config, context, tiny_config, unique, wait_for, watcher};

#[test]
fn keys_are_answered_in_the_log() {
    let ctx = context();
    // A full log overwrites its oldest lines, possibly including the answer, so the log is emptied first.
    assert!(ctx.xen_log(true).unwrap().contains("(XEN)"));
    ctx.send_debug_keys("h").unwrap();
    wait_for("the answer", || {
        let log = ctx.xen_log(false).unwrap();
        log.contains("'h' pressed") || log.contains("key 'h'")
    });
    ctx.send_debug_keys("a\0").unwrap_err();
}

#[test]
fn parameters_are_changed_or_refused() {
    let ctx = context();
    ctx.set_parameters("gnttab_max_frames=70").unwrap();
    let error = ctx
        .set_parameters("there_is_no_such_parameter=1")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
    // With these, libxl would write to memory that it does not own.
    for wrong in ["gnttab_max_frames", "gnttab_max_frames=70 b", "\tb a=1"] {
        let error = ctx.set_parameters(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
        assert!(error.to_string().contains("has no value"), "{error:#}");
    }
    ctx.set_parameters(" \tgnttab_max_frames=70 gnttab_max_frames=71")
        .unwrap();
}

#[test]
fn guests_are_found() {
    let ctx = context();
    let watcher = watcher();
    let before = SystemTime::now() - Duration::from_secs(5);
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "found", ""));
    let domain = &guest.domain;
    let vms = ctx.list_vms().unwrap();
    assert!(vms.contains(&guest.id()), "{vms:?}");
    assert_eq!(
        ctx.domain_qualifier_to_domid(&guest.name).unwrap(),
        domain.domid()
    );
    assert_eq!(ctx.domain_qualifier_to_domid("7").unwrap(), DomId(7));
    // libxl takes the first string for dom0, and the second for domain 1.
    let error = ctx.domain_qualifier_to_domid("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error:#}");
    let error = ctx.domain_qualifier_to_domid("4294967297").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    let error = ctx
        .domain_qualifier_to_domid(&unique("nobody"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error:#}");
    let started = domain
        .start_time()
        .unwrap()
        .expect("libxl has written it down");
    assert!(started > before && started < before + Duration::from_secs(600));
    assert_eq!(domain.stubdom().unwrap(), None);
    assert_eq!(domain.stubdom_target().unwrap(), None);
    guest.destroy();
    assert!(domain.start_time().unwrap_err().is_domain_gone());
}

#[test]
fn a_guest_gets_a_sysrq_key() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "sysrq", ""));
    guest.domain.send_sysrq('s').unwrap();
    assert_eq!(crate::support::xenstore_read(&guest, "control/sysrq"), "s");
    let error = guest.domain.send_sysrq('é').unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
}

#[test]
fn qemu_answers_its_monitor() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Hvm, "monitor", ""));
    let ask = |command: &str| guest.domain.qemu_monitor_command(command).unwrap().wait();
    let answer = ask("info version").unwrap();
    assert!(
        answer.starts_with(|c: char| c.is_ascii_digit()),
        "{answer:?}"
    );
    let answer = ask("there is no such command").unwrap();
    assert!(answer.contains("unknown command"), "{answer:?}");
    drop(
        guest
            .domain
            .qemu_monitor_command("info status")
            .unwrap()
            .start()
            .unwrap(),
    );
    let tiny = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "no-qemu", ""));
    tiny.domain
        .qemu_monitor_command("info version")
        .unwrap()
        .wait()
        .unwrap_err();
}

#[test]
fn log_files_and_words() {
    let ctx = context();
    let name = unique("own");
    let path = ctx.create_logfile(&name).unwrap();
    assert_eq!(
        path.to_str(),
        Some(format!("/var/log/xen/{name}.log").as_str())
    );
    std::fs::write(&path, "first").unwrap();
    assert_eq!(ctx.create_logfile(&name).unwrap(), path);
    let rotated = format!("{}.1", path.display());
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "first");
    std::fs::remove_file(rotated).unwrap();
    ctx.create_logfile("../x").unwrap_err();

    assert_eq!(ctx.string_to_backend("phy").unwrap(), DiskBackend::Phy);
    assert_eq!(
        ctx.string_to_backend("moon").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    for tap in ["tap", "tap:qcow2"] {
        let error = ctx.string_to_backend(tap).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    }
    let policy = ctx.parse_cpuid("sse4_2=0").unwrap();
    let ecx = policy.cpuid[0].ecx.as_deref().unwrap();
    assert_eq!(
        (policy.cpuid[0].leaf, ecx.as_bytes()[31 - 20]),
        (Some(1), b'0'),
        "{ecx}"
    );
    assert_eq!(
        ctx.parse_cpuid("colour=red").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let edx = format!("1:edx={}0", "x".repeat(31));
    let policy = ctx.parse_cpuid_xend(&edx).unwrap();
    assert_eq!(policy.cpuid[0].edx.as_deref(), edx.strip_prefix("1:edx="));
    let disk = ctx
        .parse_disk("format=qcow2, vdev=xvdb, access=ro, target=/x.qcow2")
        .unwrap();
    assert_eq!(
        (disk.vdev.as_deref(), disk.readwrite),
        (Some("xvdb"), false)
    );
    let error = ctx.parse_disk("format=punchcard,vdev=xvda").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
}

/// QEMU's processor lacks these features: every call fails with an error, and has no effect.
#[test]
fn what_the_processor_lacks_is_an_error() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "psr", ""));
    let domain = &guest.domain;
    assert!(!ctx.psr_cmt_enabled() && !domain.psr_cmt_attached());
    assert!(!ctx.psr_cmt_supports(CmtType::LocalMemory));
    let sockets = Bitmap::from([0]);
    for (what, result) in [
        ("total", ctx.psr_cmt_total_rmid().err()),
        ("attach", domain.psr_cmt_attach().err()),
        ("detach", domain.psr_cmt_detach().err()),
        ("occupancy", domain.psr_cache_occupancy(0).err()),
        ("sample", domain.psr_sample(CmtType::TotalMemory, 0).err()),
        ("set", domain.psr_set(PsrType::L3Cbm, &sockets, 1).err()),
        ("get", domain.psr_get(PsrType::L3Cbm, 0).err()),
        (
            "cat set",
            domain.psr_cat_set_cbm(PsrType::L3Cbm, &sockets, 1).err(),
        ),
        ("cat get", domain.psr_cat_get_cbm(PsrType::L3Cbm, 0).err()),
        ("cat info", ctx.psr_cat_info(3).err()),
        ("l3 info", ctx.psr_cat_l3_info().err()),
        ("hw info", ctx.psr_hw_info(PsrFeature::Mba, 0).err()),
    ] {
        let error = result.unwrap_or_else(|| panic!("{what} succeeded"));
        assert_eq!(error.kind(), ErrorKind::Failed, "{what}: {error:#}");
    }
    for error in [
        ctx.psr_cat_info(1).map(drop).unwrap_err(),
        ctx.psr_hw_info(PsrFeature::Cat, 0).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    }
    let nowhere = Bitmap::from([50_000]);
    let error = domain.psr_set(PsrType::L3Cbm, &nowhere, 1).unwrap_err();
    assert!(error.to_string().contains("socket 50000"), "{error:#}");
}

#[test]
fn without_flask_there_are_no_labels() {
    let ctx = context();
    for error in [
        ctx.flask_enforcing().map(drop).unwrap_err(),
        ctx.set_flask_enforcing(false).unwrap_err(),
        ctx.flask_context_to_sid("system_u:system_r:domU_t")
            .map(drop)
            .unwrap_err(),
        ctx.flask_sid_to_context(1).map(drop).unwrap_err(),
        ctx.flask_load_policy(b"no policy").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
    }
}

#[test]
fn quotas_are_there_or_their_absence_is_said() {
    let ctx = context();
    let dom0 = ctx.domain_by_domid(DomId::DOM0).unwrap();
    if have("xenstore_quota") {
        assert!(!ctx.xs_quota().unwrap().quota.is_empty());
        return;
    }
    for error in [
        ctx.xs_quota().unwrap_err(),
        ctx.set_xs_quota(&XsQuotaList::default()).unwrap_err(),
        dom0.xs_quota().unwrap_err(),
        dom0.set_xs_quota(&XsQuotaList::default()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:#}");
        let text = error.to_string();
        assert!(
            text.contains("LIBXL_HAVE_XENSTORE_QUOTA") && text.contains(libxl::BUILT_FOR),
            "{text}"
        );
    }
}
