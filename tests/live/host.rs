//! The host's hardware, as libxl reports it.

use std::{collections::BTreeSet, fs};

use libxl::config::Bitmap;

use crate::support::context;

#[test]
fn cpus_nodes_and_sockets_agree() {
    let ctx = context();
    let physinfo = ctx.physinfo().unwrap();
    let online = ctx.online_cpus().unwrap();
    assert_eq!(online, physinfo.nr_cpus);
    assert!(ctx.max_cpus().unwrap() > physinfo.max_cpu_id);
    assert!(ctx.max_nodes().unwrap() >= physinfo.nr_nodes);

    let places = ctx.cpu_topology().unwrap();
    assert_eq!(places.iter().flatten().count(), online as usize);
    let places: Vec<_> = (0..)
        .zip(&places)
        .filter_map(|(cpu, place)| Some((cpu, (*place)?)))
        .collect();
    let cpus: Bitmap = places.iter().map(|(cpu, _)| *cpu).collect();
    let nodes: Bitmap = places.iter().map(|(_, place)| place.node).collect();
    let sockets: Bitmap = places.iter().map(|(_, place)| place.socket).collect();
    assert_eq!(ctx.online_sockets().unwrap(), sockets);
    assert_eq!(ctx.cpus_of_nodes(&nodes).unwrap(), cpus);
    assert_eq!(ctx.nodes_of_cpus(&cpus).unwrap(), nodes);
    assert_eq!(ctx.cpus_of_node(0).unwrap(), cpus, "the lab has one node");
    assert!(ctx.cpus_of_nodes(&Bitmap::from([60_000])).is_err());
}

#[test]
fn a_node_has_the_memory_of_the_host() {
    let ctx = context();
    let physinfo = ctx.physinfo().unwrap();
    let nodes = ctx.numa_info().unwrap();
    let nodes: Vec<_> = nodes.into_iter().flatten().collect();
    assert_eq!(nodes.len(), physinfo.nr_nodes as usize);
    let total = physinfo.total_pages * u64::from(ctx.version_info().unwrap().pagesize);
    let size: u64 = nodes.iter().map(|node| node.size).sum();
    // The size of a node includes the holes in its memory.
    assert!((total..2 * total).contains(&size), "{size} of {total}");
    assert!(
        nodes
            .iter()
            .all(|node| node.free < node.size && !node.distances.is_empty())
    );
}

#[test]
fn pci_devices_are_those_that_dom0_sees() {
    let ctx = context();
    let address = |pci: &libxl::config::Pci| {
        format!(
            "{:04x}:{:02x}:{:02x}.{:x}",
            pci.domain, pci.bus, pci.dev, pci.func
        )
    };
    let ours = ctx.pci_topology().unwrap();
    let ours: BTreeSet<String> = ours.iter().map(|place| address(&place.device)).collect();
    let dom0: BTreeSet<String> = fs::read_dir("/sys/bus/pci/devices")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(ours, dom0);
}
