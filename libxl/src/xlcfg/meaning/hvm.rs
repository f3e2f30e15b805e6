//! Machine settings of an HVM guest.

use super::ctext::begins;
use super::reader::{Reader, Result};
use super::{smbios, viridian};
use crate::{
    config::{
        Altp2mMode, BiosType, BuildInfo, Guest, Hdtype, HvmInfo, MsVmGenid, RdmReserve,
        VendorDevice,
    },
    xlcfg::file::Value,
};

/// Possible sizes of the room for devices below 4 GiB, in bytes: those that Xen's own firmware
/// supports.
const MMIO_HOLE: std::ops::RangeInclusive<u64> = 0x1000_0000..=0xf000_0000;
/// The bit for Intel's local machine check (`XEN_HVM_MCA_CAP_LMCE`).
const MCA_CAP_LMCE: u64 = 1;

/// Reads the settings of firmware and processor.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    if is_hvmloader(b_info.kernel.as_deref()) {
        reader.warn(
            "kernel",
            "ignored: hvmloader is firmware, not a kernel; write firmware_override if it is not Xen's own",
        );
        b_info.kernel = None;
    }
    b_info.apic = reader.flag("apic");
    let Guest::Hvm(hvm) = &mut b_info.guest else {
        return Ok(());
    };
    read_firmware(reader, hvm)?;
    hvm.pae = reader.flag("pae");
    hvm.acpi_s3 = reader.flag("acpi_s3");
    hvm.acpi_s4 = reader.flag("acpi_s4");
    hvm.acpi_laptop_slate = reader.flag("acpi_laptop_slate");
    hvm.nx = reader.flag("nx");
    hvm.hpet = reader.flag("hpet");
    hvm.vpt_align = reader.flag("vpt_align");
    hvm.pirq = reader.flag("hvm_pirq");
    viridian::read(reader, hvm)?;
    hvm.mmio_hole_memkb = mmio_hole(reader)?;
    hvm.altp2m = reader.flag("altp2mhvm");
    if hvm.altp2m.is_some() {
        reader.warn("altp2mhvm", "an old key; write altp2m");
    }
    hvm.smbios_firmware = reader.text("smbios_firmware");
    hvm.acpi_firmware = reader.text("acpi_firmware");
    hvm.smbios = smbios::read(reader)?;
    hvm.ms_vm_genid = generation_id(reader)?;
    hvm.rdm = reserved_memory(reader);
    hvm.rdm_mem_boundary_memkb = reader.mebibytes("rdm_mem_boundary");
    hvm.mca_caps = machine_check(reader)?;
    short_firmware(reader, hvm)
}

fn is_hvmloader(kernel: Option<&str>) -> bool {
    kernel.is_some_and(|path| path.rsplit('/').next() == Some("hvmloader"))
}

fn read_firmware(reader: &Reader<'_>, hvm: &mut HvmInfo) -> Result<()> {
    hvm.firmware = reader.text("firmware_override");
    hvm.system_firmware = reader.text("bios_path_override");
    if reader.quiet_text("bios").is_some() {
        hvm.bios = reader.word::<BiosType>("bios")?;
    } else if hvm.system_firmware.is_some() {
        reader.warn(
            "bios_path_override",
            "without bios, which says what kind it is; write bios as well",
        );
    }
    Ok(())
}

/// Reads the short key `firmware`: a kind of firmware, `uefi` or `bios`, or the path of another
/// hvmloader.
fn short_firmware(reader: &Reader<'_>, hvm: &mut HvmInfo) -> Result<()> {
    let Some(text) = reader.text("firmware") else {
        return Ok(());
    };
    if let Ok(bios) = reader.parse_word::<BiosType>("firmware", "", &text) {
        hvm.bios = bios;
    } else if begins("uefi", &text) {
        hvm.bios = Some(BiosType::Ovmf);
    } else if !begins("bios", &text) {
        hvm.firmware = Some(text);
    }
    Ok(())
}

fn mmio_hole(reader: &Reader<'_>) -> Result<Option<u64>> {
    const KEY: &str = "mmio_hole";
    let Some(mib) = reader.number(KEY) else {
        return Ok(None);
    };
    #[allow(clippy::cast_sign_loss)] // C's conversion of a long to an unsigned field.
    let memkb = mib.wrapping_mul(1024) as u64;
    if MMIO_HOLE.contains(&memkb.wrapping_mul(1024)) {
        return Ok(Some(memkb));
    }
    reader.refuse(KEY, format!("{mib} MiB is not possible; write 256 to 3840"))
}

fn generation_id(reader: &Reader<'_>) -> Result<Option<MsVmGenid>> {
    const KEY: &str = "ms_vm_genid";
    match reader.text(KEY).as_deref() {
        None | Some("none") => Ok(None),
        Some("generate") => Ok(Some(MsVmGenid::generate())),
        Some(other) => reader.refuse(KEY, format!("{other:?}; write generate or none")),
    }
}

/// Reads the reserved memory of devices. A text that libxlutil cannot read is ignored.
pub(super) fn reserved_memory(reader: &Reader<'_>) -> RdmReserve {
    const KEY: &str = "rdm";
    let Some(text) = reader.text(KEY) else {
        return RdmReserve::default();
    };
    crate::xlcfg::specs::parse_rdm(&text).unwrap_or_else(|_| {
        reader.warn(
            KEY,
            format!("ignored: {text:?}; write strategy=host, and policy=strict or policy=relaxed"),
        );
        RdmReserve::default()
    })
}

fn machine_check(reader: &Reader<'_>) -> Result<Option<u64>> {
    const KEY: &str = "mca_caps";
    match reader.value(KEY) {
        None => Ok(None),
        Some(Value::String(_)) => reader.refuse(KEY, "a single value; write a list: [ \"lmce\" ]"),
        Some(Value::List(list)) => {
            let names = reader.all_texts(KEY, list)?;
            match names.iter().find(|name| *name != "lmce") {
                Some(name) => reader.refuse(KEY, format!("{name:?} is not known; write lmce")),
                None => Ok((!names.is_empty()).then_some(MCA_CAP_LMCE)),
            }
        }
    }
}

/// Reads the mode of alternate page tables, for all kinds of guests.
pub(super) fn altp2m(reader: &Reader<'_>) -> Result<Option<Altp2mMode>> {
    const KEY: &str = "altp2m";
    let Some(number) = reader.quiet_number(KEY) else {
        return reader.word(KEY);
    };
    let known = Altp2mMode::KNOWN;
    let mode = usize::try_from(number).ok().and_then(|at| known.get(at));
    match mode {
        Some(mode) => Ok(Some(mode.clone())),
        None => reader.refuse(
            KEY,
            format!("{number} is not known; write disabled, mixed, external or limited"),
        ),
    }
}

/// Reads the number of alternate page tables, for all kinds of guests.
pub(super) fn altp2m_count(reader: &Reader<'_>) -> Result<Option<u32>> {
    const KEY: &str = "altp2m_count";
    match reader.quiet_number(KEY) {
        None => Ok(None),
        Some(number) => match u16::try_from(number) {
            Ok(count) => Ok(Some(count.into())),
            Err(_) => reader.refuse(KEY, format!("{number}; write a number from 0 to 65535")),
        },
    }
}

/// Reads the controller of the disks, serial ports, USB and other emulated devices.
pub(super) fn read_ports(reader: &Reader<'_>, hvm: &mut HvmInfo) -> Result<()> {
    hvm.hdtype = reader.word::<Hdtype>("hdtype")?;
    (hvm.serial, hvm.serial_list) = one_or_list(reader, "serial");
    hvm.boot = reader.text("boot");
    hvm.usb = reader.flag("usb");
    hvm.usbversion = reader.cut_unsigned("usbversion");
    (hvm.usbdevice, hvm.usbdevice_list) = one_or_list(reader, "usbdevice");
    hvm.vkb_device = reader.flag("vkb_device");
    hvm.soundhw = reader.text("soundhw");
    hvm.xen_platform_pci = reader.flag("xen_platform_pci");
    hvm.xen_platform_pci_bar_uc = reader.flag("xen_platform_pci_bar_uc");
    hvm.vendor_device = reader.word::<VendorDevice>("vendor_device")?;
    Ok(())
}

/// Reads a single text or a list; libxl has a field for each form.
fn one_or_list(reader: &Reader<'_>, key: &str) -> (Option<String>, Vec<String>) {
    match reader.value(key) {
        None => (None, Vec::new()),
        Some(Value::String(text)) => (Some(text), Vec::new()),
        Some(Value::List(list)) => (None, reader.leading_texts(key, list)),
    }
}
