//! Channels: consoles with a name.

use super::ctext::{split, trimmed_pair};
use super::devid::devid;
use super::reader::{Reader, Result};
use crate::config::{Channel, ChannelConnection};

const KEY: &str = "channel";

/// Reads the channels. Up to Xen 4.17 `xl` numbers them; since then libxl does.
pub(super) fn channels(reader: &Reader<'_>) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut channel = channel(reader, text)?;
        if !reader.release.has(18) {
            channel.devid = devid(index);
        }
        channels.push(channel);
    }
    Ok(channels)
}

fn channel(reader: &Reader<'_>, text: &str) -> Result<Channel> {
    let mut channel = Channel::default();
    let mut path = None;
    let Some(parts) = split(text, &[',']) else {
        return reader.refuse(KEY, "an empty text; write name=value with commas between");
    };
    for part in parts {
        let Some((name, value)) = trimmed_pair(part, '=', reader.release.has(18)) else {
            return reader.refuse(KEY, format!("{part:?} says nothing; write name=value"));
        };
        match name {
            "backend" => channel.backend_domname = Some(value.to_owned()),
            "name" => channel.name = Some(value.to_owned()),
            "path" => path = Some(value.to_owned()),
            "connection" => {
                channel.connection = match value {
                    "pty" => ChannelConnection::Pty {},
                    "socket" => ChannelConnection::Socket { path: None },
                    _ => {
                        let message = format!("connection={value}: write pty or socket");
                        return reader.refuse(KEY, message);
                    }
                }
            }
            _ => reader.warn(KEY, format!("{name}: ignored; a channel does not have it")),
        }
    }
    match &mut channel.connection {
        ChannelConnection::Unknown {} => {
            reader.refuse(KEY, "connection is missing; write connection=pty or socket")
        }
        ChannelConnection::Socket { .. } if path.is_none() => {
            reader.refuse(KEY, "connection=socket needs a path; write path=…")
        }
        ChannelConnection::Socket { path: place } => {
            *place = path;
            Ok(channel)
        }
        ChannelConnection::Pty {} => Ok(channel),
    }
}
