//! PCI devices of a real Xen host, assigned to domains and returned.
//!
//! The tests need a lab with an IOMMU and devices to give away: `cargo xtask test --devices`. There is one of each
//! device, so they run one after the other.

mod agent;
mod host;

use libxl::config::{Passthrough, Pci};

use self::host::{NIC, USB, driver, pciback, restore};
use crate::support::{Guest, Kind, config, context, watcher};

fn pci(address: &str) -> Pci {
    address.parse().unwrap()
}

fn addresses(list: &[Pci]) -> Vec<String> {
    list.iter().map(Pci::address).collect()
}

#[test]
fn a_device_is_made_assignable_and_given_back() {
    restore();
    let ctx = context();
    let nic = pci(NIC);
    let home = driver(NIC).expect("a driver");
    ctx.pci_assignable_add(&nic, true).unwrap();
    assert!(pciback(NIC));
    assert!(addresses(&ctx.pci_assignable_list().unwrap()).contains(&NIC.to_owned()));
    // Adding the device again is no error.
    ctx.pci_assignable_add(&nic, true).unwrap();
    ctx.pci_assignable_remove(&nic, true).unwrap();
    assert_eq!(driver(NIC), Some(home));
    assert!(!addresses(&ctx.pci_assignable_list().unwrap()).contains(&NIC.to_owned()));
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let ctx = context();
    let error = ctx
        .pci_assignable_add(&pci("0000:00:19.0"), true)
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.starts_with("libxl_device_pci_assignable_add: failed for PCI device 0000:00:19.0"),
        "{text}"
    );
}

#[test]
fn a_domain_is_built_with_a_device_and_another_cannot_have_it() {
    restore();
    let ctx = context();
    let watcher = watcher();
    ctx.pci_assignable_add(&pci(NIC), true).unwrap();
    let with = |hint: &str| {
        let mut config = config(Kind::Pv, hint, "");
        config.pcidevs = vec![pci(NIC)];
        config
    };
    let guest = Guest::create(&ctx, &watcher, &with("has"));
    assert_eq!(addresses(&guest.domain.pci_list().unwrap()), [NIC]);
    let error = ctx
        .domain_create_new(&with("wants"))
        .unwrap()
        .wait()
        .unwrap_err();
    if let Some(left) = error.domain() {
        // The caller must destroy the remains of a failed creation.
        if let Ok(left) = ctx.domain_by_domid(left) {
            let _ = left.destroy().wait();
        }
    }
    assert_eq!(addresses(&guest.domain.pci_list().unwrap()), [NIC]);
    guest.destroy();
    assert!(pciback(NIC), "still assignable");
    ctx.pci_assignable_remove(&pci(NIC), true).unwrap();
    assert!(!pciback(NIC));
}

#[test]
fn a_device_comes_and_goes_while_a_domain_runs() {
    restore();
    let ctx = context();
    let watcher = watcher();
    ctx.pci_assignable_add(&pci(USB), true).unwrap();
    let mut config = config(Kind::Pv, "hot", "");
    // A PV guest needs these settings to get devices later.
    config.c_info.passthrough = Some(Passthrough::Enabled);
    if let libxl::config::Guest::Pv(pv) = &mut config.b_info.guest {
        pv.e820_host = Some(true);
    }
    let guest = Guest::create(&ctx, &watcher, &config);
    guest.domain.pci_add(&pci(USB)).unwrap().wait().unwrap();
    assert_eq!(addresses(&guest.domain.pci_list().unwrap()), [USB]);
    // The guest, which does not run, is not asked. libxl lists the device until the frontend has released it or is
    // gone.
    guest.domain.pci_destroy(&pci(USB)).unwrap().wait().unwrap();
    guest.destroy();
    ctx.pci_assignable_remove(&pci(USB), true).unwrap();
    assert!(!pciback(USB));
}

/// A row of `docs/limits.md`: an HVM domain with a device must have all of its memory from the beginning.
#[test]
fn memory_on_demand_and_a_device_exclude_each_other() {
    restore();
    let ctx = context();
    let watcher = watcher();
    ctx.pci_assignable_add(&pci(NIC), true).unwrap();
    let with = |hint: &str, max_mib: u64| {
        let mut config = config(Kind::Hvm, hint, "");
        config.b_info.max_memkb = Some(max_mib << 10);
        config.pcidevs = vec![pci(NIC)];
        config
    };
    Guest::create(&ctx, &watcher, &with("whole", 128)).destroy();
    let refused = ctx.domain_create_new(&with("demand", 256)).unwrap().wait();
    let error = refused.expect_err("libxl takes it: the row, and the check, can go");
    let words = format!("{error:#}");
    assert!(words.contains("PoD"), "{words}");
    ctx.pci_assignable_remove(&pci(NIC), true).unwrap();
}
