//! Checks of every string and number, regardless of the field.

use serde::Serialize;
use serde_json::Value;

use crate::{
    DomId,
    config::{bitmap::Bitmap, error::Invalid},
};

/// The largest number that libxl's parser reliably accepts.
///
/// The parser reads a `long long`, and a leftover `errno` may change the largest `long long` into another value.
const MAX_U64: u64 = i64::MAX.unsigned_abs() - 1;

/// The largest amount of memory, in KiB.
///
/// Xen, and the library that builds domains, count pages of 4 KiB in 32 bits and cut off higher bits (4.14 to 4.22).
pub(crate) const MAX_MEMKB: u64 = (1 << 34) - 1;

/// The largest trace buffer, in KiB: libxl counts the bytes of the buffer in an `int`.
const MAX_TRACE_KB: u64 = 0x1f_ffff;

/// Fields that are an `int` in C or in Xen.
///
/// If a number is larger, libxl refuses the whole configuration without naming the field, or Xen treats the number as
/// negative.
const C_INTS: &[&str] = &[
    "colo_port",
    "display",
    "domain",
    "max_files",
    "max_grant_frames",
    "max_grant_version",
    "max_maptrack_frames",
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
];

/// Fields that are bitmaps or arrays of bitmaps.
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

pub(super) fn validate_values(value: &impl Serialize) -> Result<(), Invalid> {
    let json = serde_json::to_value(value)
        .map_err(|error| Invalid::new("", format!("cannot be written as JSON: {error}")))?;
    check_values(&json)
}

/// Checks every string and number of the JSON form.
pub(crate) fn check_values(json: &Value) -> Result<(), Invalid> {
    check_below(&mut String::new(), "", json)
}

/// Checks every string and number of `value`; `name` is the last key of `path`.
fn check_below(path: &mut String, name: &str, value: &Value) -> Result<(), Invalid> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Invalid::new(
            path.as_str(),
            "contains a NUL byte, where libxl cuts it off",
        )),
        Value::Number(number) => {
            let max = largest(name);
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
                check_below(path, "", value)?;
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
                check_below(path, key, value)?;
                path.truncate(length);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Returns the largest number that a field of this name may have.
pub(crate) fn largest(name: &str) -> u64 {
    match name {
        "backend_domid" => DomId::LAST_GUEST.into(),
        "vmtrace_buf_kb" => MAX_TRACE_KB,
        _ if name.ends_with("memkb") => MAX_MEMKB,
        _ if C_INTS.contains(&name) => i32::MAX.unsigned_abs().into(),
        _ => MAX_U64,
    }
}

/// Checks a bit of a bitmap, or a bitmap in an array of bitmaps.
///
/// libxl allocates as many bits as the largest one requires, counts them in an `int`, and ends the process if the
/// allocation fails.
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
