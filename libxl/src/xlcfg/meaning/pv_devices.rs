//! Virtual TPMs, sockets of other domains, paravirtual displays.

use super::ctext::{loose, low_u32, pair, parts, split, unsigned};
use super::devid::devid;
use super::domain::parse_uuid;
use super::reader::{Reader, Result};
use crate::config::{ConnectorParam, Pvcallsif, Vdispl, Vtpm};

/// Reads the virtual TPMs, which need a backend.
pub(super) fn vtpms(reader: &Reader<'_>) -> Result<Vec<Vtpm>> {
    const KEY: &str = "vtpm";
    let mut all = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut vtpm = Vtpm {
            devid: devid(index),
            ..Vtpm::default()
        };
        for (name, value) in named(reader, KEY, text) {
            match name {
                "backend" => vtpm.backend_domname = Some(value.to_owned()),
                "uuid" => match parse_uuid(value) {
                    Some(uuid) => vtpm.uuid = Some(uuid).filter(|uuid| !uuid.is_nil()),
                    None => return reader.refuse(KEY, format!("uuid={value}: no UUID")),
                },
                _ => {
                    let message = format!("{name:?} is not known; write backend and uuid");
                    return reader.refuse(KEY, message);
                }
            }
        }
        if vtpm.backend_domname.is_none() {
            return reader.refuse(KEY, "backend is missing; write backend=domain");
        }
        all.push(vtpm);
    }
    Ok(all)
}

/// Reads the sockets of other domains.
pub(super) fn sockets(reader: &Reader<'_>) -> Result<Vec<Pvcallsif>> {
    const KEY: &str = "pvcalls";
    let mut all = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut sockets = Pvcallsif {
            devid: devid(index),
            ..Pvcallsif::default()
        };
        for (name, value) in named(reader, KEY, text) {
            if name != "backend" {
                return reader.refuse(KEY, format!("{name:?} is not known; write backend"));
            }
            sockets.backend_domname = Some(value.to_owned());
        }
        all.push(sockets);
    }
    Ok(all)
}

/// Returns names and values, up to the first part without `=`.
fn named<'a>(reader: &Reader<'_>, key: &str, text: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut all = Vec::new();
    for part in parts(text) {
        match part.split_once('=') {
            Some(pair) => all.push(pair),
            None => {
                reader.warn(
                    key,
                    format!("{part:?} and the rest are ignored; write name=value"),
                );
                break;
            }
        }
    }
    all
}

const DISPLAY: &str = "vdispl";

/// Reads the paravirtual displays.
pub(super) fn displays(reader: &Reader<'_>) -> Result<Vec<Vdispl>> {
    let mut all = Vec::new();
    for (index, text) in reader.texts(DISPLAY).unwrap_or_default().iter().enumerate() {
        let mut display = Vdispl {
            devid: devid(index),
            ..Vdispl::default()
        };
        for part in parts(text) {
            match part.split_once('=') {
                Some(("backend", value)) => display.backend_domname = Some(value.to_owned()),
                Some(("be-alloc", value)) => display.be_alloc = loose(value) != 0,
                Some(("connectors", value)) => display.connectors = connectors(reader, value)?,
                _ => {
                    return reader.refuse(
                        DISPLAY,
                        format!("{part:?} is not known; write backend, be-alloc, connectors"),
                    );
                }
            }
        }
        if display.connectors.is_empty() {
            return reader.refuse(DISPLAY, "no connectors; write connectors=id:1024x768");
        }
        all.push(display);
    }
    Ok(all)
}

/// Parses connectors with semicolons between them, `id:widthxheight` each.
fn connectors(reader: &Reader<'_>, text: &str) -> Result<Vec<ConnectorParam>> {
    let wrong = |part: &str| format!("{part:?} is no connector; write id:1024x768");
    let Some(parts) = split(text, &[';']) else {
        return reader.refuse(DISPLAY, wrong(text));
    };
    let mut all: Vec<ConnectorParam> = Vec::new();
    for part in &parts {
        let Some((id, resolution)) = pair(part, ':', reader.release.has(18)) else {
            return reader.refuse(DISPLAY, wrong(part));
        };
        let width = unsigned(resolution, 10);
        let height = width.and_then(|(_, rest)| unsigned(rest.strip_prefix('x')?, 10));
        let connector = |width: u64, height: u64| ConnectorParam {
            unique_id: Some(id.to_owned()),
            width: low_u32(width),
            height: low_u32(height),
        };
        match (width, height) {
            (Some((width, _)), Some((height, _))) => all.push(connector(width, height)),
            // xl accepts a resolution without any number, leaves it and the connectors that follow
            // empty, and goes on.
            (None, _) if !resolution.trim().is_empty() => {
                reader.warn(DISPLAY, wrong(part));
                all.push(connector(0, 0));
                all.resize(parts.len(), ConnectorParam::default());
                break;
            }
            _ => return reader.refuse(DISPLAY, wrong(part)),
        }
    }
    Ok(all)
}
