//! DomainConfig, as EVE wrote it in 2019, with the additions of this agent.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::UuidAndVersion;

/// One application instance: what is to run, and whether.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DomainConfig {
    /// Which application. The file is called after its uuid.
    #[serde(rename = "UUIDandVersion")]
    pub uuid_and_version: UuidAndVersion,
    /// For people.
    pub display_name: String,
    /// Whether the domain should run.
    pub activate: bool,
    /// Small number unique on this host.
    pub app_num: u32,
    /// Path of the kernel.
    pub kernel: String,
    /// Path of its initial RAM disk.
    pub ramdisk: String,
    /// Memory.
    pub memory: Kilobytes,
    /// Memory it may grow to.
    pub max_mem: Kilobytes,
    /// Processors; 0 means 1.
    #[serde(rename = "VCpus")]
    pub vcpus: u32,
    /// Processors it may grow to; 0 means as many as it starts with.
    pub max_cpus: u32,
    /// Root device of a PV guest.
    pub root_dev: String,
    /// More words for the kernel's command line.
    pub extra_args: String,
    /// Bootloader of a PV guest.
    pub boot_loader: String,
    /// Physical processors, e.g. `1,2`; later a list of numbers.
    #[serde(rename = "CPUs", deserialize_with = "cpus")]
    pub cpus: String,
    /// Path of a device tree.
    pub device_tree: String,
    /// Device tree nodes passed through.
    pub dt_dev: Vec<String>,
    /// Physical interrupts passed through.
    #[serde(rename = "IRQs")]
    pub irqs: Vec<u32>,
    /// Physical memory passed through, e.g. `0xf7020,1`.
    #[serde(rename = "IOMem")]
    pub io_mem: Vec<String>,
    /// How the guest is virtualised.
    pub virtualization_mode: ModeField,
    /// Whether there is a graphical console.
    pub enable_vnc: bool,
    /// Its number; 0 means the next free one.
    pub vnc_display: u32,
    /// Its password.
    pub vnc_passwd: Hidden,
    /// The address of the host on which it listens; empty for 127.0.0.1. Addition.
    pub vnc_listen: String,
    /// Disks, in order.
    pub disk_config_list: Vec<DiskConfig>,
    /// Network interfaces, in order.
    pub vif_list: Vec<VifConfig>,
    /// Devices to assign.
    pub io_adapter_list: Vec<IoAdapter>,
    /// cloud-init user data.
    pub cloud_init_user_data: Bytes,
    /// Which user data this is: a guest that has seen another number begins anew with it. EVE got this field later.
    #[serde(skip_serializing_if = "is_zero")]
    pub cloud_init_version: u32,
    /// How the guest gets its user data. EVE got this field later.
    #[serde(skip_serializing_if = "is_zero")]
    pub meta_data_type: u32,
    /// xl.cfg's word for what happens after a poweroff. Addition.
    pub on_poweroff: String,
    /// … after a reboot. Addition.
    pub on_reboot: String,
    /// … after a crash. Addition.
    pub on_crash: String,
    /// … after the watchdog fired. Addition.
    pub on_watchdog: String,
    /// … when the guest wants a soft reset. Addition.
    pub on_soft_reset: String,
    /// `keep` or `restart`: after the device model (QEMU) has ended. Addition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub on_device_model_exit: String,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskConfig {
    /// Hash that names the image. The guest gets a copy of its own, unless it only reads.
    pub image_sha256: String,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Whether the guest's copy outlives its domain.
    pub preserve: bool,
    /// Bytes the guest shall see at least.
    pub maxsizebytes: u64,
    /// `raw`, `qcow`, `qcow2` or `vhd`; later a number, which `iso` became possible with.
    #[serde(deserialize_with = "format")]
    pub format: String,
    /// Empty or `cdrom`.
    pub devtype: String,
    /// Where the image is; without `ImageSha256`, a file or block device to use in place. Addition: EVE got this field
    /// later.
    pub file_location: String,
    /// Whether a file that is used in place may be used by others that say so too. Addition.
    #[serde(skip_serializing_if = "is_false")]
    pub shared: bool,
}

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VifConfig {
    /// Bridge in the host.
    pub bridge: String,
    /// Name of the interface in the host.
    pub vif: String,
    /// Address; later six bytes in base64.
    pub mac: String,
    /// `vif`, or `ioemu` for an emulated card beside it. Addition.
    pub r#type: String,
    /// The largest packet in bytes; 0 means the bridge's. Addition: EVE got this field later.
    #[serde(rename = "MTU")]
    pub mtu: u32,
}

/// One device to assign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IoAdapter {
    /// EVE's number for the kind: 1 Ethernet, 2 USB, 3 serial, 255 other.
    pub r#type: u32,
    /// Its name in the model.
    pub name: String,
}

/// An amount of memory in kB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kilobytes(pub u64);

impl<'de> Deserialize<'de> for Kilobytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Kilobytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of kB")
            }

            fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
                Ok(Kilobytes(n))
            }
        }
        d.deserialize_u64(V)
    }
}

/// How the guest is virtualised, as it came: EVE's number, or a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ModeField {
    /// EVE's number.
    Number(u64),
    /// `PV`, `HVM` or `PVH`. Addition.
    Word(String),
}

impl Default for ModeField {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl<'de> Deserialize<'de> for ModeField {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = ModeField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0 or \"PV\", 1 or \"HVM\", or \"PVH\"")
            }

            fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
                Ok(ModeField::Number(n))
            }

            fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
                Ok(ModeField::Word(s.to_owned()))
            }
        }
        d.deserialize_any(V)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// `"1,2"`, or since 2023 `[1, 2]`.
fn cpus<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    struct V;
    impl<'de> Visitor<'de> for V {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text like \"1,2\", or a list of numbers")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
            let mut numbers = Vec::new();
            while let Some(number) = items.next_element::<u32>()? {
                numbers.push(number.to_string());
            }
            Ok(numbers.join(","))
        }
    }
    d.deserialize_any(V)
}

/// EVE's words for the numbers of formats, since 2020. The first is no format in particular.
const FORMATS: [&str; 10] = [
    "",
    "raw",
    "qcow",
    "qcow2",
    "vhd",
    "vmdk",
    "ova",
    "vhdx",
    "container",
    "iso",
];

fn format<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    struct V;
    impl Visitor<'_> for V {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text like \"raw\", or EVE's number of a format, 0 to 9")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
            let word = usize::try_from(number).ok().and_then(|n| FORMATS.get(n));
            word.map(|word| (*word).to_owned())
                .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }
    d.deserialize_any(V)
}

/// Text that must not be shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hidden(pub String);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        secret(d, "text").map(Self)
    }
}

/// Text, or an error that does not show what there is instead, as serde's own would.
fn secret<'de, D: Deserializer<'de>>(d: D, expected: &str) -> Result<String, D::Error> {
    let found = match Value::deserialize(d)? {
        Value::String(text) => return Ok(text),
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Err(de::Error::invalid_type(Unexpected::Other(found), &expected))
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

/// Bytes: base64 text, or Go's `null`.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Bytes(pub String);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // User data holds passwords more often than not.
        write!(f, "Bytes({} characters)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = secret(d, "base64 text")?;
        let odd =
            |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r'));
        match text.bytes().position(odd) {
            None => Ok(Self(text)),
            Some(at) => Err(de::Error::custom(format!(
                "expected base64 text, found another character at {at}"
            ))),
        }
    }
}

impl DomainConfig {
    /// Two configs with the same digest say the same. Not for secrets, and not against malice.
    #[must_use]
    pub fn digest(&self) -> String {
        // FNV-1a: the same on every machine and in every release, unlike the hashers of std.
        let text = serde_json::to_vec(self).unwrap_or_default();
        let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}
