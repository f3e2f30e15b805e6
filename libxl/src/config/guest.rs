//! The three kinds of guest, with the parameters of each kind.

use serde::{Deserialize, Serialize};

use super::bitmap::Bitmap;
use super::display::{SdlInfo, SpiceInfo, VgaInterfaceInfo, VncInfo};
use super::enums::{
    BiosType, DomainType, GfxPassthruKind, Hdtype, RdmReservePolicy, RdmReserveStrategy,
    SmbiosType, VendorDevice,
};
use super::json::defbool;

/// The kind of a guest, with the parameters that only this kind has (the union of `libxl_domain_build_info`).
///
/// libxl keeps the kind in two places and has one union arm for each kind. Here the kind is one value, so that the two
/// places agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guest {
    /// Paravirtualised. x86.
    #[serde(rename = "type.pv")]
    Pv(PvInfo),
    /// A complete PC with emulated devices. x86.
    #[serde(rename = "type.hvm")]
    Hvm(Box<HvmInfo>),
    /// Virtualised by the CPU, without emulated devices.
    #[serde(rename = "type.pvh")]
    Pvh(PvhInfo),
}

impl Guest {
    /// Returns the kind without its parameters.
    pub fn domain_type(&self) -> DomainType {
        match self {
            Self::Pv(_) => DomainType::Pv,
            Self::Hvm(_) => DomainType::Hvm,
            Self::Pvh(_) => DomainType::Pvh,
        }
    }
}

/// Returns a PV guest, the default of `xl` on x86.
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
    /// Parameters that only PV guests have.
    ///
    /// libxl's old fields `kernel`, `bootloader`, `bootloader_args`, `cmdline` and `ramdisk` become the fields of
    /// [`BuildInfo`](super::BuildInfo) when they are read. libxl's field `features` has no JSON form.
    pub struct PvInfo {
        /// Memory beyond the guest's limit, in KiB, for data that Xen keeps on behalf of the guest. Default: 0.
        pub slack_memkb: Option<u64>,
        /// Show the guest the host's memory map, which a guest with PCI devices needs. Default: no.
        ///
        /// `xl` sets yes if there are PCI devices, as does [`DomainConfig::pci`](super::DomainConfig::pci).
        #[serde(with = "defbool")]
        pub e820_host: Option<bool>,
    }
}

config_struct! {
    /// Parameters that only PVH guests have.
    pub struct PvhInfo {
        /// Run a PV kernel in this domain, on a small Xen of its own, the shim. Default: no.
        #[serde(with = "defbool")]
        pub pvshim: Option<bool>,
        /// The shim. Default: the one in Xen's firmware directory.
        pub pvshim_path: Option<String>,
        /// Command line of the shim. Default: `pv-shim console=xen,pv`.
        pub pvshim_cmdline: Option<String>,
        /// Additions to the command line of the shim.
        pub pvshim_extra: Option<String>,
    }
}

config_struct! {
    /// Parameters that only HVM guests have.
    ///
    /// libxl's old fields `apic`, `timer_mode` and `nested_hvm` become the fields of [`BuildInfo`](super::BuildInfo)
    /// when they are read.
    pub struct HvmInfo {
        /// The program that starts the firmware. Default: Xen's `hvmloader`.
        pub firmware: Option<String>,
        /// The firmware. Default: [`BiosType::Seabios`].
        pub bios: Option<BiosType>,
        /// Show the guest physical address extensions. Default: yes.
        #[serde(with = "defbool")]
        pub pae: Option<bool>,
        /// Provide ACPI tables, if [`BuildInfo::acpi`](super::BuildInfo::acpi) agrees. Default: yes.
        #[serde(with = "defbool")]
        pub acpi: Option<bool>,
        /// ACPI has sleep state S3, suspend to RAM. Default: yes.
        #[serde(with = "defbool")]
        pub acpi_s3: Option<bool>,
        /// ACPI has sleep state S4, suspend to disk. Default: yes.
        #[serde(with = "defbool")]
        pub acpi_s4: Option<bool>,
        /// ACPI has the switch between laptop and slate. Default: no.
        #[serde(with = "defbool")]
        pub acpi_laptop_slate: Option<bool>,
        /// Show the guest the no-execute bit. Default: yes.
        #[serde(with = "defbool")]
        pub nx: Option<bool>,
        /// Provide the default groups of Hyper-V interfaces. Default: no.
        #[serde(with = "defbool")]
        pub viridian: Option<bool>,
        /// Groups of Hyper-V interfaces to add; the bits are
        /// [`ViridianEnlightenment::bit`](super::ViridianEnlightenment::bit).
        pub viridian_enable: Bitmap,
        /// Groups of Hyper-V interfaces to leave out.
        pub viridian_disable: Bitmap,
        /// Clock offset that Xen kept, in a restored domain. libxl sets this field.
        pub timeoffset: Option<String>,
        /// Provide a high precision event timer. Default: yes.
        #[serde(with = "defbool")]
        pub hpet: Option<bool>,
        /// Align periodic timers, so that they tick together. Default: yes.
        #[serde(with = "defbool")]
        pub vpt_align: Option<bool>,
        /// Address space for devices below 4 GiB, in KiB: 262144 to 3932160. Default: the firmware's choice.
        pub mmio_hole_memkb: Option<u64>,
        /// The old form of [`BuildInfo::altp2m`](super::BuildInfo::altp2m).
        #[serde(with = "defbool")]
        pub altp2m: Option<bool>,
        /// A file with the firmware, which must be of the kind in `bios`. Default: Xen's own.
        pub system_firmware: Option<String>,
        /// A file with additional SMBIOS structures.
        pub smbios_firmware: Option<String>,
        /// Texts of the SMBIOS tables. Since Xen 4.18.
        pub smbios: Vec<Smbios>,
        /// A file with additional ACPI tables.
        pub acpi_firmware: Option<String>,
        /// The controller of emulated disks. Default: [`Hdtype::Ide`].
        pub hdtype: Option<Hdtype>,
        /// Provide neither a graphics card nor a window. Default: no.
        #[serde(with = "defbool")]
        pub nographic: Option<bool>,
        /// The graphics card.
        pub vga: VgaInterfaceInfo,
        /// VNC server of the graphics card.
        pub vnc: VncInfo,
        /// The keyboard's layout. Default: `en-us`.
        pub keymap: Option<String>,
        /// Window of the graphics card on the host.
        pub sdl: SdlInfo,
        /// SPICE server of the graphics card.
        pub spice: SpiceInfo,
        /// The first graphics card is one of the host's, passed through. Default: no.
        #[serde(with = "defbool")]
        pub gfx_passthru: Option<bool>,
        /// Kind of the card that is passed through. Default: [`GfxPassthruKind::Default`].
        pub gfx_passthru_kind: Option<GfxPassthruKind>,
        /// Destination of the first serial port, in QEMU's syntax: `pty`. Not together with `serial_list`.
        pub serial: Option<String>,
        /// Boot order: `c` hard disk, `d` CD, `n` network, `a` floppy. Default: `cda`.
        pub boot: Option<String>,
        /// Provide an emulated USB controller, for `usbdevice`. Default: no.
        #[serde(with = "defbool")]
        pub usb: Option<bool>,
        /// An emulated USB controller of version 1, 2 or 3; not together with `usb` or `usbdevice`. Default: none.
        pub usbversion: Option<u32>,
        /// An emulated USB device: `tablet`, `mouse`, or `host:` and an address. Not together with `usbdevice_list`.
        pub usbdevice: Option<String>,
        /// Provide a paravirtual keyboard beside the emulated one. Default: yes.
        #[serde(with = "defbool")]
        pub vkb_device: Option<bool>,
        /// The emulated sound card: `hda`, `ac97`, … Default: none.
        pub soundhw: Option<String>,
        /// Provide the PCI device by which paravirtual drivers find Xen. Default: yes.
        #[serde(with = "defbool")]
        pub xen_platform_pci: Option<bool>,
        /// The memory of the Xen platform PCI device is not cached. Default: yes. Since Xen 4.21.
        #[serde(with = "defbool")]
        pub xen_platform_pci_bar_uc: Option<bool>,
        /// Emulated USB devices, each in the form of `usbdevice`.
        pub usbdevice_list: Vec<String>,
        /// The PCI device for vendors' drivers. Default: [`VendorDevice::None`].
        pub vendor_device: Option<VendorDevice>,
        /// VM generation ID, by which Windows detects that it is a copy. All zeroes means none.
        pub ms_vm_genid: Option<MsVmGenid>,
        /// Destination of each serial port, in QEMU's syntax.
        pub serial_list: Vec<String>,
        /// Reserved memory of devices that the guest keeps clear of.
        pub rdm: RdmReserve,
        /// Boundary in KiB: conflicts with reserved memory above it are solved by moving the guest's memory.
        /// Default: 2097152.
        pub rdm_mem_boundary_memkb: Option<u64>,
        /// Machine check features to add, a bit mask: 1 is Intel's local machine check
        /// (`XEN_HVM_MCA_CAP_LMCE`). Default: 0.
        pub mca_caps: Option<u64>,
        /// The guest may receive device interrupts as events. Default: no. Since Xen 4.19; always allowed before.
        #[serde(with = "defbool")]
        pub pirq: Option<bool>,
    }
}

config_struct! {
    /// A text of the SMBIOS tables (`libxl_smbios`). Since Xen 4.18.
    pub struct Smbios {
        /// Entry of the SMBIOS tables that the text is for.
        pub key: Option<SmbiosType>,
        /// Text of the entry.
        pub value: Option<String>,
    }
}

config_struct! {
    /// The memory that a guest keeps clear of, because devices of the host claim it (`libxl_rdm_reserve`). x86.
    pub struct RdmReserve {
        /// Selection of the memory. Default: [`RdmReserveStrategy::Ignore`].
        pub strategy: Option<RdmReserveStrategy>,
        /// Policy if the guest cannot keep clear of the memory. Default: [`RdmReservePolicy::Relaxed`].
        pub policy: Option<RdmReservePolicy>,
    }
}

/// A VM generation ID (`libxl_ms_vm_genid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MsVmGenid(pub [u8; 16]);

impl MsVmGenid {
    /// Generates a random ID.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }
}
