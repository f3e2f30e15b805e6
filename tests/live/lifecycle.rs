//! The life of a domain from creation to death, for every type of domain.

use std::{process::Command, thread};

use libxl::{DomainEvent, DomainId, DomainState, ErrorKind, Limits, ShutdownReason, ShutdownVia};
use uuid::Uuid;

use crate::support::{
    Guest, KINDS, Kind, config, context, outsider_is_there, tiny_config, unique, wait_for, watcher,
    xl,
};

fn lives_and_dies(kind: Kind) {
    let ctx = context();
    let watcher = watcher();
    // A Linux in an HVM domain takes minutes to boot in the emulated lab. The HVM domain that is saved covers all of
    // this.
    let config = if kind == Kind::Hvm {
        tiny_config
    } else {
        config
    };
    let guest = Guest::create(&ctx, &watcher, &config(kind, "life", ""));
    let info = guest.domain.info().unwrap();
    assert_eq!(info.state(), DomainState::Paused);
    assert_eq!(info.uuid, guest.id().uuid);
    assert_eq!(ctx.name_to_domid(&guest.name).unwrap(), guest.id().domid);
    assert_eq!(guest.domain.name().as_deref(), Some(guest.name.as_str()));

    guest.domain.unpause().wait().unwrap();
    guest.wait_until_up();
    assert_eq!(guest.domain.info().unwrap().state(), DomainState::Running);
    let tty = guest.domain.primary_console_tty().unwrap();
    assert!(tty.starts_with("/dev/pts"), "{}", tty.display());

    guest.domain.pause().wait().unwrap();
    assert_eq!(guest.domain.info().unwrap().state(), DomainState::Paused);
    guest.domain.unpause().wait().unwrap();

    let via = guest.domain.request_shutdown(&Limits::none()).unwrap();
    assert_eq!(via, ShutdownVia::Paravirt);
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    guest.destroy();
    // A dead domain may remain in Xen's list while somebody maps one of its pages.
    wait_for("Xen to forget the domain", || match guest.domain.info() {
        Ok(info) => {
            assert_eq!(info.state(), DomainState::Dying);
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error:#}");
            true
        }
    });
}

#[test]
fn a_pv_domain_lives_and_dies() {
    lives_and_dies(Kind::Pv);
}

#[test]
fn a_pvh_domain_lives_and_dies() {
    lives_and_dies(Kind::Pvh);
}

#[test]
fn an_hvm_domain_lives_and_dies() {
    lives_and_dies(Kind::Hvm);
}

#[test]
fn a_guest_ends_by_itself() {
    let ctx = context();
    let watcher = watcher();
    // In other tests Linux ends for the first two reasons, on request.
    for (config, action, reason) in [
        (
            tiny_config as fn(_, &_, &_) -> _,
            "poweroff",
            ShutdownReason::POWEROFF,
        ),
        (tiny_config, "reboot", ShutdownReason::REBOOT),
        (config, "crash", ShutdownReason::CRASH),
    ] {
        let action = format!("lab.action={action} lab.after=1");
        let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "ends", &action));
        guest.expect_shutdown(reason);
        guest.destroy();
    }
}

#[test]
fn a_reboot_request_ends_in_a_reboot_shutdown() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "reboot", ""));
    guest.wait_until_up();
    guest.domain.reboot().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::REBOOT);
}

/// The guest has no drivers yet, so its power button is pressed.
#[test]
fn a_guest_without_drivers_has_a_power_button() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Hvm, "button", ""));
    let via = guest.domain.request_shutdown(&Limits::none()).unwrap();
    assert_eq!(via, ShutdownVia::PowerButton);
}

#[test]
fn an_outsider_destroys_a_domain() {
    if !outsider_is_there() {
        return;
    }
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "outside", ""));
    xl(&["destroy", &guest.name]);
    guest.expect(DomainEvent::Death);
    let error = guest.domain.destroy().wait().unwrap_err();
    assert!(error.is_domain_gone(), "{error:#}");
}

#[test]
fn a_domain_that_is_gone_when_it_comes_to_be_watched_is_dead() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "late", ""));
    guest.destroy();
    let (_watch, events) = watcher.watch_channel(guest.id()).unwrap();
    assert_eq!(
        events.recv_timeout(crate::support::LONG).unwrap(),
        DomainEvent::Death
    );
}

#[test]
fn a_domain_with_another_uuid_is_not_touched() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "other", ""));
    let stranger = ctx.domain(DomainId {
        uuid: Uuid::new_v4(),
        ..guest.id()
    });
    for error in [
        stranger.destroy().wait().unwrap_err(),
        stranger.shutdown().wait().unwrap_err(),
        stranger.rename("stolen").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error:#}");
    }
    assert_eq!(guest.domain.info().unwrap().state(), DomainState::Paused);
    assert_eq!(guest.domain.name(), Some(guest.name.clone()));
    assert_eq!(stranger.name(), None);
    assert!(!stranger.psr_cmt_attached());
}

/// A domain and its stub domain are renamed together.
///
/// No stub domain is needed for this: it is enough that xenstore says that the device model runs in another domain,
/// which is then renamed as well.
#[test]
fn a_domain_is_renamed_with_its_stub_domain() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "whole", ""));
    let mut stub = tiny_config(Kind::Pv, "stub", "");
    stub.c_info.name = format!("{}-dm", guest.name);
    let stub = Guest::create(&ctx, &watcher, &stub);
    let path = format!(
        "/local/domain/{}/image/device-model-domid",
        guest.id().domid
    );
    let domid = stub.id().domid.to_string();
    let status = Command::new("xenstore-write")
        .args([&path, &domid])
        .status();
    assert!(status.unwrap().success());
    assert_eq!(guest.domain.stubdom().unwrap(), Some(stub.id().domid));

    let name = unique("renamed");
    guest.domain.rename(&name).unwrap();
    assert_eq!(guest.domain.name(), Some(name.clone()));
    assert_eq!(stub.domain.name(), Some(format!("{name}-dm")));
    // A name that is taken changes neither domain.
    let error = guest.domain.rename("Domain-0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    assert_eq!(guest.domain.name(), Some(name.clone()));
    assert_eq!(stub.domain.name(), Some(format!("{name}-dm")));
    let status = Command::new("xenstore-rm").arg(&path).status();
    assert!(status.unwrap().success());
}

/// Each thread finds the domain under the name that the other one has just given it.
#[test]
fn a_domain_is_renamed_by_two_at_a_time() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "twice", ""));
    let names = [unique("one"), unique("two")];
    thread::scope(|scope| {
        for name in &names {
            let domain = context().domain(guest.id());
            scope.spawn(move || {
                for _ in 0..20 {
                    match domain.rename(name) {
                        Ok(()) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}"),
                    }
                }
            });
        }
    });
    assert!(names.contains(&guest.domain.name().unwrap()));
}

#[test]
fn a_shut_down_domain_is_preserved_under_another_name() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "kept", "lab.action=poweroff lab.after=0");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    // A name that is taken is detected before anything changes.
    let mut taken = tiny_config(Kind::Pv, "taken", "");
    taken.c_info.name = format!("{}-taken", guest.name);
    let taken = Guest::create(&ctx, &watcher, &taken);
    let error = guest.domain.preserve("-taken").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    assert!(error.to_string().contains(&taken.name), "{error:#}");
    assert_eq!(guest.domain.name().as_ref(), Some(&guest.name));
    guest.domain.preserve("-kept").unwrap();
    assert_eq!(guest.domain.name().unwrap(), format!("{}-kept", guest.name));
    assert_eq!(
        guest.state(),
        Some(DomainState::Shutdown(ShutdownReason::POWEROFF)),
        "the identity stays"
    );
    // The name is free for the next domain.
    let again = Guest::create(&ctx, &watcher, &config);
    assert_eq!(again.domain.name().unwrap(), guest.name);
    guest.destroy();
    assert_eq!(again.state(), Some(DomainState::Paused));
}

#[test]
fn a_core_dump_is_written() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "core", ""));
    // Xen's core dumper needs the memory map that a PV guest sets up when it starts.
    guest.wait_until_up();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    guest.domain.core_dump(&path).unwrap().wait().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 3 << 20);
}

#[test]
fn all_types_at_once() {
    let ctx = context();
    let watcher = watcher();
    let guests = KINDS.map(|kind| Guest::create(&ctx, &watcher, &tiny_config(kind, "each", "")));
    for guest in &guests {
        guest.destroy();
    }
    wait_for("all to be gone", || {
        guests.iter().all(|guest| guest.state().is_none())
    });
}
