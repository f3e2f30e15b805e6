//! virtio devices that a program outside libxl serves.

use super::ctext::loose;
use super::devid::devid;
use super::reader::{Reader, Result};
use crate::config::{Virtio, VirtioTransport};

const KEY: &str = "virtio";

/// Reads the virtio devices.
pub(super) fn devices(reader: &Reader<'_>) -> Result<Vec<Virtio>> {
    let mut all = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut device = Virtio {
            devid: devid(index),
            ..Virtio::default()
        };
        let mut parts = text.split(',').filter(|part| !part.is_empty());
        while let Some(part) = parts.next() {
            let part = part.trim_start_matches(' ');
            let Some((name, value)) = part.split_once('=') else {
                return unknown(reader, part);
            };
            match name {
                "backend" => device.backend_domname = Some(value.to_owned()),
                // A type such as virtio,device1a has a comma of its own.
                "type" if value.starts_with("virtio") => match parts.next() {
                    Some(rest) => device.r#type = Some(format!("{value},{rest}")),
                    None => {
                        let message =
                            format!("type={value} is half a type; write type=virtio,device1a");
                        return reader.refuse(KEY, message);
                    }
                },
                "type" => device.r#type = Some(value.to_owned()),
                "transport" => {
                    device.transport =
                        reader.parse_word::<VirtioTransport>(KEY, "transport=", value)?;
                }
                "grant_usage" => device.grant_usage = Some(loose(value) != 0),
                _ => return unknown(reader, part),
            }
        }
        all.push(device);
    }
    Ok(all)
}

fn unknown<T>(reader: &Reader<'_>, part: &str) -> Result<T> {
    reader.refuse(
        KEY,
        format!("{part:?} is not known; write backend, type, transport, grant_usage"),
    )
}
