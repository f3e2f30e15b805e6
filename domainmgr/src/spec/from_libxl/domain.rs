//! From a whole configuration to a [`Spec`].
//!
//! Xen gets the configuration as it is; the other fields of the spec are what the agent itself has to know of it: what
//! it must not give to two domains, what it does when the guest ends, what it shows.

use std::net::{IpAddr, Ipv4Addr};

use libxl::config::{ActionOnShutdown, BuildInfo, DomainConfig, Guest, Mac, VncInfo};
use uuid::Uuid;

use super::devices;
use crate::spec::mac;
use crate::spec::{Action, Actions, IoMem, Mode, Secret, Spec, Vnc};

/// Memory that libxl gives to a domain whose file has none, in MiB.
const LIBXL_MEMORY: u64 = 32;

/// Returns the spec for `key`. With `fresh_genid`, each domain that is built gets a VM generation ID of its own.
///
/// # Errors
/// A path in the configuration is relative, and the agent does not know to what.
pub fn domain(key: Uuid, mut config: DomainConfig, fresh_genid: bool) -> Result<Spec, String> {
    fix_identity(key, &mut config, fresh_genid);
    let mode = match &config.b_info.guest {
        Guest::Pv(_) => Mode::Pv,
        Guest::Pvh(_) => Mode::Pvh,
        Guest::Hvm(_) => Mode::Hvm,
    };
    let build = &config.b_info;
    for (name, path) in [
        ("kernel", &build.kernel),
        ("ramdisk", &build.ramdisk),
        ("device_tree", &build.device_tree),
    ] {
        absolute(name, path.as_deref())?;
    }
    let memory = build.target_memkb.or(build.max_memkb);
    let vcpus = u32::try_from(build.avail_vcpus.len())
        .unwrap_or(u32::MAX)
        .max(1);
    Ok(Spec {
        uuid: key,
        name: config.c_info.name.clone(),
        mode,
        kernel: build.kernel.clone(),
        ramdisk: build.ramdisk.clone(),
        bootloader: build.bootloader.clone(),
        extra: build.cmdline.clone().unwrap_or_default(),
        memory_mib: memory.map_or(LIBXL_MEMORY, |kib| kib.div_ceil(1024)),
        max_memory_mib: build.max_memkb.map(|kib| kib.div_ceil(1024)),
        vcpus,
        max_vcpus: build.max_vcpus.unwrap_or(vcpus),
        device_tree: build.device_tree.clone(),
        weight: share(build.sched_params.weight),
        cap: share(build.sched_params.cap),
        irqs: build.irqs.clone(),
        io_mem: io_mem(build),
        disks: config.disks.iter().map(devices::disk).collect(),
        nics: config.nics.iter().map(devices::nic).collect(),
        vnc: vnc(&config),
        actions: actions(&config),
        fresh_genid,
        given: Some(Box::new(config)),
        ..Spec::default()
    })
}

/// Fixes the values that must be the same for each domain that is built from the config.
fn fix_identity(key: Uuid, config: &mut DomainConfig, fresh_genid: bool) {
    if let (Guest::Hvm(hvm), true) = (&mut config.b_info.guest, fresh_genid) {
        // Random each time that the file is read, which is no change of it.
        hvm.ms_vm_genid = None;
    }
    config.c_info.uuid = Some(key);
    for (i, nic) in config.nics.iter_mut().enumerate() {
        // libxl would choose another one for each domain that is built, and its guest would see another interface.
        nic.mac.get_or_insert_with(|| Mac(mac::generated(key, i)));
    }
}

fn io_mem(build: &BuildInfo) -> Vec<IoMem> {
    let ranges = build.iomem.iter();
    let pages = ranges.map(|range| IoMem {
        start: range.start,
        count: range.number,
    });
    pages.collect()
}

/// A share of the processors; a number that is none is the scheduler's default.
fn share(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

/// xl would look for it in the directory in which it was started.
fn absolute(key: &str, path: Option<&str>) -> Result<(), String> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(format!("{key}: expected an absolute path, found {path:?}"))
        }
        _ => Ok(()),
    }
}

/// The graphical console. A fixed display is one that nobody else can have.
fn vnc(config: &DomainConfig) -> Option<Vnc> {
    let wanted: &VncInfo = match &config.b_info.guest {
        Guest::Hvm(hvm) => &hvm.vnc,
        _ => &config.vfbs.first()?.vnc,
    };
    if wanted.enable == Some(false) {
        return None;
    }
    let listen = wanted.listen.as_deref().unwrap_or_default();
    let (address, display) = match listen.rsplit_once(':') {
        Some((address, display)) if !display.is_empty() => (address, display.parse().ok()),
        _ => (listen, None),
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some(Vnc {
        listen: address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        display: display
            .or(wanted.display)
            .filter(|_| wanted.findunused == Some(false)),
        passwd: wanted
            .passwd
            .as_ref()
            .map(|passwd| Secret::new(passwd.expose())),
    })
}

fn actions(config: &DomainConfig) -> Actions {
    Actions {
        on_poweroff: action(&config.on_poweroff),
        on_reboot: action(&config.on_reboot),
        on_crash: action(&config.on_crash),
        on_watchdog: action(&config.on_watchdog),
        on_soft_reset: action(&config.on_soft_reset),
        ..Actions::default()
    }
}

fn action(action: &ActionOnShutdown) -> Action {
    match action {
        ActionOnShutdown::Restart => Action::Restart,
        ActionOnShutdown::RenameRestart => Action::RenameRestart,
        ActionOnShutdown::Preserve => Action::Preserve,
        ActionOnShutdown::CoredumpDestroy => Action::CoredumpDestroy,
        ActionOnShutdown::CoredumpRestart => Action::CoredumpRestart,
        ActionOnShutdown::SoftReset => Action::SoftReset,
        _ => Action::Destroy,
    }
}
