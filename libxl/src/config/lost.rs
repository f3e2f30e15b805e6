//! What libxl did not understand.

use serde_json::{Map, Value};

/// The fields of `sent` that libxl did not take over, given what its `to_json` printed of the struct that it parsed.
///
/// libxl's parser drops without a word what it does not know (a field of a newer Xen), a value of the wrong JSON type,
/// and a number above 2⁶³ − 1. So what was sent is compared with what came back. That is not a comparison for
/// equality, because `to_json` leaves out
///
/// * a field that has the value which libxl's `init` function gives it. This module knows those values: 0, `false`
///   and the empty array, the first word of most enumerations, and a few others. A field that was sent with such a
///   value and is missing is not lost: either it is there, or this libxl does not have it and it asked for nothing.
/// * an empty bitmap, array, object of keys and values or CPUID policy, and the nil UUID and Ethernet address.
///
/// A string, also an empty one, and a key of a union (`"type.hvm"`) always come back. A CPUID policy may come back in
/// its other form.
///
/// Each field is given as its path, such as `b_info.type.hvm.vnc.listen` or `disks[1].format`; an array or object
/// that is missing as a whole is named as a whole. Fields that came back with another value are among them.
///
/// Both values may be those of any type of this module, such as a [`Disk`](super::Disk) and what
/// `libxl_device_disk_to_json` printed.
///
/// ```
/// use libxl::config::lost_fields;
/// use serde_json::json;
///
/// let sent = json!({ "vdev": "xvda", "grant_usage": "True", "removable": 0 });
/// let read_back = json!({ "vdev": "xvda" });
/// assert_eq!(lost_fields(&sent, &read_back), ["grant_usage"]);
/// ```
pub fn lost_fields(sent: &Value, read_back: &Value) -> Vec<String> {
    let mut lost = Vec::new();
    compare(&mut String::new(), "", sent, Some(read_back), &mut lost);
    lost
}

/// Compares one value; `name` is the last key of `path`.
fn compare(
    path: &mut String,
    name: &str,
    sent: &Value,
    back: Option<&Value>,
    lost: &mut Vec<String>,
) {
    match (sent, back) {
        (_, None) if is_initial(name, sent) => {}
        _ if name == "cpuid" => compare_cpuid(path, sent, back, lost),
        (Value::Object(sent), Some(Value::Object(back))) => {
            for (key, value) in sent {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                compare(path, key, value, back.get(key), lost);
                path.truncate(length);
            }
        }
        // A struct of which nothing came back: name what was in it.
        (Value::Object(sent), None) if !is_union_key(name) => {
            let sent = Value::Object(sent.clone());
            compare(path, "", &sent, Some(&Value::Object(Map::new())), lost);
        }
        (Value::Array(sent), Some(Value::Array(back))) if sent.iter().any(Value::is_object) => {
            for (index, value) in sent.iter().enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                match back.get(index) {
                    Some(back) => compare(path, "", value, Some(back), lost),
                    None => lost.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (sent, Some(back)) if sent == back => {}
        _ => lost.push(path.clone()),
    }
}

/// A CPUID policy: an array of leaves, or an object of leaves and MSRs. All that is in it comes back.
fn compare_cpuid(path: &mut String, sent: &Value, back: Option<&Value>, lost: &mut Vec<String>) {
    static NONE: Value = Value::Null;
    let parts = |policy: Option<&Value>| match policy {
        Some(Value::Object(both)) => (
            both.get("cpuid").unwrap_or(&NONE).clone(),
            both.get("msr").unwrap_or(&NONE).clone(),
        ),
        Some(leaves) => (leaves.clone(), NONE.clone()),
        None => (NONE.clone(), NONE.clone()),
    };
    let (sent_leaves, sent_msrs) = parts(Some(sent));
    let (back_leaves, back_msrs) = parts(back);
    for (what, sent, back) in [
        ("", sent_leaves, back_leaves),
        (".msr", sent_msrs, back_msrs),
    ] {
        if sent != back && !is_empty(&sent) {
            lost.push(format!("{path}{what}"));
        }
    }
}

/// A union's key has a dot in it.
fn is_union_key(name: &str) -> bool {
    name.contains('.')
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(array) => array.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// True if this is the value that libxl's `init` function gives the field, or one that `to_json` takes for it.
fn is_initial(name: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Array(_) => is_empty(value),
        // Plain C `bool`s; the other kind is a string.
        Value::Bool(value) => !value,
        Value::Number(number) => match initial_numbers(name) {
            Initial::Zero => number.as_u64() == Some(0),
            Initial::AllOnes32 => {
                number.as_i64() == Some(-1) || number.as_u64() == Some(u32::MAX.into())
            }
            Initial::AllOnes64 => number.as_u64() == Some(u64::MAX),
            Initial::ZeroOrAllOnes32 => matches!(number.as_u64(), Some(0) | Some(0xffff_ffff)),
        },
        Value::String(word) => match word.as_str() {
            "<default>" => true,
            word => initial_words(name).contains(&word),
        },
        Value::Object(object) => !is_union_key(name) && object.is_empty(),
    }
}

enum Initial {
    Zero,
    AllOnes32,
    AllOnes64,
    /// 0 up to Xen 4.20, all ones since.
    ZeroOrAllOnes32,
}

/// What a number is before anybody sets it. The names are unique enough for this.
fn initial_numbers(name: &str) -> Initial {
    match name {
        "devid"
        | "ctrl"
        | "weight"
        | "cap"
        | "period"
        | "budget"
        | "extratime"
        | "slice"
        | "latency"
        | "vcpuid"
        | "max_grant_frames"
        | "max_maptrack_frames"
        | "max_grant_version"
        | "altp2m_count"
        | "xenstore_feature_mask" => Initial::AllOnes32,
        "nr_spis" => Initial::ZeroOrAllOnes32,
        "gfn" => Initial::AllOnes64,
        _ if name.ends_with("memkb") => Initial::AllOnes64,
        _ => Initial::Zero,
    }
}

/// The words that stand for "not set".
fn initial_words(name: &str) -> &'static [&'static str] {
    match name {
        "passthrough" | "tsc_mode" | "gfx_passthru_kind" | "gic_version" => &["default"],
        "timer_mode"
        | "device_model_version"
        | "bios"
        | "kind"
        | "vuart"
        | "sched"
        | "format"
        | "backend"
        | "specification"
        | "transport"
        | "nictype"
        | "backend_type" => &["unknown"],
        "vendor_device" | "tee" => &["none"],
        "altp2m" | "sve_vl" => &["disabled"],
        "policy" | "rdm_policy" => &["invalid"],
        "strategy" => &["ignore"],
        "hdtype" => &["ide"],
        "uuid" => &["00000000-0000-0000-0000-000000000000"],
        "mac" => &["00:00:00:00:00:00"],
        // Of the domain, a USB controller, a 9pfs device and Arm's system controller.
        "type" => &["invalid", "auto", "unknown", "none"],
        "on_poweroff" | "on_reboot" | "on_watchdog" | "on_crash" | "on_soft_reset" => &["destroy"],
        _ => &[],
    }
}

/// The fields of `sent` that libxl's parser refuses, given a function that tells whether it accepts a value.
///
/// A word that this libxl does not know, or a number that does not fit the C type, makes libxl refuse the whole
/// configuration without saying where. This offers it each field of `sent` alone.
///
/// ```
/// use libxl::config::refused_fields;
/// use serde_json::json;
///
/// let sent = json!({ "disks": [{ "vdev": "xvda" }, { "vdev": "xvdb", "backend": "standalone" }] });
/// let accepts = |value: &serde_json::Value| !value.to_string().contains("standalone");
/// assert_eq!(refused_fields(&sent, accepts), ["disks[1].backend"]);
/// ```
pub fn refused_fields(sent: &Value, mut accepts: impl FnMut(&Value) -> bool) -> Vec<String> {
    let mut refused = Vec::new();
    offer_alone(
        &mut String::new(),
        sent,
        &mut |value| value,
        &mut accepts,
        &mut refused,
    );
    refused
}

/// Offers each field of `value` alone; `wrap` puts a value in its place in an otherwise empty configuration.
fn offer_alone(
    path: &mut String,
    value: &Value,
    wrap: &mut dyn FnMut(Value) -> Value,
    accepts: &mut dyn FnMut(&Value) -> bool,
    refused: &mut Vec<String>,
) {
    let length = path.len();
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                let wrap = &mut |value| wrap(Map::from_iter([(key.clone(), value)]).into());
                if key == "cpuid" {
                    // Its parts make no sense without each other.
                    offer(path, &wrap(value.clone()), accepts, refused);
                } else {
                    offer_alone(path, value, wrap, accepts, refused);
                }
                path.truncate(length);
            }
        }
        Value::Array(array) if array.iter().any(Value::is_object) => {
            for (index, value) in array.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                let wrap = &mut |value| wrap(vec![value].into());
                offer_alone(path, value, wrap, accepts, refused);
                path.truncate(length);
            }
        }
        value => offer(path, &wrap(value.clone()), accepts, refused),
    }
}

fn offer(
    path: &str,
    alone: &Value,
    accepts: &mut dyn FnMut(&Value) -> bool,
    refused: &mut Vec<String>,
) {
    if !accepts(alone) {
        refused.push(path.to_owned());
    }
}
