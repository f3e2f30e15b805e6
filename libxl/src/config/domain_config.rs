//! The configuration as a whole, and its form in JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::{Map, Value};

use super::build_info::BuildInfo;
use super::create_info::CreateInfo;
use super::disk::Disk;
use super::display::{Vdispl, Vfb, Vkb};
use super::enums::{ActionOnShutdown, DomainType};
use super::json;
use super::misc::{Channel, P9, Pvcallsif, Virtio, Vtpm};
use super::nic::Nic;
use super::pci::{Dtdev, Pci, Rdm};
use super::usb::{Usbctrl, Usbdev};
use super::vsnd::Vsnd;

/// The complete configuration of a domain (`libxl_domain_config`).
///
/// Build a configuration with [`pv`](Self::pv), [`pvh`](Self::pvh) or [`hvm`](Self::hvm) and the methods that follow
/// them, or field by field. The two ways can be mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default)]
#[doc(alias = "libxl_domain_config")]
#[doc(alias = "libxl_domain_config_init")]
#[doc(alias = "libxl_domain_config_dispose")]
pub struct DomainConfig {
    /// Parameters for creating the domain in Xen.
    // `Direct` writes it, with the kind of guest.
    #[serde(skip_serializing)]
    pub c_info: CreateInfo,
    /// Parameters for building the domain.
    pub b_info: BuildInfo,
    /// Disks and CD drives. A bootloader reads the first one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Network interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<Nic>,
    /// PCI devices that are passed through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pcidevs: Vec<Pci>,
    /// Reserved memory of devices that the guest keeps clear of. libxl determines the memory if the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rdms: Vec<Rdm>,
    /// Device tree devices that are passed through. Arm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dtdevs: Vec<Dtdev>,
    /// Paravirtual screens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vfbs: Vec<Vfb>,
    /// Paravirtual keyboards. HVM guests get one by [`HvmInfo::vkb_device`](super::HvmInfo::vkb_device), and those in
    /// this list only since Xen 4.19.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vkbs: Vec<Vkb>,
    /// virtio devices that a program outside libxl serves. Since Xen 4.18.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub virtios: Vec<Virtio>,
    /// Virtual TPMs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vtpms: Vec<Vtpm>,
    /// Shared directories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub p9s: Vec<P9>,
    /// Interfaces to the sockets of other domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pvcallsifs: Vec<Pvcallsif>,
    /// Paravirtual displays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vdispls: Vec<Vdispl>,
    /// Paravirtual sound cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vsnds: Vec<Vsnd>,
    /// Channels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// USB controllers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usbctrls: Vec<Usbctrl>,
    /// USB devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usbdevs: Vec<Usbdev>,
    /// The toolstack's action after the domain has powered off.
    #[serde(skip_serializing_if = "json::is_unset")]
    pub on_poweroff: ActionOnShutdown,
    /// The toolstack's action when the domain requests a reboot. The constructors set [`ActionOnShutdown::Restart`].
    #[serde(skip_serializing_if = "json::is_unset")]
    pub on_reboot: ActionOnShutdown,
    /// The toolstack's action after Xen's watchdog has stopped the domain.
    #[serde(skip_serializing_if = "json::is_unset")]
    pub on_watchdog: ActionOnShutdown,
    /// The toolstack's action after the domain has crashed.
    #[serde(skip_serializing_if = "json::is_unset")]
    pub on_crash: ActionOnShutdown,
    /// The toolstack's action when the domain requests a soft reset. The constructors set
    /// [`ActionOnShutdown::SoftReset`].
    #[serde(skip_serializing_if = "json::is_unset")]
    pub on_soft_reset: ActionOnShutdown,
}

impl DomainConfig {
    /// Returns the kind of guest.
    pub fn domain_type(&self) -> DomainType {
        self.b_info.guest.domain_type()
    }
}

/// Prints a summary in one line: `web: pvh, 512 MiB, 2 vCPUs, 1 disk, 1 nic`.
impl fmt::Display for DomainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { c_info, b_info, .. } = self;
        write!(f, "{}: {}", c_info.name, self.domain_type())?;
        if let Some(kib) = b_info.target_memkb.or(b_info.max_memkb) {
            write!(f, ", {} MiB", kib / 1024)?;
        }
        let online = b_info.avail_vcpus.len().max(1);
        let counts = [
            (online, "vCPU"),
            (self.disks.len(), "disk"),
            (self.nics.len(), "nic"),
            (self.pcidevs.len(), "PCI device"),
            (self.usbdevs.len(), "USB device"),
        ];
        for (count, what) in counts {
            match count {
                0 => {}
                1 => write!(f, ", 1 {what}")?,
                _ => write!(f, ", {count} {what}s")?,
            }
        }
        Ok(())
    }
}

/// Writes the kind of guest in both places where libxl expects it. In every format, the parts have the form that they have in JSON.
impl Serialize for DomainConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config = serde_json::to_value(Direct(self)).map_err(S::Error::custom)?;
        config.serialize(serializer)
    }
}

/// A configuration that is written as JSON at once, without a tree of values in between. Only for JSON.
pub(crate) struct Direct<'a>(pub(crate) &'a DomainConfig);

impl Serialize for Direct<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            c_info: Typed<'a>,
            #[serde(flatten)]
            rest: Rest<'a>,
        }

        #[derive(Serialize)]
        struct Typed<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            #[serde(flatten)]
            c_info: &'a CreateInfo,
        }

        /// All fields but `c_info`.
        struct Rest<'a>(&'a DomainConfig);

        impl Serialize for Rest<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                DomainConfig::serialize(self.0, serializer)
            }
        }

        let kind = self.0.domain_type();
        let whole = Whole {
            c_info: Typed {
                kind: kind.word(),
                c_info: &self.0.c_info,
            },
            rest: Rest(self.0),
        };
        whole.serialize(serializer)
    }
}

/// Reads JSON from libxl and JSON written by hand.
///
/// The kind of guest may be in either place, or in both if they agree. Some fields may also be in their old places.
impl<'de> Deserialize<'de> for DomainConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut config = Map::deserialize(deserializer)?;
        let kind = match config.get("c_info").and_then(|c_info| c_info.get("type")) {
            Some(kind) => Some(DomainType::deserialize(kind).map_err(D::Error::custom)?),
            None => None,
        };
        let b_info = config.entry("b_info").or_insert_with(|| Map::new().into());
        if let Value::Object(b_info) = b_info {
            match kind {
                Some(kind) if !b_info.keys().any(|key| key.starts_with("type.")) => {
                    b_info.insert(format!("type.{kind}"), Map::new().into());
                }
                _ => {}
            }
            move_old_fields(b_info);
        }
        let config = Self::deserialize(Value::Object(config)).map_err(D::Error::custom)?;
        match kind {
            Some(kind) if kind != config.domain_type() => Err(D::Error::custom(format!(
                "c_info.type is \"{kind}\" but b_info has \"type.{}\"",
                config.domain_type()
            ))),
            _ => Ok(config),
        }
    }
}

/// Moves fields out of the union that are now common to all kinds of guest. libxl accepts either place, but not both.
fn move_old_fields(b_info: &mut Map<String, Value>) {
    for (arm, fields) in [
        ("type.hvm", ["apic", "timer_mode", "nested_hvm"].as_slice()),
        (
            "type.pv",
            [
                "kernel",
                "bootloader",
                "bootloader_args",
                "cmdline",
                "ramdisk",
            ]
            .as_slice(),
        ),
    ] {
        for &field in fields {
            let old = b_info
                .get_mut(arm)
                .and_then(Value::as_object_mut)
                .and_then(|arm| arm.remove(field));
            if let Some(value) = old {
                b_info.entry(field).or_insert(value);
            }
        }
    }
}
