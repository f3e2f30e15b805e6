//! Memory limits, targets, and free memory.

use std::time::Duration;

use libxl::ErrorKind;

use crate::support::{Guest, Kind, config, context, tiny_config, wait_for, watcher, xenstore_read};

/// Amount that libxl adds to a limit, in KiB.
const SLACK: u64 = 1024;

#[test]
fn the_limit_of_a_domain_can_be_moved() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "maxmem", ""));
    for kib in [8192, 6144] {
        guest.domain.set_max_memory(kib).unwrap();
        assert_eq!(guest.domain.info().unwrap().max_memkb, kib + SLACK);
    }
    let error = guest.domain.set_max_memory(1024).unwrap_err();
    let kinds = [ErrorKind::Invalid, ErrorKind::Failed];
    assert!(kinds.contains(&error.kind()), "{error:#}");
    assert!(
        format!("{error:#}").contains("memory_static_max"),
        "{error:#}"
    );
    assert_eq!(guest.domain.info().unwrap().max_memkb, 6144 + SLACK);
}

#[test]
fn the_target_of_a_domain_is_written_and_read() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "target", ""));
    let domain = &guest.domain;
    assert_eq!(domain.memory_target().unwrap(), 4096);
    domain.set_memory_target(3072, false).unwrap();
    assert_eq!(domain.memory_target().unwrap(), 3072);
    assert_eq!(xenstore_read(&guest, "memory/target"), "3072");
    let limit = domain.info().unwrap().max_memkb;

    domain.change_memory_target(-512, true).unwrap();
    assert_eq!(domain.memory_target().unwrap(), 2560);
    assert_eq!(domain.info().unwrap().max_memkb, limit - 1536, "enforced");
    domain.change_memory_target(512, true).unwrap();
    assert_eq!(domain.memory_target().unwrap(), 3072);

    let error = domain.set_memory_target(1 << 30, false).unwrap_err();
    assert_eq!(domain.memory_target().unwrap(), 3072, "{error:#}");
    // This guest has no balloon driver, and is not even running.
    let error = domain
        .wait_for_memory_target(Duration::from_secs(1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");

    guest.destroy();
    let error = domain.memory_target().unwrap_err();
    assert!(error.is_domain_gone(), "{error:#}");
}

#[test]
fn a_guest_gives_memory_back() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "balloon", ""));
    guest.wait_until_up();
    // The balloon driver may come up a little later.
    wait_for("the guest to shrink", || {
        guest.domain.set_memory_target(112 << 10, true).unwrap();
        guest
            .domain
            .wait_for_memory_target(Duration::from_secs(20))
            .is_ok()
    });
    assert!(guest.domain.info().unwrap().current_memkb <= 112 << 10);
}

#[test]
fn what_is_free_is_known() {
    let ctx = context();
    let small = ctx
        .domain_need_memory(&tiny_config(Kind::Pv, "need", ""))
        .unwrap();
    assert!((4096..16384).contains(&small), "{small}");
    let config = tiny_config(Kind::Pv, "need", "").memory_mib(512);
    let large = ctx.domain_need_memory(&config).unwrap();
    assert!(large >= small + (508 << 10), "{large}");

    ctx.wait_for_free_memory(small, Duration::from_secs(1))
        .unwrap();
    let error = ctx
        .wait_for_free_memory(1 << 40, Duration::from_secs(1))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoMemory, "{error:#}");
}
