//! Fields of a DomainConfig that have no effect on the guest.

use crate::eve::{DomainConfig, FieldError};
use crate::limits;
use crate::spec::{Action, Format, Mode, Spec};

/// Returns a warning for each field that the config sets without an effect on the guest.
#[must_use]
pub(in crate::eve) fn without_effect(spec: &Spec, c: &DomainConfig) -> Vec<FieldError> {
    let mode = spec.mode.word();
    let mut found = Vec::new();
    let mut note = |when: bool, field: &str, why: String| {
        if when {
            found.push(FieldError::new(field, format!("without effect: {why}")));
        }
    };
    let pv_only = || format!("only a PV domain has one, and this is {mode}");
    let is_pv = spec.mode == Mode::Pv;
    note(!is_pv && !c.boot_loader.is_empty(), "BootLoader", pv_only());
    note(!is_pv && !c.root_dev.is_empty(), "RootDev", pv_only());
    note(
        limits::WITHOUT_DEVICE_TREE && !c.device_tree.is_empty(),
        "DeviceTree",
        "this host has none that it could be a part of".to_owned(),
    );
    let beside = || "the BootLoader finds another one".to_owned();
    note(
        spec.bootloader.is_some() && !c.kernel.is_empty(),
        "Kernel",
        beside(),
    );
    note(
        spec.bootloader.is_some() && !c.ramdisk.is_empty(),
        "Ramdisk",
        beside(),
    );
    let shown = c.vnc_passwd.0.len();
    let no_screen = || "EnableVnc is not set".to_owned();
    note(
        !c.enable_vnc && c.vnc_display != 0,
        "VncDisplay",
        no_screen(),
    );
    note(!c.enable_vnc && shown != 0, "VncPasswd", no_screen());
    note(
        !c.enable_vnc && !c.vnc_listen.is_empty(),
        "VncListen",
        no_screen(),
    );
    let user_data = !c.cloud_init_user_data.0.is_empty();
    note(
        user_data && c.meta_data_type == 1,
        "CloudInitUserData",
        "MetaDataType says that the guest gets none".to_owned(),
    );
    note(
        !user_data && c.cloud_init_version != 0,
        "CloudInitVersion",
        "there is no CloudInitUserData".to_owned(),
    );
    let served = spec.disks.iter().any(|d| d.format != Format::Raw);
    let qemu = spec.mode == Mode::Hvm || spec.vnc.is_some() || served;
    note(
        !qemu && !c.on_device_model_exit.is_empty(),
        "OnDeviceModelExit",
        "the domain has no device model".to_owned(),
    );
    for (field, word) in [
        ("OnPoweroff", &c.on_poweroff),
        ("OnReboot", &c.on_reboot),
        ("OnCrash", &c.on_crash),
        ("OnWatchdog", &c.on_watchdog),
    ] {
        let soft = word.replace('_', "-") == Action::SoftReset.word() && spec.mode != Mode::Hvm;
        let why = "only an HVM domain can be soft-reset: it is restarted";
        note(soft, field, why.to_owned());
    }
    // Xen maps interrupts for every domain, but no guest of these modes asks for them: QEMU serves the lines of HVM guests,
    // and a PVH guest has its devices from Xen alone.
    note(
        !is_pv && !c.irqs.is_empty(),
        "IRQs",
        format!("Xen delivers interrupts of the host to PV domains only, and this is {mode}"),
    );
    let boots_itself = spec.kernel.is_none() && spec.bootloader.is_none();
    let no_kernel = || "there is no Kernel that it would be for".to_owned();
    note(
        boots_itself && !c.ramdisk.is_empty(),
        "Ramdisk",
        no_kernel(),
    );
    note(
        boots_itself && !c.extra_args.is_empty(),
        "ExtraArgs",
        no_kernel(),
    );
    note(
        c.enable_vnc && shown > limits::VNC_PASSWORD,
        "VncPasswd",
        format!(
            "what follows its first {} bytes, which are all that VNC looks at",
            limits::VNC_PASSWORD
        ),
    );
    for (i, (disk, config)) in spec.disks.iter().zip(&c.disk_config_list).enumerate() {
        note(
            config.devtype == "cdrom" && !disk.cdrom,
            &format!("DiskConfigList[{i}].Devtype"),
            format!("a {mode} domain has no CD-ROM drive, and gets a disk that it can only read"),
        );
        note(
            config.maxsizebytes != 0 && disk.read_only,
            &format!("DiskConfigList[{i}].Maxsizebytes"),
            "the guest only reads it".to_owned(),
        );
        note(
            config.preserve && disk.image.as_ref().is_none_or(|image| image.copy.is_none()),
            &format!("DiskConfigList[{i}].Preserve"),
            "there is no copy of an image to be preserved".to_owned(),
        );
    }
    found
}
