//! DomainConfig, as EVE wrote it in 2019, with the additions of this agent.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The application and the version of its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UuidAndVersion {
    /// The application's uuid, which is the key and the domain's uuid too.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// Counts up with each change by the controller.
    #[serde(rename = "Version")]
    pub version: String,
}

/// One application instance: the domain to run, and whether it should run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DomainConfig {
    /// The application. The file is named after its uuid.
    #[serde(rename = "UUIDandVersion")]
    pub uuid_and_version: UuidAndVersion,
    /// Name for people, and the first part of the domain's name.
    pub display_name: String,
    /// True if the domain should run.
    pub activate: bool,
    /// Small number unique on this host.
    pub app_num: u32,
    /// Path of the kernel.
    pub kernel: String,
    /// Path of the kernel's initial RAM disk.
    pub ramdisk: String,
    /// Memory at the start.
    pub memory: Kilobytes,
    /// Memory that the guest may grow to.
    pub max_mem: Kilobytes,
    /// Number of virtual processors at the start; 0 means 1.
    #[serde(rename = "VCpus")]
    pub vcpus: u32,
    /// Number of virtual processors that the guest may grow to; 0 means as many as it starts with.
    pub max_cpus: u32,
    /// Root device of a PV guest.
    pub root_dev: String,
    /// Additional parameters for the kernel's command line.
    pub extra_args: String,
    /// Boot loader of a PV guest.
    pub boot_loader: String,
    /// Physical processors that the guest may use, e.g. `1,2`. Later versions of EVE write a list of numbers.
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
    /// Virtualisation mode: PV, HVM or PVH.
    pub virtualization_mode: ModeField,
    /// True if the guest has a graphical console.
    pub enable_vnc: bool,
    /// Number of the VNC display; 0 means the next free one.
    pub vnc_display: u32,
    /// Password of the graphical console.
    pub vnc_passwd: Hidden,
    /// Address of the host on which VNC listens; empty for 127.0.0.1. Addition.
    pub vnc_listen: String,
    /// Disks, in order.
    pub disk_config_list: Vec<DiskConfig>,
    /// Network interfaces, in order.
    pub vif_list: Vec<VifConfig>,
    /// Adapters of the host to assign.
    pub io_adapter_list: Vec<IoAdapter>,
    /// User data for cloud-init.
    pub cloud_init_user_data: Bytes,
    /// Version of the user data. A guest that has seen another version begins anew with it. EVE got this field later.
    #[serde(skip_serializing_if = "is_zero")]
    pub cloud_init_version: u32,
    /// EVE's number for the delivery of the user data: 0 or 3 for a drive, 1 for none. EVE got this field later.
    #[serde(skip_serializing_if = "is_zero")]
    pub meta_data_type: u32,
    /// Action after a poweroff, in xl.cfg's words. Addition.
    pub on_poweroff: String,
    /// Action after a reboot. Addition.
    pub on_reboot: String,
    /// Action after a crash. Addition.
    pub on_crash: String,
    /// Action after the watchdog fired. Addition.
    pub on_watchdog: String,
    /// Action when the guest asks for a soft reset. Addition.
    pub on_soft_reset: String,
    /// Action after the device model (QEMU) has ended: `keep` or `restart`. Addition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub on_device_model_exit: String,
    /// Those with a higher priority start earlier, and stop later when the host goes down. Addition.
    #[serde(skip_serializing_if = "is_nothing")]
    pub priority: i32,
    /// NAMEs of domains that this one needs: it starts after them, and stops before them when the host goes down. Addition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Action when the host goes down: `save` or `shutdown`; empty for that of `host-stop`. Addition.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub on_host_stop: String,
}

/// One disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskConfig {
    /// Hash that names the image. The guest gets its own copy unless it only reads.
    pub image_sha256: String,
    /// True if the guest may only read.
    pub read_only: bool,
    /// True if the guest's copy outlives its domain.
    pub preserve: bool,
    /// Least size that the guest shall see, in bytes.
    pub maxsizebytes: u64,
    /// `raw`, `qcow`, `qcow2` or `vhd`. Later versions of EVE write a number, and also have `iso`.
    #[serde(deserialize_with = "format")]
    pub format: String,
    /// Empty or `cdrom`.
    pub devtype: String,
    /// Path of the image; without `ImageSha256`, of a file or block device to use in place. Addition: EVE got this field
    /// later.
    pub file_location: String,
    /// True if a file or block device used in place may also be used by others that set this. Addition.
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
    /// MAC address. Later versions of EVE write six bytes in base64.
    pub mac: String,
    /// `vif`, or `ioemu` for an emulated card beside it. Addition.
    pub r#type: String,
    /// Largest packet (MTU) in bytes; 0 means that of the bridge. Addition: EVE got this field later.
    #[serde(rename = "MTU")]
    pub mtu: u32,
}

/// One device to assign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IoAdapter {
    /// EVE's number for the kind: 1 Ethernet, 2 USB, 3 serial, 255 other.
    pub r#type: u32,
    /// Name of the device in the model.
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

/// Virtualisation mode as it came: EVE's number, or a word.
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
fn is_nothing(number: &i32) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Reads `"1,2"`, or since 2023 `[1, 2]`.
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

/// Formats in the order of EVE's numbers, used since 2020. The first stands for no particular format.
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

/// Reads text. Unlike serde's own, the error does not show the value that was found.
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
        // User data often contains passwords.
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
    /// Returns a digest of the config: two configs with the same digest have the same content.
    ///
    /// The digest does not protect secrets, and is no defence against malice.
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
