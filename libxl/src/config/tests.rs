//! Tests of the JSON form, of fields that are lost in it, and of the checks before it.

mod builders;
mod full;
mod json;
mod lost;
mod types;
mod typical;
mod validate;
mod words;

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ActionOnShutdown, Bitmap, BuildInfo, Channel, ChannelConnection, CpuidLeaf, CpuidPolicy,
    CreateInfo, Direct, Disk, DiskFormat, DomainConfig, DomainType, Guest, HvmInfo, IomemRange,
    Mac, MsVmGenid, MsrPolicy, Nic, P9, Pci, PvInfo, PvhInfo, Secret, TimerMode, Usbdev, Vkb,
    VncInfo, redact,
};

/// libxl's output for [`typical::all`], by kind of guest and version.
const GOLDEN: &[(&str, &str, &str)] = &[
    ("pv", "4.14", include_str!("tests/golden/pv-4.14.json")),
    ("pv", "4.17", include_str!("tests/golden/pv-4.17.json")),
    ("pv", "4.20", include_str!("tests/golden/pv-4.20.json")),
    ("pvh", "4.14", include_str!("tests/golden/pvh-4.14.json")),
    ("pvh", "4.17", include_str!("tests/golden/pvh-4.17.json")),
    ("pvh", "4.20", include_str!("tests/golden/pvh-4.20.json")),
    ("hvm", "4.14", include_str!("tests/golden/hvm-4.14.json")),
    ("hvm", "4.17", include_str!("tests/golden/hvm-4.17.json")),
    ("hvm", "4.20", include_str!("tests/golden/hvm-4.20.json")),
];

fn full_configs() -> [DomainConfig; 3] {
    [full::pv(), full::hvm(), full::pvh()].map(full::config)
}

fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

fn from_json<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A configuration that passes every check.
fn sound() -> DomainConfig {
    DomainConfig::pvh("sound")
        .uuid(Uuid::from_u128(1))
        .kernel("/boot/vmlinuz")
        .memory_mib(128)
}

/// The JSON pointers of every value in `json` that is neither an object nor an array of objects.
fn leaves(json: &Value) -> Vec<String> {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let below = |key: String, value: &Value| {
        leaves(value)
            .into_iter()
            .map(move |leaf| format!("/{key}{leaf}"))
    };
    match json {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| below(escape(key), value))
            .collect(),
        Value::Array(array) if array.iter().any(Value::is_object) => array
            .iter()
            .enumerate()
            .flat_map(|(index, value)| below(index.to_string(), value))
            .collect(),
        _ => vec![String::new()],
    }
}

/// Removes the value at `pointer` from its object and returns the value.
fn take_out(json: &mut Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    json.pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .remove(&key)
        .unwrap()
}

#[test]
fn every_field_survives_json() {
    for config in full_configs() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DomainConfig>(&text).unwrap(), config);
    }
}

#[test]
fn every_field_can_be_absent() {
    for config in full_configs() {
        let all = to_json(&config);
        let pointers = leaves(&all);
        assert!(pointers.len() > 200, "{} leaves", pointers.len());
        for pointer in pointers {
            // Without their counterparts, these have another meaning or none.
            if pointer.contains("/cpuid/") || pointer.starts_with("/c_info/type") {
                continue;
            }
            let mut without = all.clone();
            take_out(&mut without, &pointer);
            let read: DomainConfig = from_json(without.clone());
            assert_ne!(read, config, "{pointer} is not read");
            let written = to_json(&read);
            // Plain numbers are written even if they are 0.
            let zero = written
                .pointer(&pointer)
                .is_none_or(|value| *value == json!(0));
            assert!(
                zero,
                "{pointer} is written as {:?}",
                written.pointer(&pointer)
            );
        }
    }
}

#[test]
fn nothing_is_written_of_a_default() {
    assert_eq!(
        to_json(&DomainConfig::default()),
        json!({ "c_info": { "type": "pv" }, "b_info": { "type.pv": {} } }),
    );
    assert_eq!(to_json(&Disk::default()), json!({}));
    assert_eq!(to_json(&Nic::default()), json!({}));
    assert_eq!(to_json(&Pci::default()), json!({}));
    assert_eq!(to_json(&Vkb::default()), json!({}));
    assert_eq!(
        to_json(&Channel::default()),
        json!({ "connection.unknown": {} })
    );
    assert_eq!(
        to_json(&Usbdev::default()),
        json!({ "type.hostdev": { "hostbus": 0, "hostaddr": 0 } })
    );
}

#[test]
fn typical_configurations_come_back_from_libxl_as_they_were_sent() {
    for (kind, version, golden) in GOLDEN {
        let (_, sent) = typical::all()
            .into_iter()
            .find(|(name, _)| name == kind)
            .unwrap();
        let read: DomainConfig = serde_json::from_str(golden).unwrap();
        assert_eq!(read, sent, "{kind} {version}");
    }
}
