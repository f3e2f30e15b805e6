//! Faults of libxl that safe functions must not reach.

use std::{env, fs::File};

use libxl::{
    Context, Error, ErrorKind, Limits,
    config::{Bitmap, Disk, Remus, Usbctrl, UsbctrlType, Vsnd},
    console::ConsoleType,
    psr::{PsrFeature, PsrType},
};

use crate::stand_in::{domain, nodes, offline, operations_take, reached, simulated, sound_cards};

/// libxl frees the path of the backend, and the structure still points to it.
#[test]
fn what_a_failed_look_at_a_disk_has_freed_is_not_freed_again() {
    simulated(
        "faults::what_a_failed_look_at_a_disk_has_freed_is_not_freed_again",
        || {
            let ctx = Context::open().unwrap();
            let disk = Disk {
                vdev: Some("xvda".into()),
                ..Disk::default()
            };
            for _ in 0..3 {
                let error = domain(&ctx, 3).disk_info(&disk).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Failed);
            }
        },
    );
}

/// libxl has made room for the devices of the card, and has not filled it in.
#[test]
fn what_a_failed_look_at_a_sound_card_has_not_made_is_not_freed() {
    simulated(
        "faults::what_a_failed_look_at_a_sound_card_has_not_made_is_not_freed",
        || {
            sound_cards(1);
            let ctx = Context::open().unwrap();
            let card = Vsnd {
                devid: Some(0),
                ..Vsnd::default()
            };
            let error = domain(&ctx, 3).vsnd_info(&card).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed);
        },
    );
}

/// libxl writes an entry for each socket that is online, and makes room for those that it counts.
#[test]
fn sockets_that_libxl_miscounts_are_not_asked_about() {
    simulated(
        "faults::sockets_that_libxl_miscounts_are_not_asked_about",
        || {
            let ctx = Context::open().unwrap();
            assert_eq!(ctx.psr_hw_info(PsrFeature::Mba, 0).unwrap().len(), 2);
            offline(3);
            assert_eq!(ctx.psr_hw_info(PsrFeature::Mba, 0).unwrap().len(), 1);
            offline(1);
            for error in [
                ctx.psr_hw_info(PsrFeature::Mba, 0).map(drop).unwrap_err(),
                ctx.psr_hw_info(PsrFeature::Cat, 3).map(drop).unwrap_err(),
                ctx.psr_cat_info(2).map(drop).unwrap_err(),
                ctx.psr_cat_l3_info().map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Failed);
                let text = error.to_string();
                assert!(text.contains("2 sockets have CPUs"), "{text}");
            }
        },
    );
}

/// Checks that the error is about this field, and that nothing was done.
fn refused(result: Result<(), Error>, what: &str) {
    let before = reached();
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = error.to_string();
    assert!(text.contains(what), "{text} has no {what:?}");
    assert_eq!((before, reached()), (0, 0), "{text}");
}

/// A bitmap of libxl has whole bytes, and bits beyond the host's last one are ignored.
#[test]
fn what_the_host_does_not_have_is_no_success() {
    simulated("faults::what_the_host_does_not_have_is_no_success", || {
        let ctx = Context::open().unwrap();
        let domain = domain(&ctx, 3);
        nodes(3);
        let bit = |bit| Bitmap::from([bit]);
        for cpu in [6, 7, 8, u32::MAX] {
            let affinity = domain.set_vcpu_affinity(0, Some(&bit(cpu)), None);
            refused(affinity, &format!("CPU {cpu}: "));
        }
        for node in [3, 7, u32::MAX] {
            let affinity = domain.set_node_affinity(&bit(node));
            refused(affinity, &format!("NUMA node {node}: "));
        }
        for socket in [2, 7, u32::MAX] {
            let set = domain.psr_set(PsrType::L3Cbm, &bit(socket), 1);
            refused(set, &format!("socket {socket}: "));
        }
        domain
            .set_vcpu_affinity(0, Some(&bit(5)), None)
            .and_then(|()| domain.set_node_affinity(&bit(2)))
            .and_then(|()| domain.psr_set(PsrType::L3Cbm, &bit(1), 1))
            .unwrap();
        assert_eq!(reached(), 3);
    });
}

#[test]
fn numbers_that_are_too_large_for_libxl_are_named() {
    simulated(
        "faults::numbers_that_are_too_large_for_libxl_are_named",
        || {
            let ctx = Context::open().unwrap();
            let domain = domain(&ctx, 3);
            for most in [u32::MAX, 1 << 31] {
                refused(ctx.cpupool_add_cpu(0, most), "cpu: ");
                refused(ctx.cpupool_remove_cpu(0, most), "cpu: ");
                refused(ctx.cpupool_add_node(0, most).map(drop), "node: ");
                refused(ctx.cpupool_remove_node(0, most).map(drop), "node: ");
                refused(ctx.cpus_of_node(most).map(drop), "node: ");
                let tty = domain.console_tty(most, ConsoleType::Pv);
                refused(tty.map(drop), "number: ");
                let shares = domain.vcpu_sched_params(&[0, most]);
                refused(shares.map(drop), "vcpus: ");
            }
            refused(ctx.psr_l3_cache_size(u32::MAX).map(drop), "socket: ");
            let filled = domain.psr_cache_occupancy(u32::MAX);
            refused(filled.map(drop), "socket: ");
        },
    );
}

/// libxl adds to the figure, and Xen counts the pages in 32 bits: the limit would be next to
/// nothing, or none.
#[test]
fn more_memory_than_xen_can_count_is_refused() {
    simulated("faults::more_memory_than_xen_can_count_is_refused", || {
        let ctx = Context::open().unwrap();
        let domain = domain(&ctx, 3);
        let most = (1 << 34) - 1;
        for kib in [most + 1, i64::MAX.unsigned_abs(), u64::MAX] {
            refused(domain.set_max_memory(kib), "kib: ");
            refused(domain.set_memory_target(kib, false), "kib: ");
        }
        for kib in [i64::MIN, i64::MAX, 1 << 34] {
            refused(domain.change_memory_target(kib, false), "kib: ");
        }
        domain.set_max_memory(most).unwrap();
        domain.set_memory_target(most, true).unwrap();
        domain.change_memory_target(1 - (1 << 34), true).unwrap();
        assert_eq!(reached(), 3);
    });
}

/// libxl asserts that a kind of proxy is set, and sets none itself.
#[test]
fn colo_is_told_which_proxy_it_has() {
    simulated("faults::colo_is_told_which_proxy_it_has", || {
        let ctx = Context::open().unwrap();
        operations_take(0);
        let nowhere = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        let how = Remus {
            colo: Some(true),
            ..Remus::default()
        };
        let Err(ended) = domain(&ctx, 3).remus_start(&nowhere, &nowhere, &how, &Limits::none());
        assert_eq!(ended.error.kind(), ErrorKind::Failed, "{ended}");
    });
}

/// libxl ends the process if there is no such program.
#[test]
fn a_viewer_that_is_not_there_is_an_error() {
    simulated("faults::a_viewer_that_is_not_there_is_an_error", || {
        let ctx = Context::open().unwrap();
        let domain = domain(&ctx, 3);
        let with = |viewer: &str| {
            // SAFETY: this process runs one test, which has no other thread that reads them.
            unsafe { env::set_var("VNCVIEWER", viewer) };
            domain.vncviewer_exec(false)
        };
        for viewer in ["/nowhere/viewer", "no-such-viewer", "", "/"] {
            let error = with(viewer);
            assert_eq!(error.kind(), ErrorKind::NotFound, "{viewer:?}: {error}");
        }
        assert_eq!(with("/bin/sh").kind(), ErrorKind::Failed);
    });
}

/// libxl determines the kind of a controller only when it adds one.
#[test]
fn a_usb_controller_of_no_kind_is_not_taken_away() {
    simulated(
        "faults::a_usb_controller_of_no_kind_is_not_taken_away",
        || {
            let ctx = Context::open().unwrap();
            let domain = domain(&ctx, 3);
            let ctrl = |r#type| Usbctrl {
                devid: Some(0),
                r#type,
                ..Usbctrl::default()
            };
            for unclear in [None, Some(UsbctrlType::Auto)] {
                let unclear = ctrl(unclear);
                let remove = domain.usbctrl_remove(&unclear);
                refused(remove.and_then(|remove| remove.wait()), "type: ");
                let destroy = domain.usbctrl_destroy(&unclear);
                refused(destroy.and_then(|destroy| destroy.wait()), "type: ");
            }
            let qusb = ctrl(Some(UsbctrlType::Qusb));
            let removed = domain.usbctrl_remove(&qusb).unwrap().wait();
            assert_eq!(removed.unwrap_err().kind(), ErrorKind::Failed);
            assert_eq!(reached(), 1);
        },
    );
}
