//! The table on the crate's front page: the calls that are legal in each phase of a domain's life.

use std::time::Duration;

use libxl::{
    DomainConfig, DomainEvent, DomainState, Error, ErrorKind, Limits, Result, Saving,
    ShutdownReason,
};

use crate::support::{Guest, Kind, context, tiny_config, unique, wait_for, watcher};

/// Calls that succeed for every domain that is not gone.
fn ordinary_calls(guest: &Guest) -> Vec<(&'static str, Result<()>)> {
    let domain = &guest.domain;
    let name = format!("{}-x", guest.name);
    vec![
        ("info", domain.info().map(drop)),
        (
            "retrieve_configuration",
            domain.retrieve_configuration().wait().map(drop),
        ),
        ("rename", domain.rename(&name)),
        ("rename", domain.rename(&guest.name)),
        ("userdata_store", domain.userdata_store("phases", b"x")),
        ("userdata_unlink", domain.userdata_unlink("phases")),
        ("nic_list", domain.nic_list().map(drop)),
        ("memory_target", domain.memory_target().map(drop)),
        ("set_max_memory", domain.set_max_memory(8192)),
        ("list_vcpus", domain.list_vcpus().map(drop)),
        ("sched_params", domain.sched_params().map(drop)),
        ("pause", domain.pause().wait()),
        ("unpause", domain.unpause().wait()),
    ]
}

/// Makes a call that is legal in one phase only.
fn special_call(call: &str, guest: &Guest, config: &DomainConfig) -> Result<()> {
    let domain = &guest.domain;
    match call {
        "resume" => domain.resume(true),
        "soft_reset" => domain.soft_reset(config),
        "suspend_only" => domain
            .suspend_only(&Limits::none())
            .map(drop)
            .map_err(Error::from),
        "save" => {
            let file = std::env::temp_dir().join(unique("phases"));
            let saved = domain.save_file(file, Saving::new());
            saved.map(drop).map_err(Error::from)
        }
        other => panic!("{other}"),
    }
}

#[track_caller]
fn all_are_taken(guest: &Guest) {
    for (call, result) in ordinary_calls(guest) {
        if let Err(error) = result {
            panic!("{call} in {:?}: {error:#}", guest.state());
        }
    }
}

#[track_caller]
fn is_refused(call: &str, result: Result<()>, kind: ErrorKind) {
    match result {
        Err(error) => assert_eq!(error.kind(), kind, "{call}: {error:#}"),
        Ok(()) => panic!("{call} was taken"),
    }
}

#[test]
fn a_paused_guest_cannot_answer() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "phases", ""));
    let domain = &guest.domain;
    assert_eq!(guest.state(), Some(DomainState::Paused));
    all_are_taken(&guest);
    domain.unpause().wait().unwrap();
    guest.wait_until_up();
    domain.pause().wait().unwrap();
    all_are_taken(&guest);
    assert_eq!(guest.state(), Some(DomainState::Paused));
    let short = Limits::none().deadline(Duration::from_secs(3));
    let silent = domain.shutdown().limits(&short).wait().unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::TimedOut, "{silent:#}");
    let silent = domain.suspend_only(&short).unwrap_err();
    assert_eq!(silent.error.kind(), ErrorKind::TimedOut, "{silent:?}");
    let wrong = domain.resume(true).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Invalid, "{wrong:#}");
    guest.destroy();
}

#[test]
fn calls_are_legal_when_the_front_page_says_so() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "phases", "");
    let guest = Guest::start(&ctx, &watcher, &config);
    let domain = &guest.domain;
    guest.wait_until_up();
    all_are_taken(&guest);
    let refused = |calls: &[&str], kind| {
        for call in calls {
            is_refused(call, special_call(call, &guest, &config), kind);
        }
    };
    refused(&["resume", "soft_reset"], ErrorKind::Invalid);

    let suspended = domain.suspend_only(&Limits::none()).unwrap();
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    all_are_taken(&guest);
    refused(&["soft_reset", "suspend_only", "save"], ErrorKind::Invalid);
    suspended.resume().unwrap();
    guest.expect(DomainEvent::Resumed);

    domain.shutdown().wait().unwrap();
    guest.expect_shutdown(ShutdownReason::POWEROFF);
    all_are_taken(&guest);
    let special = ["resume", "soft_reset", "suspend_only", "save"];
    refused(&special, ErrorKind::Invalid);

    guest.destroy();
    // Xen lists a destroyed domain until its last page is free.
    wait_for("the domain to be gone", || guest.state().is_none());
    for (call, result) in ordinary_calls(&guest) {
        is_refused(call, result, ErrorKind::DomainNotFound);
    }
    refused(&special, ErrorKind::DomainNotFound);
}
