//! Fields of a DomainConfig that have no effect on the guest.

use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::limits;
use crate::spec::{Action, Format, Mode, Spec};

/// The warnings so far.
#[derive(Default)]
struct Notes(Vec<FieldError>);

impl Notes {
    /// Adds a warning about `field` if `when` is true.
    fn note(&mut self, when: bool, field: &str, why: impl Into<String>) {
        if when {
            let why = why.into();
            self.0
                .push(FieldError::new(field, format!("without effect: {why}")));
        }
    }
}

/// Returns a warning for each field that the config sets without an effect on the guest.
#[must_use]
pub(in crate::frontends::eve) fn without_effect(spec: &Spec, c: &DomainConfig) -> Vec<FieldError> {
    let mut notes = Notes::default();
    platform(&mut notes, spec, c);
    beside_boot_loader(&mut notes, spec, c);
    without_screen(&mut notes, c);
    cloud_init(&mut notes, c);
    lifecycle(&mut notes, spec, c);
    interrupts(&mut notes, spec, c);
    without_kernel(&mut notes, spec, c);
    long_password(&mut notes, c);
    disks(&mut notes, spec, c);
    notes.0
}

/// Fields for other modes or other hosts.
fn platform(notes: &mut Notes, spec: &Spec, c: &DomainConfig) {
    let is_pv = spec.mode == Mode::Pv;
    let pv_only = format!("only a PV domain has one, and this is {}", spec.mode.word());
    let boot_loader = !is_pv && !c.boot_loader.is_empty();
    notes.note(boot_loader, "BootLoader", &pv_only);
    notes.note(!is_pv && !c.root_dev.is_empty(), "RootDev", &pv_only);
    notes.note(
        limits::WITHOUT_DEVICE_TREE && !c.device_tree.is_empty(),
        "DeviceTree",
        "this host has none that it could be a part of",
    );
}

fn beside_boot_loader(notes: &mut Notes, spec: &Spec, c: &DomainConfig) {
    let loads = spec.bootloader.is_some();
    for (field, path) in [("Kernel", &c.kernel), ("Ramdisk", &c.ramdisk)] {
        let given = !path.is_empty();
        notes.note(loads && given, field, "the BootLoader finds another one");
    }
}

fn without_screen(notes: &mut Notes, c: &DomainConfig) {
    for (field, given) in [
        ("VncDisplay", c.vnc_display != 0),
        ("VncPasswd", !c.vnc_passwd.0.is_empty()),
        ("VncListen", !c.vnc_listen.is_empty()),
    ] {
        notes.note(!c.enable_vnc && given, field, "EnableVnc is not set");
    }
}

fn cloud_init(notes: &mut Notes, c: &DomainConfig) {
    let user_data = !c.cloud_init_user_data.0.is_empty();
    notes.note(
        user_data && c.meta_data_type == 1,
        "CloudInitUserData",
        "MetaDataType says that the guest gets none",
    );
    notes.note(
        !user_data && c.cloud_init_version != 0,
        "CloudInitVersion",
        "there is no CloudInitUserData",
    );
}

/// Reactions to events that this domain cannot have.
fn lifecycle(notes: &mut Notes, spec: &Spec, c: &DomainConfig) {
    let served = spec.disks.iter().any(|d| d.format != Format::Raw);
    let qemu = spec.mode == Mode::Hvm || spec.vnc.is_some() || served;
    notes.note(
        !qemu && !c.on_device_model_exit.is_empty(),
        "OnDeviceModelExit",
        "the domain has no device model",
    );
    for (field, word) in [
        ("OnPoweroff", &c.on_poweroff),
        ("OnReboot", &c.on_reboot),
        ("OnCrash", &c.on_crash),
        ("OnWatchdog", &c.on_watchdog),
    ] {
        let soft = word.replace('_', "-") == Action::SoftReset.word() && spec.mode != Mode::Hvm;
        let why = "only an HVM domain can be soft-reset: it is restarted";
        notes.note(soft, field, why);
    }
}

/// Interrupts for guests other than PV.
///
/// Xen maps interrupts for every domain, but no guest of these modes asks for them: QEMU serves the lines of HVM guests, and
/// a PVH guest has its devices from Xen alone.
fn interrupts(notes: &mut Notes, spec: &Spec, c: &DomainConfig) {
    let mode = spec.mode.word();
    notes.note(
        spec.mode != Mode::Pv && !c.irqs.is_empty(),
        "IRQs",
        format!("Xen delivers interrupts of the host to PV domains only, and this is {mode}"),
    );
}

fn without_kernel(notes: &mut Notes, spec: &Spec, c: &DomainConfig) {
    let boots_itself = spec.kernel.is_none() && spec.bootloader.is_none();
    for (field, text) in [("Ramdisk", &c.ramdisk), ("ExtraArgs", &c.extra_args)] {
        notes.note(
            boots_itself && !text.is_empty(),
            field,
            "there is no Kernel that it would be for",
        );
    }
}

fn long_password(notes: &mut Notes, c: &DomainConfig) {
    let most = limits::VNC_PASSWORD;
    notes.note(
        c.enable_vnc && c.vnc_passwd.0.len() > most,
        "VncPasswd",
        format!("what follows its first {most} bytes, which are all that VNC looks at"),
    );
}

fn disks(notes: &mut Notes, spec: &Spec, c: &DomainConfig) {
    let mode = spec.mode.word();
    for (i, (disk, config)) in spec.disks.iter().zip(&c.disk_config_list).enumerate() {
        notes.note(
            config.devtype == "cdrom" && !disk.cdrom,
            &format!("DiskConfigList[{i}].Devtype"),
            format!("a {mode} domain has no CD-ROM drive, and gets a disk that it can only read"),
        );
        notes.note(
            config.maxsizebytes != 0 && disk.read_only,
            &format!("DiskConfigList[{i}].Maxsizebytes"),
            "the guest only reads it",
        );
        notes.note(
            config.preserve && disk.image.as_ref().is_none_or(|image| image.copy.is_none()),
            &format!("DiskConfigList[{i}].Preserve"),
            "there is no copy of an image to be preserved",
        );
    }
}
