//! The configuration of a domain, as libxl takes it.

use libxl::config::{
    ActionOnShutdown, Bitmap, BuildInfo, Disk, DiskFormat, DomainConfig, Dtdev, Guest, HvmInfo,
    IomemRange, IoportRange, Mac, MsVmGenid, Nic, NicType, Pci, PvInfo, PvhInfo, RdmReservePolicy,
    Secret, VncInfo,
};
use uuid::Uuid;

use super::shared::{RdmPolicy, io_ports, rdm_policy, vnc_place};
use crate::spec::actions::Action;
use crate::spec::adapters::{PciAddress, PciDevice};
use crate::spec::disks::Format;
use crate::spec::domain::{Mode, NicKind, Spec, Vnc};

/// The first serial line of an HVM domain, which is its console.
const PTY: &str = "pty";

/// Returns the configuration of a domain, as data. It is equivalent to the text of [`xl_cfg`](super::xl_cfg).
#[must_use]
pub fn domain_config(spec: &Spec) -> DomainConfig {
    if let Some(given) = &spec.given {
        return as_given(spec, given);
    }
    let actions = spec.actions;
    let mut config = DomainConfig::new(&spec.name, guest(spec))
        .uuid(spec.uuid)
        .memory_mib(spec.memory_mib)
        .vcpus(spec.vcpus)
        .max_vcpus(spec.max_vcpus)
        .on_poweroff(action(actions.on_poweroff))
        .on_reboot(action(actions.on_reboot))
        .on_crash(action(actions.on_crash))
        .on_watchdog(action(actions.on_watchdog))
        .on_soft_reset(action(actions.on_soft_reset));
    if let Some(max) = spec.max_memory_mib {
        config = config.max_memory_mib(max);
    }
    if spec.mode != Mode::Hvm {
        if let Some(wanted) = &spec.vnc {
            config = config.vnc(vnc(wanted));
        }
    }
    defaults_of_xl(&mut config);
    boot(&mut config.b_info, spec);
    processors(&mut config.b_info, spec);
    host_resources(&mut config.b_info, spec);
    devices(&mut config, spec);
    config
}

fn guest(spec: &Spec) -> Guest {
    match spec.mode {
        // As xl does it: a guest with devices has the memory map of the host.
        Mode::Pv => Guest::Pv(PvInfo {
            e820_host: (!spec.assigned.pci.is_empty()).then_some(true),
            ..PvInfo::default()
        }),
        Mode::Pvh => Guest::Pvh(PvhInfo::default()),
        Mode::Hvm => Guest::Hvm(Box::new(hvm(spec))),
    }
}

/// Sets fields that xl sets, too: the text and the data must be equivalent in every field.
fn defaults_of_xl(config: &mut DomainConfig) {
    config.c_info.run_hotplug_scripts = Some(true);
    for vfb in &mut config.vfbs {
        vfb.devid = Some(0);
    }
    for vkb in &mut config.vkbs {
        vkb.devid = Some(0);
    }
}

/// Sets the kernel or boot loader, and everything that belongs to it.
fn boot(build: &mut BuildInfo, spec: &Spec) {
    build.kernel.clone_from(&spec.kernel);
    build.ramdisk.clone_from(&spec.ramdisk);
    build.bootloader.clone_from(&spec.bootloader);
    build.device_tree.clone_from(&spec.device_tree);
    build.cmdline = Some(spec.cmdline()).filter(|c| !c.is_empty());
}

/// Sets the host's processors that the domain may use, and its share of them.
fn processors(build: &mut BuildInfo, spec: &Spec) {
    if !spec.cpus.is_empty() {
        // As xl does it: the same mask for every processor.
        let mask: Bitmap = spec.cpus.iter().copied().collect();
        build.vcpu_hard_affinity = (0..spec.max_vcpus).map(|_| mask.clone()).collect();
    }
    build.sched_params.weight = spec.weight.and_then(|n| i32::try_from(n).ok());
    build.sched_params.cap = spec.cap.and_then(|n| i32::try_from(n).ok());
}

/// Sets the interrupts, I/O ports and pages of the host that the domain may use.
fn host_resources(build: &mut BuildInfo, spec: &Spec) {
    build.irqs = spec.all_irqs().collect();
    build.ioports = io_ports(spec)
        .map(|(first, last)| IoportRange {
            first: first.into(),
            number: u32::from(last - first) + 1,
        })
        .collect();
    build.iomem = spec
        .io_mem
        .iter()
        .map(|m| IomemRange {
            start: m.start,
            number: m.count,
            gfn: None,
        })
        .collect();
}

fn devices(config: &mut DomainConfig, spec: &Spec) {
    let assigned = spec.assigned.pci.iter();
    config.pcidevs = assigned.map(|device| pci(spec.mode, device)).collect();
    config.dtdevs = spec.dt_dev.iter().map(Dtdev::new).collect();
    config.disks = spec.disks.iter().map(disk).collect();
    let nics = spec.nics.iter().enumerate();
    config.nics = nics.map(|(i, nic)| self::nic(i, nic)).collect();
}

/// The interface at this place in the list.
fn nic(i: usize, nic: &crate::spec::domain::Nic) -> Nic {
    let devid = i32::try_from(i).ok();
    if let Some(written) = &nic.attached {
        return Nic {
            devid,
            ..written.config.clone()
        };
    }
    Nic {
        devid,
        bridge: nic.bridge.clone(),
        ifname: nic.vif.clone(),
        mac: Some(Mac(nic.mac)),
        nictype: nic.kind.map(|kind| match kind {
            NicKind::Vif => NicType::Vif,
            NicKind::Ioemu => NicType::VifIoemu,
        }),
        mtu: nic.mtu,
        ..Nic::default()
    }
}

fn as_given(spec: &Spec, given: &DomainConfig) -> DomainConfig {
    let mut config = given.clone();
    if let (Guest::Hvm(hvm), true) = (&mut config.b_info.guest, spec.fresh_genid) {
        hvm.ms_vm_genid = Some(MsVmGenid(Uuid::new_v4().into_bytes()));
    }
    config
}

fn disk(disk: &crate::spec::disks::Disk) -> Disk {
    if let Some(written) = &disk.attached {
        return written.config.clone();
    }
    if disk.path.is_empty() && disk.cdrom {
        return Disk::empty_cdrom(&disk.vdev);
    }
    Disk {
        pdev_path: Some(disk.path.clone()),
        vdev: Some(disk.vdev.clone()),
        format: Some(match disk.format {
            Format::Raw => DiskFormat::Raw,
            Format::Qcow => DiskFormat::Qcow,
            Format::Qcow2 => DiskFormat::Qcow2,
            Format::Vhd => DiskFormat::Vhd,
        }),
        readwrite: !disk.read_only,
        is_cdrom: disk.cdrom,
        removable: disk.cdrom,
        ..Disk::default()
    }
}

fn pci(mode: Mode, device: &PciDevice) -> Pci {
    let PciAddress {
        domain,
        bus,
        dev,
        func,
    } = device.address;
    Pci {
        // xl sets this mask.
        vfunc_mask: Some(1),
        rdm_policy: rdm_policy(mode, device).map(|policy| match policy {
            RdmPolicy::Strict => RdmReservePolicy::Strict,
            RdmPolicy::Relaxed => RdmReservePolicy::Relaxed,
        }),
        ..Pci::new(domain, bus, dev, func)
    }
}

fn hvm(spec: &Spec) -> HvmInfo {
    let none = VncInfo {
        enable: Some(false),
        ..VncInfo::default()
    };
    HvmInfo {
        serial: spec.assigned.serials.is_empty().then(|| PTY.to_owned()),
        serial_list: match spec.assigned.serials.as_slice() {
            [] => Vec::new(),
            lines => std::iter::once(PTY.to_owned())
                .chain(lines.iter().cloned())
                .collect(),
        },
        boot: Some("dc".to_owned()),
        vnc: spec.vnc.as_ref().map_or(none, |wanted| VncInfo {
            enable: Some(true),
            ..vnc(wanted)
        }),
        usb: spec.vnc.as_ref().map(|_| true),
        usbdevice_list: spec.vnc.iter().map(|_| "tablet".to_owned()).collect(),
        ..HvmInfo::default()
    }
}

fn vnc(wanted: &Vnc) -> VncInfo {
    let (listen, display) = vnc_place(wanted);
    VncInfo {
        listen: Some(listen),
        display,
        // Otherwise the display silently becomes the next free one.
        findunused: wanted.display.map(|_| false),
        passwd: wanted.passwd.as_ref().map(|p| Secret::from(p.reveal())),
        ..VncInfo::default()
    }
}

fn action(action: Action) -> ActionOnShutdown {
    match action {
        Action::Destroy => ActionOnShutdown::Destroy,
        Action::Restart => ActionOnShutdown::Restart,
        Action::RenameRestart => ActionOnShutdown::RenameRestart,
        Action::Preserve => ActionOnShutdown::Preserve,
        Action::CoredumpDestroy => ActionOnShutdown::CoredumpDestroy,
        Action::CoredumpRestart => ActionOnShutdown::CoredumpRestart,
        Action::SoftReset => ActionOnShutdown::SoftReset,
    }
}
