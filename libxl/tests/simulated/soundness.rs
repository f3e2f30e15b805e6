//! Effects that an attacker, or a mistake, must not bring about.

use std::{fs::File, thread, time::Duration};

use libxl::{Context, DomainConfig, ErrorKind, Limits, Saving, config::Bitmap, xenstore::Xenstore};

use crate::stand_in::{
    RUNNING, becomes, crowds, domain, eject, nodemap_bytes, operations_take, overlaps, simulated,
    simulated_as, suspends,
};

/// The structures of another release have another shape.
#[test]
fn a_libxl_of_another_release_is_refused() {
    simulated_as(
        "soundness::a_libxl_of_another_release_is_refused",
        Some("libxenlight.so.4.99"),
        || {
            let error = Context::open().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let text = error.to_string();
            assert!(text.contains("libxenlight.so.4.99 is loaded"), "{text}");
        },
    );
}

#[test]
fn sound_cards_are_read_by_one_thread_at_a_time() {
    simulated(
        "soundness::sound_cards_are_read_by_one_thread_at_a_time",
        || {
            operations_take(1);
            thread::scope(|scope| {
                for n in 0..4 {
                    scope.spawn(move || {
                        let ctx = Context::open().unwrap();
                        let domain = domain(&ctx, n);
                        for _ in 0..10 {
                            if n % 2 == 0 {
                                assert!(domain.vsnd_list().unwrap().is_empty());
                            } else {
                                domain.retrieve_configuration().wait().unwrap();
                            }
                            // Something else that works on the same context.
                            domain.shutdown().wait().unwrap();
                        }
                    });
                }
            });
            assert_eq!(overlaps(), 0);
        },
    );
}

/// libxenstore keeps the path of xenstored's socket in one place, which it empties each time.
#[test]
fn xenstored_is_connected_to_by_one_thread_at_a_time() {
    simulated(
        "soundness::xenstored_is_connected_to_by_one_thread_at_a_time",
        || {
            operations_take(1);
            thread::scope(|scope| {
                for n in 0..4 {
                    scope.spawn(move || {
                        for _ in 0..5 {
                            let ctx = Context::open().unwrap();
                            let domain = domain(&ctx, n);
                            let to = File::create("/dev/null").unwrap();
                            match n {
                                0 => drop(domain.suspend_only(&Limits::none()).unwrap()),
                                1 => drop(domain.suspend(&to, Saving::new()).unwrap()),
                                _ => drop(Xenstore::open().unwrap()),
                            }
                            becomes(n, RUNNING);
                        }
                    });
                }
            });
            assert_eq!(crowds(), 0);
        },
    );
}

/// libxl passes the map to Xen's library, which reads as many bytes as the host has nodes for.
#[test]
fn a_node_map_is_as_long_as_the_host_asks_for() {
    simulated(
        "soundness::a_node_map_is_as_long_as_the_host_asks_for",
        || {
            let ctx = Context::open().unwrap();
            operations_take(0);
            let mut config = DomainConfig::pv("nodes").kernel("/kernel").memory_mib(64);
            let create = |config: &DomainConfig| {
                ctx.domain_create_new(config).unwrap().wait().unwrap();
                nodemap_bytes()
            };
            assert_eq!(create(&config), 0, "libxl chooses the nodes");
            config.b_info.nodemap = Bitmap::from([0]);
            assert_eq!(create(&config), 8, "64 nodes");
            config.b_info.nodemap = Bitmap::from([99]);
            assert_eq!(create(&config), 13);
        },
    );
}

#[test]
fn a_guest_that_ejects_for_ever_fills_nothing() {
    simulated(
        "soundness::a_guest_that_ejects_for_ever_fills_nothing",
        || {
            let ctx = Context::open().unwrap();
            let ejects = domain(&ctx, 3).watch_disk_eject("xvdb").unwrap();
            eject(1000);
            let disk = ejects.wait(&Limits::none()).unwrap();
            assert_eq!(disk.vdev.as_deref(), Some("xvdb"));
            let soon = Limits::none().deadline(Duration::from_millis(50));
            let error = ejects.wait(&soon).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::TimedOut,
                "an empty drive stays empty"
            );
        },
    );
}

/// libxl calls a function pointer that is not set when its stream breaks before its helper runs.
#[test]
fn a_stream_does_not_break_for_want_of_descriptors() {
    simulated(
        "soundness::a_stream_does_not_break_for_want_of_descriptors",
        || {
            let ctx = Context::open().unwrap();
            operations_take(0);
            let domain = domain(&ctx, 3);
            let to = File::create("/dev/null").unwrap();
            let used = File::open("/dev/null").unwrap();
            let used = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&used)).unwrap();
            let mut refused = 0;
            for room in 0..12 {
                limit(libc::RLIMIT_NOFILE, used + room);
                let before = suspends();
                match domain.suspend(&to, Saving::new()) {
                    Ok(suspended) => drop(suspended),
                    Err(failed) => {
                        assert_eq!(failed.error.kind(), ErrorKind::Io, "{failed}");
                        assert_eq!(suspends(), before, "libxl was not asked: {failed}");
                        refused += 1;
                    }
                }
                becomes(3, RUNNING);
            }
            assert!(refused > 2 && refused < 12, "{refused}");
        },
    );
}

#[test]
fn a_stream_needs_a_thread_and_says_so() {
    simulated("soundness::a_stream_needs_a_thread_and_says_so", || {
        let ctx = Context::open().unwrap();
        operations_take(0);
        let domain = domain(&ctx, 3);
        let to = File::create("/dev/null").unwrap();
        // A stack has two megabytes.
        let size = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = size.split(' ').next().unwrap().parse().unwrap();
        limit(libc::RLIMIT_AS, pages * 4096 + (1 << 20));
        let failed = domain.suspend(&to, Saving::new()).unwrap_err();
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        assert_eq!(failed.error.kind(), ErrorKind::Io);
        let text = failed.to_string();
        assert!(text.contains("no thread to carry the stream"), "{text}");
        assert_eq!(suspends(), 0, "libxl was not asked");
    });
}

#[test]
fn more_vcpus_than_a_domain_has_do_not_reach_libxl() {
    simulated(
        "soundness::more_vcpus_than_a_domain_has_do_not_reach_libxl",
        || {
            let ctx = Context::open().unwrap();
            let all = Bitmap::from([0]);
            for vcpus in [3, u32::MAX] {
                let error = domain(&ctx, 3)
                    .set_vcpu_affinity_all(vcpus, Some(&all), None)
                    .unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid);
                let text = error.to_string();
                assert!(text.contains("but the domain has 2"), "{text}");
            }
        },
    );
}

fn limit(what: libc::__rlimit_resource_t, to: u64) {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a place for the limits of this process.
    assert_eq!(unsafe { libc::getrlimit(what, &raw mut limits) }, 0);
    limits.rlim_cur = to.min(limits.rlim_max);
    // SAFETY: limits as they were, but for one.
    assert_eq!(unsafe { libc::setrlimit(what, &raw const limits) }, 0);
}
