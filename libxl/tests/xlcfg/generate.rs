//! Files of random keys, with values that fit and values that do not.

use libxl::xlcfg::{KEYS, Value, XlConfig};
use proptest::{prelude::*, sample::select};

use super::corpus::corpus;

/// Keys that get values of the corpus only: `xl` reads a nonsense value beyond its end, or counts
/// to it for minutes.
const DELICATE: &[&str] = &[
    "bootloader_args",
    "cpus",
    "cpus_soft",
    "maxvcpus",
    "rdm",
    "vcpus",
    "vdispl",
    "vif",
    "virtio",
    "vnuma",
    "vsnd",
];

/// Text of a file: a kind of guest, and up to `most` assignments.
pub(crate) fn files(most: usize) -> impl Strategy<Value = String> {
    let kind = select(vec![
        "type = 'pv'\nkernel = '/boot/vmlinuz'\n",
        "type = 'pvh'\nkernel = '/boot/vmlinuz'\n",
        "type = 'hvm'\n",
        "kernel = '/boot/vmlinuz'\n",
        "",
    ]);
    let lines = prop::collection::vec(assignment(), 0..=most);
    (kind, lines).prop_map(|(kind, lines)| format!("name = 'random'\n{kind}{}", lines.concat()))
}

fn assignment() -> impl Strategy<Value = String> {
    let seen = harvest();
    let names: Vec<&'static str> = KEYS
        .iter()
        .map(|key| key.name)
        .filter(|name| !DELICATE.contains(name))
        .collect();
    let wild = (select(names), value()).prop_map(|(name, value)| format!("{name} = {value}\n"));
    prop_oneof![3 => select(seen), 1 => wild]
}

/// The assignments of the corpus.
fn harvest() -> Vec<String> {
    let mut seen = Vec::new();
    for case in corpus().filter(|case| !case.outcome_differs && case.differs.is_empty()) {
        let Ok(file) = XlConfig::parse(case.text, case.name) else {
            continue;
        };
        for key in file.keys() {
            if ["name", "type", "kernel"].contains(&key) {
                continue;
            }
            let value = match file.list(key) {
                Ok(Some(list)) => Value::List(list),
                _ => match file.string(key) {
                    Ok(Some(text)) => Value::String(text),
                    _ => continue,
                },
            };
            seen.push(format!("{key} = {}\n", written(&value)));
        }
    }
    seen.sort();
    seen.dedup();
    seen
}

/// A value, as written in a file.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{}\"", escaped.replace('\n', "\\n"))
        }
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(written).collect();
            format!("[ {} ]", items.join(", "))
        }
    }
}

/// Numbers stay within 31 bits: in fields without a sign, C prints larger ones as negative.
fn value() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        select(vec![
            "",
            " ",
            "0",
            "1",
            "2",
            "7",
            "255",
            "256",
            "4096",
            "65536",
            "2147483647",
            "4294967296",
            "0x10",
            "1x",
            "all",
            "none",
            "default",
            "host",
            "yes",
            "a=b",
            "a=",
            "=b",
            "a,b",
            ",",
            "/dev/x,raw,xvda,rw",
            "type=pv",
            "0-3",
            "3-0",
            "^1",
            "backend=dom0",
            "x:1x1",
        ])
        .prop_map(str::to_owned),
        "[a-z=,:@./][a-z0-9=,:@./-]{0,11}",
    ]
    .prop_map(|word| format!("\"{word}\""));
    let list = prop::collection::vec(word.clone(), 0..4)
        .prop_map(|items| format!("[ {} ]", items.join(", ")));
    prop_oneof![4 => word, 2 => list, 1 => (0..100_000_u32).prop_map(|n| n.to_string())]
}
