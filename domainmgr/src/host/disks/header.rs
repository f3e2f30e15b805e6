//! The format of a file, according to its header.

use std::fs::File;
use std::io;

use super::bytes::{length, read_at};
use super::qcow2::{self, BACKING, ENCRYPTED};
use crate::spec::Format;

/// Checks that a file has this format and needs no other file: an image that names another file would open that file to
/// the guest.
pub(super) fn check(file: &File, wanted: Format) -> Result<(), String> {
    let found = sniff(file).map_err(|e| e.to_string())?;
    let what = found.map_or("raw", Kind::word);
    match (wanted, found) {
        (Format::Raw, None) => Ok(()),
        (Format::Qcow, Some(Kind::Qcow)) => qcow(file),
        (Format::Qcow2, Some(Kind::Qcow2)) => qcow2::Header::read(file)?.check(length(file)?),
        (Format::Vhd, Some(Kind::Vhd)) => vhd(file),
        _ => Err(format!(
            "expected the format {:?}, found by its header: {what:?}",
            wanted.word()
        )),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Qcow,
    Qcow2,
    Vhd,
    Vhdx,
    Vmdk,
    Qed,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Qcow => "qcow",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::Qed => "qed",
        }
    }
}

fn sniff(file: &File) -> io::Result<Option<Kind>> {
    let start: [u8; 8] = read_at(file, 0)?;
    let kind = match &start {
        [b'Q', b'F', b'I', 0xfb, 0, 0, 0, 1] => Some(Kind::Qcow),
        [b'Q', b'F', b'I', 0xfb, ..] => Some(Kind::Qcow2),
        b"conectix" => Some(Kind::Vhd),
        b"vhdxfile" => Some(Kind::Vhdx),
        [b'K', b'D', b'M', b'V', ..] | [b'C', b'O', b'W', b'D', ..] => Some(Kind::Vmdk),
        [b'Q', b'E', b'D', 0, ..] => Some(Kind::Qed),
        _ => None,
    };
    if kind.is_some() {
        return Ok(kind);
    }
    // A VHD of fixed size is a raw disk with a footer.
    let size = length(file).map_err(io::Error::other)?;
    let end: [u8; 8] = read_at(file, size.saturating_sub(512))?;
    Ok((size > 512 && &end == b"conectix").then_some(Kind::Vhd))
}

/// Checks an image in QEMU's first format: the position of another file's name is at 8, the kind of encryption at 36.
fn qcow(file: &File) -> Result<(), String> {
    let header: [u8; 48] = read_at(file, 0).map_err(|e| e.to_string())?;
    if header[8..16] != [0; 8] {
        return Err(BACKING.to_owned());
    }
    if header[36..40] != [0; 4] {
        return Err(ENCRYPTED.to_owned());
    }
    Ok(())
}

fn vhd(file: &File) -> Result<(), String> {
    let size = length(file)?;
    let footer: [u8; 64] = read_at(file, size.saturating_sub(512)).map_err(|e| e.to_string())?;
    if &footer[..8] != b"conectix" {
        return Err("the image is cut off: a vhd has a footer".to_owned());
    }
    match footer[60..64] {
        [0, 0, 0, 2 | 3] => Ok(()),
        [0, 0, 0, 4] => Err(BACKING.to_owned()),
        _ => Err("a vhd of an unknown type".to_owned()),
    }
}
