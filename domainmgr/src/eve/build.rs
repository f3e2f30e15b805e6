//! From a DomainConfig to a [`Spec`]: every check that needs no file system.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use uuid::Uuid;

use super::disks::{disks, seed};
use super::nics::nic;
use super::{DomainConfig, FieldError, IoAdapter, ModeField};
use crate::limits;
use crate::spec::{
    Action, Actions, Adapter, Assigned, Format, IoMem, Mode, ModelExit, Secret, Spec, Vnc,
};

type Result<T> = std::result::Result<T, FieldError>;

/// Pages are 4 KiB; an address above this does not fit 64 bits.
const MAX_PAGE: u64 = u64::MAX >> 12;
/// More memory than any host has, and still far from overflowing anything.
const MAX_MEMORY_KB: u64 = 1 << 40;
/// As many as there are processors: a file full of ranges would keep the agent busy.
const MAX_CPU_PARTS: usize = 4096;

/// What to build, if the config asks for nothing impossible.
///
/// # Errors
/// The first field that is wrong, or that asks for what this version cannot do.
pub fn spec(key: Uuid, c: &DomainConfig) -> Result<Spec> {
    identity(key, c)?;
    let mode = mode(&c.virtualization_mode)?;
    let name = name(c)?;
    texts(c)?;
    let vnc = screen(c, mode)?;
    what_boots(c, mode)?;
    let (memory_mib, max_memory_mib) = memories(c)?;
    let (vcpus, max_vcpus) = processors(c, mode)?;
    let mut disks = disks(key, &c.disk_config_list, mode)?;
    disks.extend(seed(key, c)?);
    let spec = Spec {
        uuid: key,
        name,
        app_num: c.app_num,
        mode,
        kernel: some(&c.kernel),
        ramdisk: some(&c.ramdisk),
        bootloader: bootloader(c, mode),
        root: (mode == Mode::Pv).then(|| some(&c.root_dev).unwrap_or_else(|| "/dev/xvda1".into())),
        extra: extra(key, c, mode),
        memory_mib,
        max_memory_mib,
        vcpus,
        max_vcpus,
        cpus: cpus(&c.cpus)?,
        device_tree: some(&c.device_tree),
        dt_dev: c.dt_dev.clone(),
        irqs: each(&c.irqs, |i, irq| interrupt(i, *irq))?,
        io_mem: each(&c.io_mem, |i, text| io_mem(&format!("IOMem[{i}]"), text))?,
        disks,
        nics: each(&c.vif_list, |i, vif| nic(key, i, vif, mode))?,
        vnc,
        adapters: each(&c.io_adapter_list, adapter)?,
        assigned: Assigned::default(),
        actions: actions(c)?,
        given: None,
        fresh_genid: false,
    };
    command_line(c, &spec)?;
    renaming(&spec)?;
    Ok(spec)
}

/// What the config says, and the guest gets nothing of.
#[must_use]
pub(super) fn without_effect(spec: &Spec, c: &DomainConfig) -> Vec<FieldError> {
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

/// A kept HVM domain keeps its device model, and with it what that has opened: its successor would write to the same disks.
fn renaming(spec: &Spec) -> Result<()> {
    let writes = spec.disks.iter().any(|d| !d.read_only);
    let named = spec.nics.iter().any(|nic| nic.vif.is_some());
    let kept = spec.mode == Mode::Hvm && (writes || named);
    let display = spec.vnc.as_ref().is_some_and(|vnc| vnc.display.is_some());
    if !kept && !display {
        return Ok(());
    }
    let actions = spec.actions;
    let fields = [
        ("OnPoweroff", actions.on_poweroff),
        ("OnReboot", actions.on_reboot),
        ("OnCrash", actions.on_crash),
        ("OnWatchdog", actions.on_watchdog),
        ("OnSoftReset", actions.on_soft_reset),
    ];
    match fields
        .iter()
        .find(|(_, action)| *action == Action::RenameRestart)
    {
        None => Ok(()),
        Some((field, _)) => Err(FieldError::new(
            *field,
            "rename-restart keeps QEMU, which keeps what the next domain needs: it can be had only without a VncDisplay, and, \
             for an HVM domain, without a disk that it writes to and without a Vif",
        )),
    }
}

/// The kernel's command line, which Xen would cut off.
fn command_line(c: &DomainConfig, spec: &Spec) -> Result<()> {
    let most = match spec.mode {
        Mode::Pv => limits::PV_COMMAND_LINE,
        Mode::Hvm | Mode::Pvh => limits::COMMAND_LINE,
    };
    let length = spec.cmdline().len();
    if length <= most {
        return Ok(());
    }
    let field = if c.root_dev.len() > c.extra_args.len() {
        "RootDev"
    } else {
        "ExtraArgs"
    };
    Err(FieldError::new(
        field,
        format!(
            "the command line has {length} bytes, at most {most} for a {} domain",
            spec.mode.word()
        ),
    ))
}

/// All items of a list, or the first error.
fn each<T, U>(list: &[T], of: impl Fn(usize, &T) -> Result<U>) -> Result<Vec<U>> {
    let items = list.iter().enumerate();
    items.map(|(i, item)| of(i, item)).collect()
}

/// Paths and texts that stand for themselves.
fn texts(c: &DomainConfig) -> Result<()> {
    for (field, text) in [
        ("Kernel", &c.kernel),
        ("Ramdisk", &c.ramdisk),
        ("DeviceTree", &c.device_tree),
    ] {
        path(field, text)?;
    }
    for (field, text) in [
        ("BootLoader", &c.boot_loader),
        ("RootDev", &c.root_dev),
        ("ExtraArgs", &c.extra_args),
        ("VncPasswd", &c.vnc_passwd.0),
    ] {
        plain(field, text)?;
    }
    // What follows a blank is another parameter of the kernel.
    if c.root_dev.contains(char::is_whitespace) {
        return Err(FieldError::new(
            "RootDev",
            format!("white space cannot be part of it, found {:?}", c.root_dev),
        ));
    }
    for (i, node) in c.dt_dev.iter().enumerate() {
        path(&format!("DtDev[{i}]"), node)?;
    }
    Ok(())
}

fn screen(c: &DomainConfig, mode: Mode) -> Result<Option<Vnc>> {
    // The screen of the other modes is one string of settings in xl.cfg, which has no way to quote these.
    if mode != Mode::Hvm && c.vnc_passwd.0.contains([',', ' ', '\t']) {
        return Err(FieldError::new(
            "VncPasswd",
            "commas and blanks cannot be part of it, save for an HVM domain",
        ));
    }
    let listen = match (c.vnc_listen.as_str(), c.vnc_listen.parse()) {
        ("", _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (_, Ok(address)) => address,
        (text, Err(_)) => {
            return Err(FieldError::new(
                "VncListen",
                format!("expected an address of the host like \"0.0.0.0\", found {text:?}"),
            ));
        }
    };
    // One address, one way to write it.
    let listen = listen.to_canonical();
    if c.vnc_display > limits::VNC_DISPLAY {
        return Err(FieldError::new(
            "VncDisplay",
            format!(
                "{} is more than {}, whose port is the last one",
                c.vnc_display,
                limits::VNC_DISPLAY
            ),
        ));
    }
    Ok(c.enable_vnc.then(|| Vnc {
        listen,
        display: (c.vnc_display != 0).then_some(c.vnc_display),
        passwd: some(&c.vnc_passwd.0).map(Secret::new),
    }))
}

fn what_boots(c: &DomainConfig, mode: Mode) -> Result<()> {
    match mode {
        Mode::Pv if c.kernel.is_empty() && c.boot_loader.is_empty() => Err(FieldError::new(
            "Kernel",
            "a PV domain needs a Kernel or a BootLoader",
        )),
        Mode::Pv if !c.boot_loader.is_empty() && c.disk_config_list.is_empty() => {
            Err(FieldError::new(
                "BootLoader",
                "there is no disk that it could find a kernel on",
            ))
        }
        Mode::Pvh if c.kernel.is_empty() => {
            Err(FieldError::new("Kernel", "a PVH domain needs one"))
        }
        _ => Ok(()),
    }
}

fn bootloader(c: &DomainConfig, mode: Mode) -> Option<String> {
    let path = some(&c.boot_loader).filter(|_| mode == Mode::Pv)?;
    // Wherever EVE's image had it, libxl finds its own.
    let pygrub = path.ends_with("pygrub");
    Some(if pygrub { "pygrub".to_owned() } else { path })
}

fn extra(key: Uuid, c: &DomainConfig, mode: Mode) -> String {
    if mode == Mode::Pv {
        let text = format!("console=hvc0 appuuid={key} {}", c.extra_args);
        text.trim_end().to_owned()
    } else {
        c.extra_args.clone()
    }
}

/// The memory at the start, and the most, in MiB.
fn memories(c: &DomainConfig) -> Result<(u64, Option<u64>)> {
    let first = memory("Memory", c.memory.0)?
        .ok_or_else(|| FieldError::new("Memory", "expected an integer of kB above 0, found 0"))?;
    let most = memory("MaxMem", c.max_mem.0)?;
    if most.is_some_and(|most| most < first) {
        return Err(FieldError::new(
            "MaxMem",
            format!("{} kB is less than Memory, {} kB", c.max_mem.0, c.memory.0),
        ));
    }
    Ok((first, most))
}

/// The number of virtual processors at the start, and the most.
fn processors(c: &DomainConfig, mode: Mode) -> Result<(u32, u32)> {
    let first = c.vcpus.max(1);
    let most = if c.max_cpus == 0 { first } else { c.max_cpus };
    if most < first {
        return Err(FieldError::new(
            "MaxCpus",
            format!("{most} is less than VCpus, {first}"),
        ));
    }
    let limit = limits::vcpus(mode);
    if most > limit {
        let field = if c.max_cpus == 0 { "VCpus" } else { "MaxCpus" };
        return Err(FieldError::new(
            field,
            format!(
                "{most} is more than the {limit} of a {} domain",
                mode.word()
            ),
        ));
    }
    Ok((first, most))
}

pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn identity(key: Uuid, c: &DomainConfig) -> Result<()> {
    let inside = &c.uuid_and_version.uuid;
    let reason = match inside.parse::<Uuid>() {
        Ok(uuid) if uuid == key => return Ok(()),
        Ok(_) => format!("{inside} is not the name of the file, {key}"),
        Err(_) if inside.is_empty() => "missing".to_owned(),
        Err(_) => format!("expected a uuid, found {inside:?}"),
    };
    Err(FieldError::new("UUIDandVersion.UUID", reason))
}

fn mode(field: &ModeField) -> Result<Mode> {
    let found = match field {
        ModeField::Number(0) => return Ok(Mode::Pv),
        ModeField::Number(1) => return Ok(Mode::Hvm),
        ModeField::Number(n) => {
            // EVE's later ones are for KVM, for containers, and for hypervisors of the past.
            let eves = match n {
                2 => ", EVE's Filler",
                3 => ", EVE's FML",
                4 => ", EVE's NOHYPER",
                5 => ", EVE's LEGACY",
                _ => "",
            };
            format!("{n}{eves}")
        }
        ModeField::Word(word) => {
            for mode in [Mode::Pv, Mode::Hvm, Mode::Pvh] {
                if word.eq_ignore_ascii_case(mode.word()) {
                    return Ok(mode);
                }
            }
            format!("{word:?}")
        }
    };
    Err(FieldError::new(
        "VirtualizationMode",
        format!("expected 0 or \"PV\", 1 or \"HVM\", or \"PVH\", found {found}"),
    ))
}

fn name(c: &DomainConfig) -> Result<String> {
    let bad = |reason: String| Err(FieldError::new("DisplayName", reason));
    if c.display_name.is_empty() {
        return bad("missing".to_owned());
    }
    // It becomes part of paths in xenstore, of the names of log files, and of one of QEMU's options, in which a comma ends
    // a value, and what stands before a `=` is the name of one.
    if let Some(c) = c
        .display_name
        .chars()
        .find(|c| {
            // What turns the direction of writing makes one name look like another.
            let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            turns || c.is_control() || matches!(c, '/' | '"' | '\'' | '\\' | ',' | '=')
        })
    {
        return bad(format!("{c:?} cannot be in the name of a domain"));
    }
    let name = format!("{}.{}", c.display_name, c.app_num);
    if name.len() > 128 {
        return bad(format!(
            "{} bytes, at most 128 with \".{}\"",
            name.len(),
            c.app_num
        ));
    }
    Ok(name)
}

/// A NUL ends a string in C, and a line break ends it in xl.cfg's world.
fn plain(field: &str, text: &str) -> Result<()> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        None => Ok(()),
        Some(c) => Err(FieldError::new(
            field,
            format!("{c:?} cannot be part of it"),
        )),
    }
}

pub(super) fn path(field: &str, text: &str) -> Result<()> {
    plain(field, text)?;
    if text.is_empty() || text.starts_with('/') {
        Ok(())
    } else {
        Err(FieldError::new(
            field,
            format!("expected an absolute path, found {text:?}"),
        ))
    }
}

/// kB to MiB, rounded up; `None` for 0.
fn memory(field: &str, kb: u64) -> Result<Option<u64>> {
    if kb > MAX_MEMORY_KB {
        return Err(FieldError::new(
            field,
            format!("{kb} kB is more than the {MAX_MEMORY_KB} kB any host has"),
        ));
    }
    Ok((kb > 0).then(|| kb.div_ceil(1024)))
}

/// `0-2,5`, with xl's `^` for "not" left out: EVE never writes it.
fn cpus(text: &str) -> Result<Vec<u32>> {
    let parts = text.split(',').count();
    if parts > MAX_CPU_PARTS {
        return Err(FieldError::new(
            "CPUs",
            format!("{parts} numbers and ranges, at most {MAX_CPU_PARTS}"),
        ));
    }
    let bad = |part: &str| {
        FieldError::new(
            "CPUs",
            format!("expected numbers below 4096 like \"1,2\" or \"0-3\", found {part:?}"),
        )
    };
    let mut cpus = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |s: &str| s.trim().parse::<u32>().ok().filter(|n| *n < 4096);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
            _ => return Err(bad(part)),
        }
    }
    Ok(cpus.into_iter().collect())
}

/// The number of an interrupt. No host has more than these.
fn interrupt(i: usize, irq: u32) -> Result<u32> {
    if irq < 1024 {
        return Ok(irq);
    }
    Err(FieldError::new(
        format!("IRQs[{i}]"),
        format!("expected a number below 1024, found {irq}"),
    ))
}

/// `START,COUNT`, hexadecimal.
fn io_mem(field: &str, text: &str) -> Result<IoMem> {
    let hex = |s: &str| {
        let s = s.trim();
        let digits = s
            .strip_prefix("0x")
            .or_else(|| s.strip_prefix("0X"))
            .unwrap_or(s);
        u64::from_str_radix(digits, 16)
            .ok()
            .filter(|n| *n <= MAX_PAGE)
    };
    text.split_once(',')
        .and_then(|(start, count)| Some((hex(start)?, hex(count)?)))
        .filter(|&(_, count)| count > 0)
        .map(|(start, count)| IoMem { start, count })
        .ok_or_else(|| {
            FieldError::new(
                field,
                format!("expected START,COUNT in hexadecimal pages, found {text:?}"),
            )
        })
}

fn adapter(i: usize, adapter: &IoAdapter) -> Result<Adapter> {
    let field = format!("IoAdapterList[{i}].Name");
    plain(&field, &adapter.name)?;
    if adapter.name.is_empty() {
        return Err(FieldError::new(field, "missing"));
    }
    Ok(Adapter {
        kind: adapter.r#type,
        name: adapter.name.clone(),
    })
}

fn actions(c: &DomainConfig) -> Result<Actions> {
    let mut actions = Actions {
        on_device_model_exit: match c.on_device_model_exit.as_str() {
            "" | "keep" => ModelExit::Keep,
            "restart" => ModelExit::Restart,
            other => {
                return Err(FieldError::new(
                    "OnDeviceModelExit",
                    format!("expected \"keep\" or \"restart\", found {other:?}"),
                ));
            }
        },
        ..Actions::default()
    };
    for (field, word, slot) in [
        ("OnPoweroff", &c.on_poweroff, &mut actions.on_poweroff),
        ("OnReboot", &c.on_reboot, &mut actions.on_reboot),
        ("OnCrash", &c.on_crash, &mut actions.on_crash),
        ("OnWatchdog", &c.on_watchdog, &mut actions.on_watchdog),
        ("OnSoftReset", &c.on_soft_reset, &mut actions.on_soft_reset),
    ] {
        if word.is_empty() {
            continue;
        }
        // xl takes underscores as well.
        let wanted = word.replace('_', "-");
        *slot = *Action::ALL
            .iter()
            .find(|a| a.word() == wanted)
            .ok_or_else(|| {
                let known: Vec<&str> = Action::ALL.iter().map(|a| a.word()).collect();
                FieldError::new(
                    field,
                    format!("expected one of {}, found {word:?}", known.join(", ")),
                )
            })?;
    }
    Ok(actions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eve::parse;

    const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

    fn build(more: &str) -> std::result::Result<Spec, String> {
        let text = format!(
            r#"{{"UUIDandVersion":{{"UUID":"{KEY}","Version":"1"}},"DisplayName":"app","AppNum":3,"Kernel":"/k","Memory":1025{more}}}"#
        );
        let config: DomainConfig = parse(text.as_bytes()).map_err(|e| e.to_string())?;
        spec(KEY.parse().unwrap(), &config).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_eves() {
        let s = build("").unwrap();
        assert_eq!(s.name, "app.3");
        assert_eq!(s.memory_mib, 2);
        assert_eq!((s.vcpus, s.max_vcpus, s.max_memory_mib), (1, 1, None));
        assert_eq!(
            s.cmdline(),
            format!("root=/dev/xvda1 console=hvc0 appuuid={KEY}")
        );
        let s =
            build(r#","VirtualizationMode":"PVH","ExtraArgs":"a b","VCpus":2,"CPUs":"3,1-2,2""#)
                .unwrap();
        assert_eq!(s.mode, Mode::Pvh);
        assert_eq!(s.cmdline(), "a b");
        assert_eq!(s.cpus, [1, 2, 3]);
        assert_eq!(s.max_vcpus, 2);
    }

    #[test]
    fn errors_name_the_field() {
        for (more, error) in [
            (
                r#","Memory":"lots""#,
                r#"Memory: expected an integer of kB, found string "lots""#,
            ),
            (
                r#","Memory":-1"#,
                "Memory: expected an integer of kB, found integer `-1`",
            ),
            (
                r#","Memory":0"#,
                "Memory: expected an integer of kB above 0, found 0",
            ),
            (
                r#","MaxMem":1"#,
                "MaxMem: 1 kB is less than Memory, 1025 kB",
            ),
            (
                r#","VirtualizationMode":7"#,
                r#"VirtualizationMode: expected 0 or "PV", 1 or "HVM", or "PVH", found 7"#,
            ),
            (
                r#","VirtualizationMode":"LXC""#,
                r#"VirtualizationMode: expected 0 or "PV", 1 or "HVM", or "PVH", found "LXC""#,
            ),
            (
                r#","Kernel":"k""#,
                r#"Kernel: expected an absolute path, found "k""#,
            ),
            (
                r#","Kernel":"""#,
                "Kernel: a PV domain needs a Kernel or a BootLoader",
            ),
            (
                r#","DisplayName":"x\"\nkernel=\"/etc/passwd""#,
                r#"DisplayName: '"' cannot be in the name of a domain"#,
            ),
            (
                r#","DisplayName":"x\ny""#,
                r"DisplayName: '\n' cannot be in the name of a domain",
            ),
            (
                r#","OnCrash":"explode""#,
                r#"OnCrash: expected one of destroy, restart, rename-restart, preserve, coredump-destroy, coredump-restart, soft-reset, found "explode""#,
            ),
            (
                r#","IoAdapterList":[{"Type":1,"Name":"eth1"},{"Type":2}]"#,
                "IoAdapterList[1].Name: missing",
            ),
            (
                r#","CloudInitUserData":"aGk""#,
                "CloudInitUserData: not base64: Invalid padding",
            ),
            (
                r#","VncPasswd":12345678"#,
                "VncPasswd: expected text, found a number",
            ),
            (
                r#","VncPasswd":["secret"]"#,
                "VncPasswd: expected text, found a list",
            ),
            (
                r#","CloudInitUserData":{"password":"secret"}"#,
                "CloudInitUserData: expected base64 text, found an object",
            ),
            (
                r#","CloudInitUserData":12345678"#,
                "CloudInitUserData: expected base64 text, found a number",
            ),
            (
                r#","CloudInitUserData":"*""#,
                "CloudInitUserData: expected base64 text, found another character at 0",
            ),
            (
                r#","DiskConfigList":[{"Format":"raw"}]"#,
                "DiskConfigList[0].ImageSha256: missing, and FileLocation as well",
            ),
            (
                r#","DiskConfigList":[{"ImageSha256":"../ab"}]"#,
                r#"DiskConfigList[0].ImageSha256: expected hexadecimal digits, found "../ab""#,
            ),
            (
                r#","DiskConfigList":[{"FileLocation":"/d","Format":"vmdk"}]"#,
                r#"DiskConfigList[0].Format: expected one of raw, qcow, qcow2, vhd, iso, found "vmdk""#,
            ),
            (
                r#","DiskConfigList":[{"FileLocation":"/d","Devtype":"floppy"}]"#,
                r#"DiskConfigList[0].Devtype: expected "hdd", "cdrom" or "", found "floppy""#,
            ),
            (
                r#","DiskConfigList":[{"FileLocation":"/d\nformat=qcow2"}]"#,
                r"DiskConfigList[0].FileLocation: '\n' cannot be part of it",
            ),
            (
                r#","VifList":[{"Bridge":"a,script=/x"}]"#,
                r#"VifList[0].Bridge: expected the name of an interface, letters, digits and "._-", found "a,script=/x""#,
            ),
            (
                r#","VifList":[{"Mac":"00:11"}]"#,
                r#"VifList[0].Mac: expected six hexadecimal octets, found "00:11""#,
            ),
            (
                r#","VifList":[{"Type":"e1000"}]"#,
                r#"VifList[0].Type: expected "vif" or "ioemu", found "e1000""#,
            ),
            (
                r#","VifList":[{},{"Type":"ioemu"}]"#,
                "VifList[1].Type: only an HVM domain has emulated cards",
            ),
            (
                r#","VifList":[{"MTU":67}]"#,
                "VifList[0].MTU: expected 0, or 68 to 65517 bytes, found 67",
            ),
            (
                r#","IOMem":["x"]"#,
                r#"IOMem[0]: expected START,COUNT in hexadecimal pages, found "x""#,
            ),
            (
                r#","CPUs":"2-1""#,
                r#"CPUs: expected numbers below 4096 like "1,2" or "0-3", found "2-1""#,
            ),
            (
                r#","UUIDandVersion":{"UUID":"00000000-0000-0000-0000-000000000001"}"#,
                "UUIDandVersion.UUID: 00000000-0000-0000-0000-000000000001 is not the name of the file, 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            ),
        ] {
            // The last of two members with one name counts, so each of these replaces the default.
            assert_eq!(build(more).unwrap_err(), error);
        }
    }

    #[test]
    fn what_xen_would_refuse_or_cut_off_is_refused() {
        let disks = |n: usize, last: &str| {
            let mut all = vec![r#"{"FileLocation":"/d"}"#.to_owned(); n];
            all.push(last.to_owned());
            format!(r#","DiskConfigList":[{}]"#, all.join(","))
        };
        let hvm = r#","VirtualizationMode":"HVM""#;
        for (more, error) in [
            (
                format!(r#"{hvm},"VifList":[{{"Vif":"abcdefghijkl"}}]"#),
                "VifList[0].Vif: at most 11 bytes, found 12",
            ),
            (
                r#","VifList":[{"Vif":"abcdefghijklmnop"}]"#.into(),
                "VifList[0].Vif: at most 15 bytes, found 16",
            ),
            (
                r#","VifList":[{"Vif":"vif3.0"}]"#.into(),
                "VifList[0].Vif: Xen gives names like",
            ),
            (
                r#","VifList":[{"Vif":"eth0:1"}]"#.into(),
                "VifList[0].Vif: expected the name",
            ),
            (
                r#","VifList":[{"MTU":65518}]"#.into(),
                "VifList[0].MTU: expected 0, or 68 to 65517",
            ),
            (
                hvm.to_owned() + &disks(4, r#"{"FileLocation":"/d","Devtype":"cdrom"}"#),
                "DiskConfigList[4].Devtype: the CD-ROM drives",
            ),
            (
                hvm.to_owned() + &disks(1, r#"{"FileLocation":"/d","ReadOnly":true}"#),
                "DiskConfigList[1].ReadOnly: QEMU emulates no",
            ),
            (
                hvm.to_owned() + &disks(1, r#"{"FileLocation":"/a,b"}"#),
                "DiskConfigList[1].FileLocation: QEMU, which emulates",
            ),
            (
                hvm.to_owned() + &disks(1, r#"{"FileLocation":"/a b","Format":"qcow2"}"#),
                "DiskConfigList[1].FileLocation: QEMU, which serves",
            ),
            (
                format!(r#"{hvm},"VCpus":129"#),
                "VCpus: 129 is more than the 128 of a HVM domain",
            ),
            (
                r#","VCpus":1,"MaxCpus":513"#.into(),
                "MaxCpus: 513 is more than the 512 of a PV domain",
            ),
            (
                format!(r#","ExtraArgs":"{}""#, "x".repeat(1000)),
                "ExtraArgs: the command line has 1074 bytes, at most 1023 for a PV domain",
            ),
            (
                r#","RootDev":"/dev/xvda1 init=/bin/sh""#.into(),
                "RootDev: white space",
            ),
            (
                r#","EnableVnc":true,"VncDisplay":59636"#.into(),
                "VncDisplay: 59636 is more than 59635",
            ),
            (
                r#","DiskConfigList":[{"ImageSha256":"ab","Shared":true}]"#.into(),
                "DiskConfigList[0].Shared: an image",
            ),
        ] {
            let found = build(&more).unwrap_err();
            assert!(found.starts_with(error), "{more}: {found}");
        }
        for more in [
            format!(
                r#"{hvm},"VifList":[{{"Vif":"abcdefghijk"}},{{"Vif":"abcdefghijklmno","Type":"vif"}}]"#
            ),
            hvm.to_owned() + &disks(3, r#"{"FileLocation":"/d e","Devtype":"cdrom"}"#),
            hvm.to_owned() + &disks(4, r#"{"FileLocation":"/a,b","ReadOnly":true}"#),
            disks(1, r#"{"FileLocation":"/a,b c","ReadOnly":true}"#),
            format!(r#"{hvm},"VCpus":128"#),
            r#","VifList":[{"MTU":65517}]"#.into(),
            r#","EnableVnc":true,"VncDisplay":59635,"VncListen":"::1""#.into(),
        ] {
            assert!(build(&more).is_ok(), "{more}: {:?}", build(&more));
        }
    }

    #[test]
    fn an_interface_has_an_address_of_its_own_that_stays() {
        let macs = |text: &str| -> Vec<[u8; 6]> {
            let spec = build(&format!(r#","VifList":{text}"#)).unwrap();
            spec.nics.iter().map(|nic| nic.mac).collect()
        };
        let two = macs("[{},{}]");
        assert_ne!(two[0], two[1]);
        assert!(two.iter().all(|mac| mac.starts_with(&[0x00, 0x16, 0x3e])));
        assert_eq!(macs(r#"[{"Bridge":"b","MTU":1400},{}]"#), two);
        let given = macs(r#"[{"Mac":"02:00:00:00:00:0a"},{}]"#);
        assert_eq!(given, [[2, 0, 0, 0, 0, 10], two[1]]);
    }

    #[test]
    fn many_ranges_of_processors_take_no_memory() {
        let all = |times| build(&format!(r#","CPUs":"{}""#, vec!["0-4095"; times].join(",")));
        assert_eq!(all(4096).unwrap().cpus.len(), 4096);
        assert_eq!(
            all(4097).unwrap_err(),
            "CPUs: 4097 numbers and ranges, at most 4096"
        );
    }

    #[test]
    fn secrets_do_not_show() {
        let s = build(r#","EnableVnc":true,"VncPasswd":"hunter2""#).unwrap();
        assert!(!format!("{s:?}").contains("hunter2"));
        assert_eq!(s.vnc.unwrap().passwd.unwrap().reveal(), "hunter2");
    }
}
