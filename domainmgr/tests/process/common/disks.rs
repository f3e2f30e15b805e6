//! Images, and the copies that the agent makes of them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Host;

pub const HASH: &str = "0123456789abcdefabcdef";
/// A copy rate so slow that there is time to do something meanwhile.
pub const SLOWLY: [&str; 2] = ["--simulate-copy-rate", "4000000"];
/// Size of an image that takes ten seconds to copy at that rate, in bytes.
pub const LARGE: usize = 40_000_000;

/// Returns an empty qcow2 disk as far as it is looked at, with changes (place and value), in so many bytes.
pub fn qcow2(changes: &[(usize, u32)], length: usize) -> Vec<u8> {
    let mut image = vec![0; length];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    let sound = [
        (20, 16),
        (28, 1 << 20),
        (36, 1),
        (44, 3 << 16),
        (52, 1 << 16),
        (56, 1),
        (96, 4),
        (100, 104),
    ];
    for (at, value) in sound.iter().chain(changes) {
        image[*at..at + 4].copy_from_slice(&u32::to_be_bytes(*value));
    }
    image
}

/// Returns content that begins with `text`, padded to the minimum size of a disk.
pub fn sector(text: &[u8]) -> Vec<u8> {
    let mut sector = text.to_vec();
    sector.resize(text.len().max(512), 0);
    sector
}

pub fn image(host: &Host, hash: &str, content: &[u8]) -> PathBuf {
    let dir = host.path("run/verified").join(hash);
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("disk.img");
    fs::write(&path, sector(content)).unwrap();
    path
}

pub fn disks(changes: &Value) -> Value {
    let mut disk = json!({"ImageSha256": HASH, "ReadOnly": false, "Preserve": false, "Maxsizebytes": 0,
        "Format": "raw", "Devtype": ""});
    for (name, value) in changes.as_object().unwrap() {
        disk[name] = value.clone();
    }
    json!({"DiskConfigList": [disk]})
}

pub fn with(mut config: Value, name: &str, value: Value) -> Value {
    config[name] = value;
    config
}

pub fn copy(host: &Host, key: &str) -> PathBuf {
    host.path(&format!("run/img/{HASH}-{key}.raw"))
}

pub fn copies(host: &Host) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(host.path("run/img"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits until a copy is under way.
pub fn wait_copying(host: &Host, key: &str) -> Value {
    host.wait(key, "a copy under way", |s| {
        s["StateReason"]
            .as_str()
            .unwrap()
            .starts_with("copying the image of disk 0: ")
    })
}
