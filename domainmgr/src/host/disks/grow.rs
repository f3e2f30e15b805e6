//! Makes a disk larger, never smaller: the bytes that would be cut off may be somebody's data.

use std::fs::File;

use super::bytes::{length, read_at};
use super::qcow2::Header;
use crate::spec::Format;

/// Enlarges a disk to at least `least` bytes, rounded up to whole sectors.
pub(super) fn grow(file: &File, format: Format, least: u64) -> Result<(), String> {
    let least = least
        .checked_next_multiple_of(512)
        .ok_or_else(|| format!("{least} bytes are more than a disk can have"))?;
    if least == 0 {
        return Ok(());
    }
    match format {
        Format::Raw => {
            let now = length(file)?;
            if now >= least {
                return Ok(());
            }
            let found = file.metadata().map_err(|e| e.to_string())?;
            if !found.is_file() {
                return Err(format!(
                    "the device has {now} bytes, and cannot be made larger from here"
                ));
            }
            file.set_len(least).map_err(|e| e.to_string())?;
            file.sync_all().map_err(|e| e.to_string())
        }
        Format::Qcow2 => {
            let header = Header::read(file)?;
            if header.size >= least {
                return Ok(());
            }
            header.grow(file, least)
        }
        Format::Qcow | Format::Vhd => {
            let now = fixed_size(file, format)?;
            if now >= least {
                return Ok(());
            }
            Err(format!(
                "the disk has {now} bytes, and one of the format {:?} is not made larger by this version: enlarge the image",
                format.word()
            ))
        }
    }
}

/// Returns the size that the guest sees, in bytes, from the header of a format that is never changed.
fn fixed_size(file: &File, format: Format) -> Result<u64, String> {
    let at = match format {
        Format::Vhd => length(file)?.saturating_sub(512) + 48,
        _ => 24,
    };
    read_at(file, at)
        .map(u64::from_be_bytes)
        .map_err(|e| e.to_string())
}
