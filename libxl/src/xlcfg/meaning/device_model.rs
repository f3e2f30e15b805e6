//! The device model, QEMU.

use super::reader::{Reader, Result};
use crate::{
    config::{BuildInfo, DeviceModelVersion, DomainConfig, DomainType},
    xlcfg::file::Value,
};

/// Reads the device model and its arguments.
pub(super) fn read(reader: &Reader<'_>, config: &mut DomainConfig) -> Result<()> {
    old_key(reader, config.domain_type());
    let b_info = &mut config.b_info;
    b_info.device_model = reader.text("device_model_override");
    b_info.device_model_version = version(reader)?;
    if b_info.device_model.is_some() && b_info.device_model_version.is_none() {
        reader.warn(
            "device_model_override",
            "without device_model_version, which says what kind it is; write that as well",
        );
    }
    b_info.device_model_stubdomain = reader.flag("device_model_stubdomain_override");
    b_info.device_model_ssid_label = reader.text("device_model_stubdomain_seclabel");
    b_info.device_model_user = reader.text("device_model_user");
    stub_domain(reader, b_info);
    b_info.extra = arguments(reader, "device_model_args")?;
    b_info.extra_pv = arguments(reader, "device_model_args_pv")?;
    b_info.extra_hvm = arguments(reader, "device_model_args_hvm")?;
    Ok(())
}

/// Warns of the key of xend's time, as `xl` does.
fn old_key(reader: &Reader<'_>, kind: DomainType) {
    const KEY: &str = "device_model";
    let Some(text) = reader.text(KEY) else {
        return;
    };
    reader.warn(
        KEY,
        "ignored: write device_model_override if it is not Xen's own",
    );
    if text.contains("stubdom-dm") {
        reader.warn(
            KEY,
            match kind {
                DomainType::Hvm => "ignored: write device_model_stubdomain_override = 1",
                DomainType::Pv | DomainType::Pvh => "ignored: only an HVM guest has a stub domain",
            },
        );
    }
}

/// Reads the kind of QEMU. Xen 4.21 no longer has the old fork.
fn version(reader: &Reader<'_>) -> Result<Option<DeviceModelVersion>> {
    const KEY: &str = "device_model_version";
    match reader.text(KEY).as_deref() {
        None => Ok(None),
        Some("qemu-xen") => Ok(Some(DeviceModelVersion::QemuXen)),
        Some("qemu-xen-traditional") if !reader.release.has(21) => {
            Ok(Some(DeviceModelVersion::QemuXenTraditional))
        }
        Some(other) => {
            let old = if reader.release.has(21) {
                ""
            } else {
                " or qemu-xen-traditional"
            };
            reader.refuse(KEY, format!("{other:?} is not known; write qemu-xen{old}"))
        }
    }
}

/// Reads the settings of the stub domain that QEMU may run in.
fn stub_domain(reader: &Reader<'_>, b_info: &mut BuildInfo) {
    b_info.stubdomain_kernel = reader.text("stubdomain_kernel");
    b_info.stubdomain_cmdline = reader.text("stubdomain_cmdline");
    b_info.stubdomain_ramdisk = reader.text("stubdomain_ramdisk");
    b_info.stubdomain_memkb = reader.mebibytes("stubdomain_memory");
}

fn arguments(reader: &Reader<'_>, key: &str) -> Result<Vec<String>> {
    match reader.value(key) {
        None => Ok(Vec::new()),
        Some(Value::List(list)) => Ok(reader.leading_texts(key, list)),
        Some(Value::String(_)) => reader.refuse(key, "a single text; write a list of arguments"),
    }
}
