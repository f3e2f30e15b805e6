//! The three kinds of guest, each with what only it has.

use serde::{Deserialize, Serialize};

use super::bitmap::Bitmap;
use super::display::{SdlInfo, SpiceInfo, VgaInterfaceInfo, VncInfo};
use super::enums::{
    BiosType, DomainType, GfxPassthruKind, Hdtype, RdmReservePolicy, RdmReserveStrategy,
    SmbiosType, VendorDevice,
};
use super::json::defbool;

/// The kind of a guest, with what only that kind has (the union of `libxl_domain_build_info`).
///
/// libxl keeps the kind in two places and has one union arm for each: here it is one value, so that they agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guest {
    /// Paravirtualised. x86.
    #[serde(rename = "type.pv")]
    Pv(PvInfo),
    /// A whole PC. x86.
    #[serde(rename = "type.hvm")]
    Hvm(Box<HvmInfo>),
    /// Virtualised by the CPU, without emulated devices.
    #[serde(rename = "type.pvh")]
    Pvh(PvhInfo),
}

impl Guest {
    /// The kind alone.
    pub fn domain_type(&self) -> DomainType {
        match self {
            Self::Pv(_) => DomainType::Pv,
            Self::Hvm(_) => DomainType::Hvm,
            Self::Pvh(_) => DomainType::Pvh,
        }
    }
}

/// As in `xl` on x86: paravirtualised.
impl Default for Guest {
    fn default() -> Self {
        Self::Pv(PvInfo::default())
    }
}

impl From<PvInfo> for Guest {
    fn from(pv: PvInfo) -> Self {
        Self::Pv(pv)
    }
}

impl From<HvmInfo> for Guest {
    fn from(hvm: HvmInfo) -> Self {
        Self::Hvm(Box::new(hvm))
    }
}

impl From<PvhInfo> for Guest {
    fn from(pvh: PvhInfo) -> Self {
        Self::Pvh(pvh)
    }
}

impl From<DomainType> for Guest {
    fn from(kind: DomainType) -> Self {
        match kind {
            DomainType::Pv => PvInfo::default().into(),
            DomainType::Hvm => HvmInfo::default().into(),
            DomainType::Pvh => PvhInfo::default().into(),
        }
    }
}

config_struct! {
    /// What only a PV guest has.
    ///
    /// libxl's old fields `kernel`, `bootloader`, `bootloader_args`, `cmdline` and `ramdisk` are those of
    /// [`BuildInfo`](super::BuildInfo) here, also when they are read; its `features` is in no JSON.
    pub struct PvInfo {
        /// Memory on top of the guest's limit, in KiB, for what Xen keeps in its name. Default: 0.
        pub slack_memkb: Option<u64>,
        /// Show the guest the host's memory map, which it needs for PCI devices. Default: no. `xl` says yes if there
        /// are PCI devices; so does [`DomainConfig::pci`](super::DomainConfig::pci).
        #[serde(with = "defbool")]
        pub e820_host: Option<bool>,
    }
}

config_struct! {
    /// What only a PVH guest has.
    pub struct PvhInfo {
        /// Run a PV kernel in this domain, on a small Xen of its own. Default: no.
        #[serde(with = "defbool")]
        pub pvshim: Option<bool>,
        /// That Xen. Default: the one in Xen's firmware directory.
        pub pvshim_path: Option<String>,
        /// Its command line. Default: `pv-shim console=xen,pv`.
        pub pvshim_cmdline: Option<String>,
        /// More of its command line.
        pub pvshim_extra: Option<String>,
    }
}

config_struct! {
    /// What only an HVM guest has.
    ///
    /// libxl's old fields `apic`, `timer_mode` and `nested_hvm` are those of [`BuildInfo`](super::BuildInfo) here,
    /// also when they are read.
    pub struct HvmInfo {
        /// The program that starts the firmware. Default: Xen's `hvmloader`.
        pub firmware: Option<String>,
        /// The firmware. Default: [`BiosType::Seabios`].
        pub bios: Option<BiosType>,
        /// Show the guest physical address extensions. Default: yes.
        #[serde(with = "defbool")]
        pub pae: Option<bool>,
        /// ACPI tables; they are there if [`BuildInfo::acpi`](super::BuildInfo::acpi) agrees. Default: yes.
        #[serde(with = "defbool")]
        pub acpi: Option<bool>,
        /// ACPI has sleep state S3, to RAM. Default: yes.
        #[serde(with = "defbool")]
        pub acpi_s3: Option<bool>,
        /// ACPI has sleep state S4, to disk. Default: yes.
        #[serde(with = "defbool")]
        pub acpi_s4: Option<bool>,
        /// ACPI has the switch between laptop and slate. Default: no.
        #[serde(with = "defbool")]
        pub acpi_laptop_slate: Option<bool>,
        /// Show the guest the no-execute bit. Default: yes.
        #[serde(with = "defbool")]
        pub nx: Option<bool>,
        /// The default groups of Hyper-V interfaces. Default: no.
        #[serde(with = "defbool")]
        pub viridian: Option<bool>,
        /// Groups of Hyper-V interfaces to add; the bits are
        /// [`ViridianEnlightenment::bit`](super::ViridianEnlightenment::bit).
        pub viridian_enable: Bitmap,
        /// Groups of Hyper-V interfaces to leave out.
        pub viridian_disable: Bitmap,
        /// What Xen kept of the clock, in a restored domain. libxl sets it.
        pub timeoffset: Option<String>,
        /// A high precision event timer. Default: yes.
        #[serde(with = "defbool")]
        pub hpet: Option<bool>,
        /// Let periodic timers tick together. Default: yes.
        #[serde(with = "defbool")]
        pub vpt_align: Option<bool>,
        /// The room for devices below 4 GiB, in KiB: 262144 to 3932160. Default: the firmware's choice.
        pub mmio_hole_memkb: Option<u64>,
        /// The old form of [`BuildInfo::altp2m`](super::BuildInfo::altp2m).
        #[serde(with = "defbool")]
        pub altp2m: Option<bool>,
        /// A file with the firmware, which must be of the kind in `bios`. Default: Xen's own.
        pub system_firmware: Option<String>,
        /// A file with more SMBIOS structures.
        pub smbios_firmware: Option<String>,
        /// Texts of the SMBIOS tables. Since Xen 4.18.
        pub smbios: Vec<Smbios>,
        /// A file with more ACPI tables.
        pub acpi_firmware: Option<String>,
        /// The controller of emulated disks. Default: [`Hdtype::Ide`].
        pub hdtype: Option<Hdtype>,
        /// Neither a graphics card nor a window. Default: no.
        #[serde(with = "defbool")]
        pub nographic: Option<bool>,
        /// The graphics card.
        pub vga: VgaInterfaceInfo,
        /// Its VNC server.
        pub vnc: VncInfo,
        /// The keyboard's layout. Default: `en-us`.
        pub keymap: Option<String>,
        /// Its window on the host.
        pub sdl: SdlInfo,
        /// Its SPICE server.
        pub spice: SpiceInfo,
        /// The first graphics card is one of the host's, passed through. Default: no.
        #[serde(with = "defbool")]
        pub gfx_passthru: Option<bool>,
        /// Which. Default: [`GfxPassthruKind::Default`].
        pub gfx_passthru_kind: Option<GfxPassthruKind>,
        /// Where the first serial port goes, in QEMU's words: `pty`. Not together with `serial_list`.
        pub serial: Option<String>,
        /// What to boot from, in order: `c` hard disk, `d` CD, `n` network, `a` floppy. Default: `cda`.
        pub boot: Option<String>,
        /// An emulated USB controller, for `usbdevice`. Default: no.
        #[serde(with = "defbool")]
        pub usb: Option<bool>,
        /// An emulated USB controller of version 1, 2 or 3; not together with `usb` or `usbdevice`. Default: none.
        pub usbversion: Option<u32>,
        /// An emulated USB device: `tablet`, `mouse`, or `host:` and an address. Not together with `usbdevice_list`.
        pub usbdevice: Option<String>,
        /// A paravirtual keyboard beside the emulated one. Default: yes.
        #[serde(with = "defbool")]
        pub vkb_device: Option<bool>,
        /// The emulated sound card: `hda`, `ac97`, … Default: none.
        pub soundhw: Option<String>,
        /// The PCI device by which paravirtual drivers find Xen. Default: yes.
        #[serde(with = "defbool")]
        pub xen_platform_pci: Option<bool>,
        /// That device's memory is not cached. Default: yes. Since Xen 4.21.
        #[serde(with = "defbool")]
        pub xen_platform_pci_bar_uc: Option<bool>,
        /// Emulated USB devices, each as in `usbdevice`.
        pub usbdevice_list: Vec<String>,
        /// The PCI device for vendors' drivers. Default: [`VendorDevice::None`].
        pub vendor_device: Option<VendorDevice>,
        /// The number by which Windows notices that it is a copy. All zeroes is none.
        pub ms_vm_genid: Option<MsVmGenid>,
        /// Where each serial port goes, in QEMU's words.
        pub serial_list: Vec<String>,
        /// Memory to be kept clear of for devices.
        pub rdm: RdmReserve,
        /// Conflicts with reserved memory above this are solved by moving the guest's memory, in KiB.
        /// Default: 2097152.
        pub rdm_mem_boundary_memkb: Option<u64>,
        /// Machine check features to add, a bit mask: 1 is Intel's local machine check
        /// (`XEN_HVM_MCA_CAP_LMCE`). Default: 0.
        pub mca_caps: Option<u64>,
        /// The guest may have interrupts of devices as events. Default: no. Since Xen 4.19; before, it always could.
        #[serde(with = "defbool")]
        pub pirq: Option<bool>,
    }
}

config_struct! {
    /// A text of the SMBIOS tables (`libxl_smbios`). Since Xen 4.18.
    pub struct Smbios {
        /// Which.
        pub key: Option<SmbiosType>,
        /// The text.
        pub value: Option<String>,
    }
}

config_struct! {
    /// The memory that a guest keeps clear of, because devices of the host claim it (`libxl_rdm_reserve`). x86.
    pub struct RdmReserve {
        /// Which memory. Default: [`RdmReserveStrategy::Ignore`].
        pub strategy: Option<RdmReserveStrategy>,
        /// What happens if that cannot be. Default: [`RdmReservePolicy::Relaxed`].
        pub policy: Option<RdmReservePolicy>,
    }
}

/// A VM generation ID (`libxl_ms_vm_genid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MsVmGenid(pub [u8; 16]);

impl MsVmGenid {
    /// A random one.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }
}
