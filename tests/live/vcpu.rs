//! Virtual CPUs, and the CPUs they run on.

use libxl::{ErrorKind, config::Bitmap};

use crate::support::{Guest, Kind, config, context, tiny_config, wait_for, watcher, xenstore_read};

#[test]
fn affinities_are_set_and_read() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "affinity", "").vcpus(2);
    let guest = Guest::create(&ctx, &watcher, &config);
    let domain = &guest.domain;
    let all = domain.list_vcpus().unwrap();
    assert_eq!(
        all.iter().map(|vcpu| vcpu.vcpuid).collect::<Vec<_>>(),
        [0, 1]
    );
    let (zero, everywhere) = (Bitmap::from([0]), all[0].hard_affinity.clone());
    assert!(everywhere.len() > 1, "the lab has two CPUs");

    domain.set_vcpu_affinity(1, Some(&zero), None).unwrap();
    let [first, second] = &domain.list_vcpus().unwrap()[..] else {
        panic!("two vCPUs");
    };
    assert_eq!(first.hard_affinity, everywhere);
    assert_eq!(
        (&second.hard_affinity, &second.soft_affinity),
        (&zero, &everywhere)
    );

    domain.set_vcpu_affinity_all(2, None, Some(&zero)).unwrap();
    for vcpu in domain.list_vcpus().unwrap() {
        assert_eq!(vcpu.soft_affinity, zero);
    }
    domain
        .set_vcpu_affinity_force(1, Some(&Bitmap::from([1])), None)
        .unwrap();
    assert_eq!(domain.list_vcpus().unwrap()[1].hard_affinity, [1].into());

    let error = domain.set_vcpu_affinity(0, None, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    let error = domain
        .set_vcpu_affinity(0, Some(&Bitmap::from([0, 9000])), None)
        .unwrap_err();
    assert!(
        error.to_string().contains("CPU 9000: the host has fewer"),
        "{error:#}"
    );
    domain.set_vcpu_affinity(7, Some(&zero), None).unwrap_err();
    domain
        .set_vcpu_affinity(0, Some(&Bitmap::new()), None)
        .unwrap_err();
}

#[test]
fn nodes_are_set_and_read() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "nodes", ""));
    let domain = &guest.domain;
    domain.set_node_affinity(&Bitmap::from([0])).unwrap();
    assert_eq!(domain.node_affinity().unwrap(), [0].into());
    let error = domain.set_node_affinity(&Bitmap::from([5000])).unwrap_err();
    assert!(error.to_string().contains("NUMA node 5000"), "{error:#}");
    domain.set_node_affinity(&Bitmap::new()).unwrap_err();
}

#[test]
fn a_guest_puts_a_vcpu_offline_and_online() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "online", "").vcpus(2));
    guest.wait_until_up();
    let online = || {
        let all = guest.domain.list_vcpus().unwrap();
        all.into_iter()
            .filter(|vcpu| vcpu.online)
            .map(|vcpu| vcpu.vcpuid)
            .collect::<Vec<_>>()
    };
    wait_for("both vCPUs", || online() == [0, 1]);
    assert!(guest.domain.list_vcpus().unwrap()[0].time_ns > 0);

    guest
        .domain
        .set_vcpus_online(&Bitmap::from([0]))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(xenstore_read(&guest, "cpu/1/availability"), "offline");
    wait_for("one vCPU to go", || online() == [0]);
    assert_eq!(guest.domain.list_vcpus().unwrap()[1].cpu, None);

    guest
        .domain
        .set_vcpus_online(&Bitmap::first(2))
        .unwrap()
        .wait()
        .unwrap();
    // Linux leaves it to udev to online the vCPU that has come back, and the lab's guest has no udev.
    assert_eq!(xenstore_read(&guest, "cpu/1/availability"), "online");

    let error = guest
        .domain
        .set_vcpus_online(&Bitmap::first(3))
        .unwrap()
        .wait()
        .unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("maxcpus is 2"), "{text}");
}
