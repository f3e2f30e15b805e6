//! Texts of the SMBIOS tables.

use super::reader::{Reader, Result};
use crate::config::{Smbios, SmbiosType};

const KEY: &str = "smbios";
/// Number of `oem` texts that the tables have room for.
const MOST_OEM: usize = 99;

/// Reads the texts of the SMBIOS tables, `name=text` each.
pub(super) fn read(reader: &Reader<'_>) -> Result<Vec<Smbios>> {
    let mut texts = Vec::new();
    let mut oem = 0;
    if reader.quiet_text(KEY).is_some() {
        return reader.refuse(KEY, "a single value; write a list: [ \"name=text\" ]");
    }
    for item in reader.only_texts(KEY)?.unwrap_or_default() {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) if !value.is_empty() => (name, value),
            _ => return reader.refuse(KEY, format!("{item:?} says nothing; write name=text")),
        };
        let name = reader.parse_word::<SmbiosType>(KEY, "", name)?;
        if name == Some(SmbiosType::Oem) {
            oem += 1;
            if oem > MOST_OEM {
                return reader.refuse(KEY, "more than 99 texts with oem");
            }
        }
        texts.push(Smbios {
            key: name,
            value: Some(value.to_owned()),
        });
    }
    Ok(texts)
}
