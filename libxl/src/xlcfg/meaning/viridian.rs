//! The Hyper-V interfaces of an HVM guest.

use super::reader::{Reader, Result};
use super::words::Word;
use crate::{
    config::{HvmInfo, ViridianEnlightenment},
    xlcfg::file::Value,
};

const KEY: &str = "viridian";
/// Number of bits in the set of groups (`LIBXL_BUILDINFO_HVM_VIRIDIAN_ENABLE_DISABLE_WIDTH`).
const WIDTH: u32 = 64;

/// Reads the Hyper-V interfaces: yes or no for the default groups, or a list of groups, `defaults`,
/// `all`, and groups with `!` before them, which are left out.
pub(super) fn read(reader: &Reader<'_>, hvm: &mut HvmInfo) -> Result<()> {
    let list = match reader.value(KEY) {
        None => return Ok(()),
        Some(Value::String(_)) => {
            hvm.viridian = reader.flag(KEY);
            return Ok(());
        }
        Some(Value::List(list)) => reader.all_texts(KEY, list)?,
    };
    for text in &list {
        match text.as_str() {
            "all" => hvm.viridian_enable.extend(0..WIDTH),
            "defaults" => hvm.viridian = Some(true),
            _ => one(reader, hvm, text)?,
        }
    }
    Ok(())
}

fn one(reader: &Reader<'_>, hvm: &mut HvmInfo, text: &str) -> Result<()> {
    let (without, name) = match text.strip_prefix('!') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let group = ViridianEnlightenment::parse(name).flatten();
    let Some(bit) = group.and_then(|group| group.bit()) else {
        let message = format!(
            "{text:?} is not known; write all, defaults, or with or without ! one of {}",
            ViridianEnlightenment::known()
        );
        return reader.refuse(KEY, message);
    };
    let (set, other) = (&mut hvm.viridian_enable, &mut hvm.viridian_disable);
    let (set, other) = if without { (other, set) } else { (set, other) };
    set.insert(bit);
    other.remove(bit);
    Ok(())
}
