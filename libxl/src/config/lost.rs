//! Fields of a configuration that libxl did not understand.

use serde_json::{Map, Value};

/// Returns the fields of `sent` that libxl dropped or changed, given the `to_json` output of the struct that it parsed.
///
/// libxl's parser silently drops an unknown field (one of a newer Xen), a value of the wrong JSON type, and a number
/// above 2⁶³ − 1. This function therefore compares the JSON that was sent with the JSON that came back. A comparison
/// for equality would not do, because `to_json` leaves out
///
/// * a field with the value that libxl's `init` function gives the field. This module knows these values: 0, `false`
///   and the empty array, the first word of most enumerations, and a few others. A field that was sent with such a
///   value and did not come back is not lost: either libxl has the field, or this libxl does not know the field and
///   the value requested nothing.
/// * an empty bitmap, array, object of keys and values or CPUID policy, and the nil UUID and Ethernet address.
///
/// A string, even an empty one, and a key of a union (`"type.hvm"`) always come back. A CPUID policy may come back in
/// the other of libxl's two forms.
///
/// Each field is named by its path, such as `b_info.type.hvm.vnc.listen` or `disks[1].format`. An array, an element of
/// an array or a union that is missing as a whole is named as a whole; of a missing struct, each lost field is named.
///
/// The function works with every type of this module, for instance with a [`Disk`](super::Disk) and the output of
/// `libxl_device_disk_to_json`.
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
        // Nothing of this struct came back: name each field in it.
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

/// Compares a CPUID policy: an array of leaves, or an object of leaves and MSRs. libxl prints every entry of a policy.
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

/// Returns true for the key of a union, which contains a dot.
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

/// Returns true if libxl's `init` function gives the field this value, or `to_json` treats the two values alike.
fn is_initial(name: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Array(_) => is_empty(value),
        // A plain C `bool`; a `libxl_defbool` is a string.
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_u64().map_or_else(
            || number.as_i64() == Some(-1) && initial_numbers(name) == Initial::AllOnes32,
            |number| is_initial_number(name, number),
        ),
        Value::String(word) => is_initial_word(name, word),
        Value::Object(object) => !is_union_key(name) && object.is_empty(),
    }
}

/// As [`is_initial`], for a number that is not negative.
pub(super) fn is_initial_number(name: &str, number: u64) -> bool {
    match initial_numbers(name) {
        Initial::Zero => number == 0,
        Initial::AllOnes32 => number == u64::from(u32::MAX),
        Initial::AllOnes64 => number == u64::MAX,
        Initial::ZeroOrAllOnes32 => number == 0 || number == u64::from(u32::MAX),
    }
}

/// As [`is_initial`], for a string.
pub(super) fn is_initial_word(name: &str, word: &str) -> bool {
    word == "<default>" || initial_words(name).contains(&word)
}

#[derive(PartialEq, Eq)]
enum Initial {
    Zero,
    AllOnes32,
    AllOnes64,
    /// 0 up to Xen 4.20, all ones since.
    ZeroOrAllOnes32,
}

/// Returns the initial value of a numeric field. The field names are unique enough for this lookup.
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

/// Returns the words that stand for "not set" in a field.
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
        // For the domain, a USB controller, a 9pfs device and Arm's system controller, in this order.
        "type" => &["invalid", "auto", "unknown", "none"],
        "on_poweroff" | "on_reboot" | "on_watchdog" | "on_crash" | "on_soft_reset" => &["destroy"],
        _ => &[],
    }
}

/// Returns the fields of `sent` that libxl's parser refuses. `accepts` tells whether the parser accepts a value.
///
/// A word that this libxl does not know, or a number that does not fit the C type, makes libxl refuse the whole
/// configuration without naming the field. This function offers each field of `sent` alone to the parser.
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

/// Offers each field of `value` alone. `wrap` puts a value in its place in an otherwise empty configuration.
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
                    // The parts of a policy are meaningless without each other.
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
