//! A domain with a disk, an interface on a bridge, and a network adapter of the host.

use std::{fs, path::Path, process::Command};

use libxl::config::Pci;
use serde_json::json;

use crate::{
    host::{App, Host},
    support::wait_for,
    timeline::Timeline,
};

/// The first adapter that the lab's computer can give away, and its interface in dom0.
const NIC: &str = "0000:00:10.0";
const INTERFACE: &str = "eth1";
const IMAGE: &str = "c0ffee";
/// Address that QEMU's built-in network answers on.
const GATEWAY: &str = "10.0.2.2";

/// Returns flags for the agent: the adapters of the host, and eth0 as a port of the host itself.
pub(crate) fn flags(dir: &Path) -> Vec<String> {
    let model = json!({"IoBundleList": [
        {"Type": 1, "Name": "eth0", "Members": ["eth0"], "Lookup": true},
        {"Type": 1, "Name": "wan", "Members": [INTERFACE], "Lookup": true}
    ]});
    let ports = json!({"Testing": false, "Ports": [{"IfName": "eth0"}]});
    let mut flags = Vec::new();
    for (flag, value) in [("--adapters", model), ("--network-status", ports)] {
        let path = dir.join(format!("{}.json", &flag[2..]));
        fs::write(&path, value.to_string()).unwrap();
        flags.extend([flag.to_owned(), path.to_str().unwrap().to_owned()]);
    }
    flags
}

/// Creates the DomainConfig, with an image of a file system to copy.
pub(crate) fn want(host: &Host, app: &App) {
    let images = host.path("verified").join(IMAGE);
    let content = host.path("content");
    for dir in [&images, &content] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(content.join("greeting"), "from the image\n").unwrap();
    let made = Command::new("/sbin/mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([&content, &images.join("disk.raw")])
        .arg("32M")
        .status()
        .unwrap();
    assert!(made.success(), "an image with a file system");
    let changes = json!({
        "DiskConfigList": [{"ImageSha256": IMAGE, "Format": "raw", "Preserve": true}],
        "VifList": [{"Bridge": "xenbr0", "Mac": "00:16:3e:00:00:50"}],
        "IoAdapterList": [{"Type": 1, "Name": "wan"}],
    });
    host.put(app, "PV", "", &changes);
}

/// Checks that the domain has all three devices and uses them.
pub(crate) fn show(timeline: &Timeline, host: &Host, app: &App) {
    host.wait_up(app);
    let assigned = host.outsider(app).pci_list().unwrap();
    let assigned: Vec<String> = assigned.iter().map(Pci::address).collect();
    assert_eq!(assigned, [NIC]);

    let mut shell = host.shell(app);
    let said = shell.run(
        "modprobe ext4; until [ -b /dev/xvda ]; do sleep 0.1; done; \
         mount -t ext4 /dev/xvda /mnt && cat /mnt/greeting && echo an answer >/mnt/answer && umount /mnt",
    );
    assert!(said.contains("from the image"), "{said}");
    timeline.say("router has mounted the copy of its disk image, and written to it");

    // The guest may call either interface eth0, so they are told apart by their MAC addresses.
    shell.run(
        "for i in /sys/class/net/eth*; do i=${i##*/}; \
         case $(cat /sys/class/net/$i/address) in 00:16:3e:*) a=192.168.99.50;; *) a=10.0.2.15;; esac; \
         ip addr add $a/24 dev $i; ip link set $i up; done",
    );
    shell.run("ping -c 3 -w 30 192.168.99.1 | grep -q ' 0% packet loss'");
    timeline.say("router pings dom0 over the bridge");
    shell.run(&format!(
        "ping -c 3 -w 30 {GATEWAY} | grep -q ' 0% packet loss'"
    ));
    timeline.say("router pings the world outside through the adapter that it was assigned");
}

/// Removes the domain. Its adapter is free again, and becomes eth1 once it is a port of the host.
pub(crate) fn end(timeline: &Timeline, host: &Host, app: &App) {
    host.remove(app);
    host.wait_gone(app);
    let left = fs::read_dir(host.path("img")).unwrap().count();
    assert_eq!(left, 0, "the copy goes with the DomainConfig");
    host.set_ports(
        &json!({"Testing": false, "Ports": [{"IfName": "eth0"}, {"IfName": INTERFACE}]})
            .to_string(),
    );
    let interface = format!("/sys/bus/pci/devices/{NIC}/net/{INTERFACE}");
    wait_for("the adapter back under its name", || {
        Path::new(&interface).exists()
    });
    timeline.say("router is gone, and its adapter is eth1 again");
}
