//! Shared directories.

use super::ctext::{loose, low_u32, parts, split, trimmed_pair, unsigned};
use super::reader::{Reader, Result};
use crate::config::{P9, P9Type};

const KEY: &str = "p9";

/// Reads the shared directories. `xl` reads them in three ways, depending on the release.
pub(super) fn directories(reader: &Reader<'_>, domain: &str) -> Result<Vec<P9>> {
    let texts = reader.texts(KEY).unwrap_or_default();
    let mut directories = Vec::new();
    let mut before = P9::default();
    for text in &texts {
        let one = if reader.release.has(18) {
            newer(reader, text)?
        } else {
            // An entry inherits missing parameters from the one before.
            before = older(reader, text, before)?;
            before.clone()
        };
        directories.push(complete(reader, one, domain)?);
    }
    Ok(directories)
}

/// Reads an entry up to Xen 4.17: no blanks around names and values, and a part without `=` ends
/// the entry.
fn older(reader: &Reader<'_>, text: &str, mut p9: P9) -> Result<P9> {
    for part in parts(text) {
        let Some((name, value)) = part.split_once('=') else {
            reader.warn(
                KEY,
                format!("{part:?} and the rest are ignored; write name=value"),
            );
            break;
        };
        if !set_common(&mut p9, name, value) {
            return unknown(reader, name);
        }
    }
    Ok(p9)
}

/// Reads an entry since Xen 4.18.
fn newer(reader: &Reader<'_>, text: &str) -> Result<P9> {
    let mut p9 = P9::default();
    let Some(parts) = split(text, &[',']) else {
        return reader.refuse(KEY, "an empty text; write name=value with commas between");
    };
    for part in parts {
        let Some((name, value)) = trimmed_pair(part, '=', true) else {
            return reader.refuse(KEY, format!("{part:?} says nothing; write name=value"));
        };
        if set_common(&mut p9, name, value) {
            continue;
        }
        if !reader.release.has(19) {
            return unknown(reader, name);
        }
        match name {
            "type" => p9.r#type = reader.parse_word::<P9Type>(KEY, "type=", value)?,
            "max-files" => p9.max_files = number(reader, name, value)?,
            "max-open-files" => p9.max_open_files = number(reader, name, value)?,
            "max-space" => p9.max_space = number(reader, name, value)?,
            "auto-delete" => p9.auto_delete = loose(value) != 0,
            _ => return unknown(reader, name),
        }
    }
    Ok(p9)
}

fn set_common(p9: &mut P9, name: &str, value: &str) -> bool {
    let field = match name {
        "security_model" => &mut p9.security_model,
        "path" => &mut p9.path,
        "tag" => &mut p9.tag,
        "backend" => &mut p9.backend_domname,
        _ => return false,
    };
    *field = Some(value.to_owned());
    true
}

fn unknown<T>(reader: &Reader<'_>, name: &str) -> Result<T> {
    let newer = if reader.release.has(19) {
        ", type, max-files, max-open-files, max-space and auto-delete"
    } else {
        ""
    };
    let message = format!("{name:?} is not known; write tag, path, security_model, backend{newer}");
    reader.refuse(KEY, message)
}

fn number(reader: &Reader<'_>, name: &str, value: &str) -> Result<Option<u32>> {
    match unsigned(value, 10).filter(|(number, _)| *number != u64::MAX) {
        Some((number, _)) => Ok(Some(low_u32(number)).filter(|&number| number != 0)),
        None => reader.refuse(KEY, format!("{name}={value}: no number; write one")),
    }
}

/// Checks the required parameters, and fills in the directory that Xen's own server shares by
/// default.
fn complete(reader: &Reader<'_>, mut p9: P9, domain: &str) -> Result<P9> {
    if reader.release.has(19) {
        if p9.r#type == Some(P9Type::Xen9pfsd) && p9.path.is_none() {
            p9.path = Some(format!("{}/guests/{domain}", reader.host.log_dir));
        }
        return Ok(p9);
    }
    if p9.tag.is_none() || p9.path.is_none() || p9.security_model.is_none() {
        return reader.refuse(KEY, "a directory needs tag, path and security_model=none");
    }
    Ok(p9)
}
