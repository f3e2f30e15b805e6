//! A typical configuration of each kind of guest, and the JSON for it.
//!
//! `golden/` has the output of `libxl_domain_config_to_json`, of several versions of Xen, after libxl parsed this JSON.

use uuid::Uuid;

use crate::config::{
    BiosType, Bitmap, Channel, Disk, DomainConfig, HvmInfo, Mac, Nic, Pci, RdmReservePolicy,
    Secret, Usbctrl, Usbdev, VgaInterfaceInfo, VgaInterfaceType, VncInfo,
};

const UUID: Uuid = Uuid::from_u128(0x4da3_6d5a_4ed9_4e6e_8b8f_2ac1_2f0c_9d11);

pub(super) fn pv() -> DomainConfig {
    DomainConfig::pv("pv guest")
        .uuid(UUID)
        .kernel("/boot/vmlinuz")
        .ramdisk("/boot/initrd.img")
        .cmdline("root=/dev/xvda1 console=hvc0 quiet=\"yes\"")
        .memory_mib(128)
        .vcpus(2)
        .cpus(Bitmap::from([0, 1, 9]))
        .disk(Disk::raw("/dev/vg/root", "xvda"))
        .disk(Disk::qcow2("/images/data.qcow2", "xvdb").read_only())
        .nic(
            Nic::bridge("xenbr0")
                .with_mac(Mac([0x00, 0x16, 0x3e, 0x0a, 0xbc, 0x01]))
                .with_ifname("nbu1x1"),
        )
        .pci("07:00.1".parse().unwrap())
        .channel(Channel::socket("org.example.agent.1", "/run/agent.sock"))
        .vnc(VncInfo {
            listen: Some("0.0.0.0".to_owned()),
            display: Some(3),
            ..VncInfo::default()
        })
}

pub(super) fn pvh() -> DomainConfig {
    let mut config = DomainConfig::pvh("pvh")
        .uuid(UUID)
        .bootloader("pygrub")
        .memory_mib(256)
        .max_memory_mib(512)
        .vcpus(1)
        .max_vcpus(4)
        .disk(Disk::raw("/images/root.img", "xvda1"))
        .nic(Nic::bridge("xenbr0"));
    config.b_info.rtc_timeoffset = Some(-3600);
    config.b_info.vcpu_hard_affinity = vec![Bitmap::from([1]), Bitmap::first(3)];
    config
}

pub(super) fn hvm() -> DomainConfig {
    let hvm = HvmInfo {
        bios: Some(BiosType::Ovmf),
        boot: Some("dc".to_owned()),
        serial: Some("pty".to_owned()),
        hpet: Some(false),
        usb: Some(true),
        usbdevice_list: vec!["tablet".to_owned()],
        vga: VgaInterfaceInfo {
            kind: Some(VgaInterfaceType::Std),
        },
        ..HvmInfo::default()
    };
    DomainConfig::new("desktop", hvm)
        .uuid(UUID)
        .memory_mib(4096)
        .vcpus(4)
        .disk(Disk::qcow2("/images/windows.qcow2", "hda"))
        .disk(Disk::cdrom("/images/install.iso", "hdc"))
        .disk(Disk::empty_cdrom("hdd"))
        .nic(Nic {
            model: Some("e1000".to_owned()),
            ..Nic::bridge("bn2")
        })
        .pci(Pci {
            permissive: true,
            rdm_policy: Some(RdmReservePolicy::Relaxed),
            ..Pci::new(1, 0x8f, 0x1f, 7)
        })
        .usbctrl(Usbctrl {
            version: Some(2),
            ports: Some(6),
            ..Usbctrl::default()
        })
        .usbdev(Usbdev {
            ctrl: Some(0),
            port: Some(1),
            ..Usbdev::hostdev(3, 2)
        })
        .vnc(VncInfo {
            passwd: Some(Secret::from("hunter2")),
            findunused: Some(false),
            ..VncInfo::default()
        })
}

pub(super) fn all() -> [(&'static str, DomainConfig); 3] {
    [("pv", pv()), ("pvh", pvh()), ("hvm", hvm())]
}
