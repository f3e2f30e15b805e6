//! Makes the [`Spec`] of a DomainConfig from its parts.

use uuid::Uuid;

use super::actions::{actions, renaming};
use super::boot::{bootloader, what_boots};
use super::disks::{disks, seed};
use super::fields::{Result, each, some};
use super::hardware::{adapter, interrupt, io_mem};
use super::memory::memories;
use super::nics::nics;
use super::processors::{cpus, processors};
use super::screen::screen;
use super::texts::{command_line, extra, name, texts};
use super::with_host::with_host;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::{DomainConfig, ModeField};
use crate::spec::{Assigned, Mode, Spec};

/// Makes the [`Spec`] of a config that asks for nothing impossible.
///
/// # Errors
/// The first field that is wrong, or that asks for something that this version cannot do.
pub fn spec(key: Uuid, c: &DomainConfig) -> Result<Spec> {
    identity(key, c)?;
    let mode = mode(&c.virtualization_mode)?;
    let name = name(c)?;
    texts(c)?;
    with_host(c)?;
    let vnc = screen(c, mode)?;
    what_boots(c, mode)?;
    let (memory_mib, max_memory_mib) = memories(c, mode)?;
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
        bootloader: bootloader(c, mode)?,
        root: (mode == Mode::Pv).then(|| some(&c.root_dev).unwrap_or_else(|| "/dev/xvda1".into())),
        extra: extra(key, c, mode),
        memory_mib,
        max_memory_mib,
        vcpus,
        max_vcpus,
        cpus: cpus(&c.cpus)?,
        weight: None,
        cap: None,
        device_tree: some(&c.device_tree),
        dt_dev: c.dt_dev.clone(),
        irqs: each(&c.irqs, |i, irq| interrupt(i, *irq))?,
        io_mem: each(&c.io_mem, |i, text| io_mem(&format!("IOMem[{i}]"), text))?,
        disks,
        nics: nics(key, &c.vif_list, mode)?,
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
            // EVE's later numbers are for KVM, for containers, and for hypervisors of the past.
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
