//! The configuration of a domain, as plain data.
//!
//! [`DomainConfig`] holds everything that libxl is told when it creates a domain: the parameters for creating the
//! domain in Xen ([`CreateInfo`]), the parameters for building the domain ([`BuildInfo`]), and the devices.
//!
//! The structs, fields and values are those of libxl, with libxl's names and units. One set of structs serves every
//! Xen: the documentation of a newer field names the first version that has the field, and libxl is asked at run time
//! whether it knows the field. `None` leaves the choice to libxl; the documentation gives libxl's choice as the
//! default. Unless set, a plain `bool` is no and a plain number is 0.
//!
//! ```
//! use libxl::config::{Disk, DomainConfig, Nic};
//!
//! let config = DomainConfig::pvh("web")
//!     .kernel("/boot/vmlinuz-guest")
//!     .ramdisk("/boot/initrd-guest")
//!     .cmdline("root=/dev/xvda1 console=hvc0")
//!     .memory_mib(512)
//!     .vcpus(2)
//!     .disk(Disk::raw("/dev/vg/web", "xvda"))
//!     .nic(Nic::bridge("xenbr0"));
//! config.validate()?;
//! # Ok::<(), libxl::config::Invalid>(())
//! ```
//!
//! A newer Xen has more fields, and these structs will gain them too. Such an addition is not a breaking change of this
//! crate. Create the structs with the constructors, or end a literal with `..Default::default()`, which stays valid.
//!
//! # JSON
//!
//! Serde's form of these types is libxl's own JSON, which `xl create -n` prints and which
//! `libxl_domain_config_from_json` reads:
//!
//! * a field that is `None`, empty or otherwise at its default is left out;
//! * yes and no are `"True"` and `"False"` where libxl has a default of its own, `true` for a C `bool`, and `1` for a
//!   C `int` that means yes or no;
//! * an enumeration is its word in lower case;
//! * a union is one key with a dot in it: `"type.hvm"`, `"connection.socket"`;
//! * a bitmap is the ascending array of its bits.
//!
//! Numbers above 2⁶³ − 2 do not survive libxl's parser, nor does anything in a string after a NUL byte:
//! [`DomainConfig::validate`] finds both.

#[macro_use]
mod macros;

mod bitmap;
mod build_info;
mod builder;
mod cpuid;
mod create_info;
mod disk;
mod display;
mod domain_config;
mod enums;
mod error;
mod guest;
mod json;
mod lost;
mod mac;
mod misc;
mod nic;
mod pci;
mod remus;
mod secret;
mod shape;
mod usb;
mod validate;
mod vsnd;

pub use bitmap::Bitmap;
pub use build_info::{
    ArchArm, ArchX86, ArmSci, BuildInfo, DomainSchedParams, IomemRange, IoportRange, VnodeInfo,
    XsQuotaItem, XsQuotaList,
};
pub use cpuid::{CpuidLeaf, CpuidPolicy, MsrPolicy};
pub use create_info::CreateInfo;
pub use disk::Disk;
pub use display::{
    ConnectorParam, SdlInfo, SpiceInfo, Vdispl, Vfb, VgaInterfaceInfo, Vkb, VncInfo,
};
// A glob, because the listing of the public API would shorten `libxl::config::DomainConfig` if the type were
// re-exported by name.
pub use domain_config::*;
pub use enums::{
    ActionOnShutdown, Altp2mMode, ArmSciType, BiosType, DeviceModelVersion, DiskBackend,
    DiskFormat, DiskSpecification, DiskTransport, DomainType, GfxPassthruKind, GicVersion, Hdtype,
    NicType, P9Type, Passthrough, RdmReservePolicy, RdmReserveStrategy, Scheduler, SmbiosType,
    SveType, TeeType, TimerMode, TscMode, UsbctrlType, VendorDevice, VgaInterfaceType,
    ViridianEnlightenment, VirtioTransport, VkbBackend, VsndPcmFormat, VsndStreamType, VuartType,
};
pub use error::{Invalid, UnknownWord};
pub use guest::{Guest, HvmInfo, MsVmGenid, PvInfo, PvhInfo, RdmReserve, Smbios};
pub use lost::{lost_fields, refused_fields};
pub use mac::{InvalidMac, Mac};
pub use misc::{Channel, ChannelConnection, P9, Pvcallsif, Virtio, Vtpm};
pub use nic::Nic;
pub use pci::{Dtdev, InvalidPci, Pci, Rdm};
pub use remus::Remus;
pub use secret::{Secret, redact};
pub(crate) use shape::shape;
pub use usb::{UsbHostdev, Usbctrl, Usbdev, UsbdevSource};
pub(crate) use validate::{MAX_MEMKB, check_values};
pub use vsnd::{Vsnd, VsndParams, VsndPcm, VsndStream};

#[cfg(test)]
mod tests;
