//! What can be checked without libxl.

use serde::Serialize;
use serde_json::Value;

use super::{
    Bitmap, BuildInfo, Channel, ChannelConnection, CpuidLeaf, CpuidPolicy, CreateInfo, Disk,
    DiskFormat, DomainConfig, Dtdev, Guest, HvmInfo, Invalid, Nic, P9, P9Type, Pci, Pvcallsif, Rdm,
    Usbctrl, Usbdev, Vdispl, Vfb, Virtio, Vkb, Vsnd, Vtpm,
};

/// The largest number that libxl's parser surely takes: it reads a `long long`, and a leftover `errno` may turn the
/// largest of these into something else.
const MAX_U64: u64 = i64::MAX.unsigned_abs() - 1;

/// Fields that are an `int` in C; libxl refuses the whole configuration, without naming the field, if one is larger.
const C_INTS: &[&str] = &[
    "colo_port",
    "display",
    "domain",
    "max_files",
    "max_grant_version",
    "max_open_files",
    "max_space",
    "max_vcpus",
    "mtu",
    "port",
    "ports",
    "tls_port",
    "usbredirection",
    "usbversion",
    "version",
    "vmtrace_buf_kb",
];

/// Fields that are bitmaps, or arrays of them.
const BITMAPS: &[&str] = &[
    "avail_vcpus",
    "cpumap",
    "nodemap",
    "vcpu_hard_affinity",
    "vcpu_soft_affinity",
    "vcpus",
    "viridian_disable",
    "viridian_enable",
];

/// What is checked of one type; `at` is the path of the value, with a dot at its end if it is not empty.
trait Check {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        let _ = at;
        Ok(())
    }
}

/// Checks a whole value: its strings and numbers, then what its type asks for.
fn validate<T: Check + Serialize>(value: &T) -> Result<(), Invalid> {
    validate_values(value)?;
    value.check("")
}

fn validate_values(value: &impl Serialize) -> Result<(), Invalid> {
    let json = serde_json::to_value(value)
        .map_err(|error| Invalid::new("", format!("cannot be written as JSON: {error}")))?;
    check_values(&mut String::new(), "", &json)
}

impl DomainConfig {
    /// Checks what libxl would get wrong, silently or worse: values that its parser drops or cuts off, and values with
    /// which libxl reads or writes memory that is not its own, aborts the process, or takes another device than the
    /// one that was meant. This crate runs it before a configuration reaches libxl.
    ///
    /// What libxl itself refuses with a message is left to libxl.
    ///
    /// # Errors
    ///
    /// The first field that must not reach libxl.
    pub fn validate(&self) -> Result<(), Invalid> {
        validate(self)
    }
}

impl Disk {
    /// Checks what says which of a domain's disks is meant. libxl lists a drive without a disc with
    /// an empty path and without a format, which as a new disk would be refused.
    pub(crate) fn validate_name(&self) -> Result<(), Invalid> {
        validate_values(self)?;
        required("", "vdev", self.vdev.as_deref())
    }
}

macro_rules! validate_devices {
    ($($device:ident),* $(,)?) => { $(
        impl $device {
            /// Checks one device as [`DomainConfig::validate`] checks all of them.
            ///
            /// # Errors
            ///
            /// The first field that must not reach libxl.
            pub fn validate(&self) -> Result<(), Invalid> {
                validate(self)
            }
        }
    )* };
}

validate_devices!(
    Channel, Disk, Dtdev, Nic, P9, Pci, Pvcallsif, Usbctrl, Usbdev, Vdispl, Vfb, Virtio, Vkb, Vsnd,
    Vtpm,
);

impl Check for DomainConfig {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        fn each<T: Check>(at: &str, list: &str, values: &[T]) -> Result<(), Invalid> {
            values
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| value.check(&format!("{at}{list}[{index}].")))
        }
        let Self {
            c_info,
            b_info,
            disks,
            nics,
            pcidevs,
            rdms,
            dtdevs,
            vfbs,
            vkbs,
            virtios,
            vtpms,
            p9s,
            pvcallsifs,
            vdispls,
            vsnds,
            channels,
            usbctrls,
            usbdevs,
            on_poweroff: _,
            on_reboot: _,
            on_watchdog: _,
            on_crash: _,
            on_soft_reset: _,
        } = self;
        c_info.check(&format!("{at}c_info."))?;
        b_info.check(&format!("{at}b_info."))?;
        each(at, "disks", disks)?;
        each(at, "nics", nics)?;
        each(at, "pcidevs", pcidevs)?;
        each(at, "rdms", rdms)?;
        each(at, "dtdevs", dtdevs)?;
        each(at, "vfbs", vfbs)?;
        each(at, "vkbs", vkbs)?;
        each(at, "virtios", virtios)?;
        each(at, "vtpms", vtpms)?;
        each(at, "p9s", p9s)?;
        each(at, "pvcallsifs", pvcallsifs)?;
        each(at, "vdispls", vdispls)?;
        each(at, "vsnds", vsnds)?;
        each(at, "channels", channels)?;
        each(at, "usbctrls", usbctrls)?;
        each(at, "usbdevs", usbdevs)
    }
}

impl Check for CreateInfo {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "name", Some(&self.name))?;
        if self.name.contains('/') {
            // libxl, QEMU and xenconsoled name log files after it.
            return Err(Invalid::new(
                format!("{at}name"),
                "contains a slash, but files are named after it",
            ));
        }
        if self.uuid.is_none_or(|uuid| uuid.is_nil()) {
            return Err(Invalid::new(
                format!("{at}uuid"),
                "is not set, and libxl would use the nil UUID",
            ));
        }
        Ok(())
    }
}

impl Check for BuildInfo {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        let invalid =
            |field: &str, reason: String| Err(Invalid::new(format!("{at}{field}"), reason));
        let max_vcpus = self.max_vcpus.unwrap_or(1).max(1);
        if max_vcpus > Bitmap::MAX {
            // libxl allocates that many bitmaps, and ends the process if it cannot.
            return invalid(
                "max_vcpus",
                format!("is {max_vcpus}, more than any Xen can"),
            );
        }
        if let Some(last) = self.avail_vcpus.last().filter(|&last| last >= max_vcpus) {
            return invalid(
                "avail_vcpus",
                format!("has vCPU {last}, but max_vcpus is {max_vcpus}"),
            );
        }
        // libxl copies this one to a place for 128, and looks at its length in bytes instead of bits (4.14
        // to 4.22).
        const ROOM: u32 = 128;
        let has_room = matches!(self.guest, Guest::Pv(_));
        if let Some(last) = self
            .avail_vcpus
            .last()
            .filter(|&last| last >= ROOM && !has_room)
        {
            return invalid(
                "avail_vcpus",
                format!("has vCPU {last}, but libxl has room for {ROOM} of this type of domain"),
            );
        }
        match (self.target_memkb, self.max_memkb) {
            (Some(target), None) => {
                let reason =
                    format!("is not set, so it is 32768 KiB, but target_memkb is {target} KiB");
                return invalid("max_memkb", reason);
            }
            (Some(target), Some(max)) if target > max => {
                return invalid(
                    "target_memkb",
                    format!("is {target} KiB, more than max_memkb, which is {max} KiB"),
                );
            }
            _ => {}
        }
        let nodes = self.vnuma_nodes.len();
        for (index, node) in self.vnuma_nodes.iter().enumerate() {
            // libxl writes to an array of max_vcpus elements at the index of each vCPU.
            if let Some(last) = node.vcpus.last().filter(|&last| last >= max_vcpus) {
                let reason = format!("has vCPU {last}, but max_vcpus is {max_vcpus}");
                return invalid(&format!("vnuma_nodes[{index}].vcpus"), reason);
            }
            // libxl asserts this, which ends the process.
            if node.distances.len() != nodes {
                let reason = format!(
                    "has {} distances, but there are {nodes} nodes",
                    node.distances.len()
                );
                return invalid(&format!("vnuma_nodes[{index}].distances"), reason);
            }
        }
        self.cpuid.check(&format!("{at}cpuid"))?;
        match &self.guest {
            Guest::Hvm(hvm) => hvm.check(&format!("{at}type.hvm.")),
            Guest::Pv(_) | Guest::Pvh(_) => Ok(()),
        }
    }
}

impl Check for HvmInfo {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        for (index, smbios) in self.smbios.iter().enumerate() {
            let at = format!("{at}smbios[{index}].");
            required(&at, "key", smbios.key.as_ref().map(|key| key.word()))?;
            required(&at, "value", smbios.value.as_deref())?;
        }
        Ok(())
    }
}

impl Check for CpuidPolicy {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // libxl's mark for the end of a list.
        const END: u32 = u32::MAX;
        for (index, leaf) in self.cpuid.iter().enumerate() {
            let CpuidLeaf {
                leaf,
                subleaf: _,
                eax,
                ebx,
                ecx,
                edx,
            } = leaf;
            if leaf.is_none_or(|leaf| leaf == END) {
                return Err(Invalid::new(format!("{at}[{index}].leaf"), "is not set"));
            }
            for (register, filter) in [("eax", eax), ("ebx", ebx), ("ecx", ecx), ("edx", edx)] {
                // libxl reads 32 characters, whether they are there or not.
                check_filter(&format!("{at}[{index}].{register}"), filter.as_deref(), 32)?;
            }
        }
        for (index, msr) in self.msr.iter().enumerate() {
            if msr.index == END {
                return Err(Invalid::new(
                    format!("{at}.msr[{index}].index"),
                    "is not set",
                ));
            }
            check_filter(&format!("{at}.msr[{index}].policy"), Some(&msr.policy), 64)?;
        }
        Ok(())
    }
}

impl Check for Disk {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // libxl follows these pointers without a look.
        required(at, "vdev", self.vdev.as_deref())?;
        if self.format == Some(DiskFormat::Empty) {
            return Ok(());
        }
        required(at, "pdev_path", self.pdev_path.as_deref())
    }
}

impl Check for Pci {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // libxl masks the excess bits away and takes whatever device that is.
        for (field, value, max) in [
            ("domain", self.domain, 0xffff),
            ("dev", self.dev.into(), 0x1f),
            ("func", self.func.into(), 7),
        ] {
            if value > max {
                let reason = format!("is {value:#x}, and the largest there is is {max:#x}");
                return Err(Invalid::new(format!("{at}{field}"), reason));
            }
        }
        Ok(())
    }
}

impl Check for Dtdev {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "path", self.path.as_deref())
    }
}

impl Check for Vdispl {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        self.connectors
            .iter()
            .enumerate()
            .try_for_each(|(index, connector)| {
                required(
                    &format!("{at}connectors[{index}]."),
                    "unique_id",
                    connector.unique_id.as_deref(),
                )
            })
    }
}

impl Check for Virtio {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "type", self.r#type.as_deref())
    }
}

impl Check for P9 {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // Xen 4.14 to 4.16 leave a hole in xenstore.
        required(at, "path", self.path.as_deref())?;
        required(at, "security_model", self.security_model.as_deref())?;
        if self.r#type == Some(P9Type::Xen9pfsd) {
            return Ok(());
        }
        required(at, "tag", self.tag.as_deref())
    }
}

impl Check for Channel {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        required(at, "name", self.name.as_deref())?;
        match &self.connection {
            ChannelConnection::Socket { path } => {
                required(at, "connection.socket.path", path.as_deref())
            }
            ChannelConnection::Unknown {} | ChannelConnection::Pty {} => Ok(()),
        }
    }
}

impl Check for Nic {}
impl Check for Pvcallsif {}
impl Check for Rdm {}
impl Check for Usbctrl {}
impl Check for Usbdev {}
impl Check for Vfb {}
impl Check for Vkb {}
impl Check for Vsnd {}
impl Check for Vtpm {}

fn required(at: &str, field: &str, value: Option<&str>) -> Result<(), Invalid> {
    match value {
        None => Err(Invalid::new(format!("{at}{field}"), "is not set")),
        Some("") => Err(Invalid::new(format!("{at}{field}"), "is empty")),
        Some(_) => Ok(()),
    }
}

fn check_filter(field: &str, filter: Option<&str>, length: usize) -> Result<(), Invalid> {
    match filter {
        Some(filter)
            if filter.len() != length || !filter.bytes().all(|bit| b"01xks".contains(&bit)) =>
        {
            let reason = format!("is {filter:?}, not {length} characters of 0, 1, x, k and s");
            Err(Invalid::new(field, reason))
        }
        _ => Ok(()),
    }
}

/// Checks every string and number of the JSON form; `name` is the last key of `path`.
fn check_values(path: &mut String, name: &str, value: &Value) -> Result<(), Invalid> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Invalid::new(
            path.as_str(),
            "contains a NUL byte, where libxl cuts it off",
        )),
        Value::Number(number) => {
            let max = if C_INTS.contains(&name) {
                i32::MAX.unsigned_abs().into()
            } else {
                MAX_U64
            };
            match number.as_u64() {
                Some(number) if number > max => {
                    let reason = format!("is {number}, and the largest that libxl reads is {max}");
                    Err(Invalid::new(path.as_str(), reason))
                }
                _ => Ok(()),
            }
        }
        Value::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                if BITMAPS.contains(&name) {
                    check_bits(path, value)?;
                }
                check_values(path, "", value)?;
                path.truncate(length);
            }
            Ok(())
        }
        Value::Object(object) => {
            for (key, value) in object {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                if key.contains('\0') {
                    return Err(Invalid::new(
                        path.as_str(),
                        "has a NUL byte in its name, where libxl cuts it off",
                    ));
                }
                check_values(path, key, value)?;
                path.truncate(length);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Checks a bit of a bitmap, or a bitmap in an array of them: libxl allocates as many bits as the largest asks for,
/// counts them in an `int`, and ends the process if it cannot.
fn check_bits(path: &str, value: &Value) -> Result<(), Invalid> {
    let bits = match value {
        Value::Array(bits) => bits.as_slice(),
        bit => std::slice::from_ref(bit),
    };
    match bits.iter().filter_map(Value::as_u64).max() {
        Some(bit) if bit > Bitmap::MAX.into() => {
            let reason = format!(
                "{bit} is in the set, and the largest possible is {}",
                Bitmap::MAX
            );
            Err(Invalid::new(path, reason))
        }
        _ => Ok(()),
    }
}
