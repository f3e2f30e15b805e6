//! A guest that asks for a soft reset, as Linux does for a kexec, continues in the same domain.

use libxl::{DomainConfig, DomainEvent, DomainState, ErrorKind, ShutdownReason};

use crate::support::{EARLY_RESET, Guest, Kind, context, tiny_config, watcher};

const ASKS: DomainEvent = DomainEvent::Shutdown(ShutdownReason::SOFT_RESET);
const RESET: DomainEvent = DomainEvent::Shutdown(ShutdownReason::REBOOT);
const ASKED: Option<DomainState> = Some(DomainState::Shutdown(ShutdownReason::SOFT_RESET));

/// Returns the configuration that a soft reset needs.
fn now(guest: &Guest) -> DomainConfig {
    guest.domain.retrieve_configuration().wait().unwrap()
}

#[test]
fn an_hvm_guest_goes_on_in_the_same_domain() {
    let ctx = context();
    let watcher = watcher();
    let params = "lab.action=soft-reset lab.after=1 lab.tick=0.3";
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Hvm, "reset", params));
    guest.expect(ASKS);
    let ticks = guest.uptimes().len();

    guest.domain.soft_reset(&now(&guest)).unwrap();
    assert_eq!(guest.state(), Some(DomainState::Paused));
    assert_eq!(ctx.name_to_domid(&guest.name).unwrap(), guest.id().domid);
    guest.domain.unpause().wait().unwrap();
    guest.expect(DomainEvent::Resumed);
    // The guest has its memory, and has not started from the beginning.
    crate::support::wait_for("the guest to go on counting", || {
        guest.has_not_reset();
        guest.uptimes().len() >= ticks + 2
    });
    assert!(guest.uptimes().is_sorted(), "{}", guest.console());
    let text = guest.console();
    assert!(text.contains("goes on after soft reset 1"), "{text}");
    assert_eq!(guest.console().matches("guest: up,").count(), 1);
    guest.still_lives_and_dies();
}

/// Waits until the guest asks for a soft reset.
fn asks(guest: &Guest) {
    loop {
        match guest.next() {
            ASKS => return,
            event => assert!(event != RESET, "{}: {EARLY_RESET}", guest.name),
        }
    }
}

/// A guest may ask again in the very instant in which it continues. Every request is noticed.
#[test]
fn a_guest_is_soft_reset_as_often_as_it_asks() {
    let ctx = context();
    let watcher = watcher();
    // A device model that has only just started cannot save its state. libxl then loses the domain.
    for (action, pause, times) in [("soft-reset", "0.5", 3), ("5", "0", 1)] {
        let params = format!(
            "lab.action={action} lab.after=0.5 lab.resumed={action} lab.resumed-after={pause}"
        );
        let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Hvm, "often", &params));
        for _ in 0..times {
            asks(&guest);
            guest.domain.soft_reset(&now(&guest)).unwrap();
            guest.domain.unpause().wait().unwrap();
        }
        asks(&guest);
        guest.destroy();
    }
}

/// libxl itself trusts the configuration about the type of the domain.
#[test]
fn only_an_hvm_domain_can_be_soft_reset() {
    let ctx = context();
    let watcher = watcher();
    for kind in [Kind::Pv, Kind::Pvh] {
        let config = tiny_config(kind, "no-reset", "lab.action=soft-reset lab.after=1");
        let guest = Guest::start(&ctx, &watcher, &config);
        guest.wait_until_up();
        guest.expect(ASKS);
        for config in [now(&guest), tiny_config(Kind::Hvm, "lie", "")] {
            let error = guest.domain.soft_reset(&config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
            let text = error.to_string();
            assert!(text.contains("only an HVM domain"), "{text}");
            assert_eq!(guest.state(), ASKED, "nothing was done to it");
        }
        guest.destroy();
    }
}

/// libxl would notice too late, when the device model is gone.
#[test]
fn a_running_domain_is_not_soft_reset() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Hvm, "runs", ""));
    guest.wait_until_up();
    let error = guest.domain.soft_reset(&now(&guest)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    assert!(
        error.to_string().contains("has not asked for a soft reset"),
        "{error}"
    );
    guest.still_lives_and_dies();
}
