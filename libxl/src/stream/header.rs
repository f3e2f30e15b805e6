//! The header before the stream of a saved domain.
//!
//! The format is that of `xl` (tools/xl/xl.h, `struct save_file_header`), so that its files can be
//! read here and ours there.

use std::os::fd::AsFd;

use serde_json::Value;

use super::wire::{read_exact, write_all};
use crate::{DomainConfig, Error, ErrorKind, Limits, Result, config::lost_fields, limits::Clock};

const MAGIC: &[u8; 32] = b"Xen saved domain, xl format\n \0 \r";
/// Marker of the byte order of the numbers that follow.
const BYTE_ORDER: u32 = 0x0102_0304;
/// Flag: the configuration is libxl's JSON, and not the text of an xl.cfg.
const JSON: u32 = 1 << 0;
/// Flag: the stream that follows is of the second version, which came with Xen 4.6.
const STREAM_V2: u32 = 1 << 1;
/// Size of the fixed part in bytes: the magic and four numbers.
const FIXED: usize = MAGIC.len() + 4 * 4;
/// Maximum size of the rest of the header, in bytes: more than any configuration takes, and little
/// enough to be read from anybody.
const MOST: u32 = 16 << 20;

const FUNCTION: &str = "save header";

/// Header before the memory of a saved domain: the configuration to restore it with.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedHeader {
    /// Configuration of the domain when it was saved. Before the restore the name and the devices
    /// may be changed, but not what the guest knows about itself.
    pub config: DomainConfig,
}

impl SavedHeader {
    /// Reads the header from the start of a file, a pipe or a socket.
    ///
    /// The rest is left there for
    /// [`Context::domain_create_restore`](crate::Context::domain_create_restore).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the input is not such a header, [`ErrorKind::Unsupported`] if this
    /// crate cannot restore its contents, [`ErrorKind::Io`], and those of the limits.
    pub fn read(from: impl AsFd, limits: &Limits) -> Result<Self> {
        Self::read_within(from, &Clock::start(limits))
    }

    pub(crate) fn read_within(from: impl AsFd, clock: &Clock) -> Result<Self> {
        let mut fixed = [0; FIXED];
        read_exact(FUNCTION, from.as_fd(), &mut fixed, "the header", clock)?;
        let mut optional = vec![0; optional_size(&fixed)?];
        read_exact(
            FUNCTION,
            from.as_fd(),
            &mut optional,
            "the configuration",
            clock,
        )?;
        Ok(Self {
            config: config(&optional)?,
        })
    }

    pub(crate) fn write_within(&self, to: impl AsFd, clock: &Clock) -> Result<()> {
        let bytes = self.encode()?;
        write_all(FUNCTION, to.as_fd(), &bytes, "the header", clock).map_err(|e| e.error)
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, FUNCTION).with_message(text);
        let json = serde_json::to_string(&self.config).map_err(|e| invalid(e.to_string()))?;
        // The JSON with its NUL; its size comes before it.
        let size = u32::try_from(json.len() + 1)
            .ok()
            .filter(|size| *size < MOST - 4)
            .ok_or_else(|| invalid("the configuration is too big".into()))?;
        let mut bytes = Vec::with_capacity(FIXED + 4 + json.len() + 1);
        bytes.extend_from_slice(MAGIC);
        for number in [BYTE_ORDER, JSON | STREAM_V2, 0, size + 4, size] {
            bytes.extend_from_slice(&number.to_ne_bytes());
        }
        bytes.extend_from_slice(json.as_bytes());
        bytes.push(0);
        Ok(bytes)
    }
}

/// Checks the fixed part, and returns the size of the part that follows, in bytes.
fn optional_size(fixed: &[u8; FIXED]) -> Result<usize> {
    let invalid = |text: &str| Err(Error::new(ErrorKind::Invalid, FUNCTION).with_message(text));
    let unsupported =
        |text: String| Err(Error::new(ErrorKind::Unsupported, FUNCTION).with_message(text));
    let (magic, numbers) = fixed.split_at(MAGIC.len());
    if magic != MAGIC {
        return invalid("not a saved domain: it does not begin as one");
    }
    let number = |index: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&numbers[4 * index..4 * index + 4]);
        u32::from_ne_bytes(bytes)
    };
    let (order, mandatory, size) = (number(0), number(1), number(3));
    if order == BYTE_ORDER.swap_bytes() {
        return unsupported("saved on a machine with the other byte order".into());
    }
    if order != BYTE_ORDER {
        return invalid("not a saved domain: the byte order mark is wrong");
    }
    let unknown = mandatory & !(JSON | STREAM_V2);
    if unknown != 0 {
        return unsupported(format!(
            "saved by a newer toolstack: the flags {unknown:#x} are not known"
        ));
    }
    if mandatory & STREAM_V2 == 0 {
        return unsupported("saved by a Xen before 4.6".into());
    }
    if mandatory & JSON == 0 {
        return unsupported("the configuration in it is not JSON but an xl.cfg".into());
    }
    if !(4..=MOST).contains(&size) {
        return invalid("there is no configuration in it");
    }
    usize::try_from(size).or_else(|_| invalid("there is no configuration in it"))
}

/// Reads the configuration in the part that follows the fixed one.
fn config(optional: &[u8]) -> Result<DomainConfig> {
    let invalid = |text: String| Error::new(ErrorKind::Invalid, FUNCTION).with_message(text);
    let (size, rest) = optional
        .split_first_chunk::<4>()
        .ok_or_else(|| invalid("there is no configuration in it".into()))?;
    let json = usize::try_from(u32::from_ne_bytes(*size))
        .ok()
        .and_then(|size| rest.get(..size))
        .ok_or_else(|| invalid("the configuration in it is cut off".into()))?;
    let json = json.split(|byte| *byte == 0).next().unwrap_or_default();
    let sent: Value = serde_json::from_slice(json)
        .map_err(|e| invalid(format!("the configuration in it is not JSON: {e}")))?;
    let config: DomainConfig = serde_json::from_value(sent.clone())
        .map_err(|e| invalid(format!("the configuration in it: {e}")))?;
    let kept = serde_json::to_value(&config).map_err(|e| invalid(e.to_string()))?;
    let lost = lost_fields(&sent, &kept);
    if lost.is_empty() {
        Ok(config)
    } else {
        Err(
            Error::new(ErrorKind::Unsupported, FUNCTION).with_message(format!(
                "saved by a newer Xen: there is no place for {}",
                lost.join(", ")
            )),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Seek, Write},
        time::Duration,
    };

    use super::{BYTE_ORDER, DomainConfig, ErrorKind, FIXED, Limits, SavedHeader};

    fn header() -> SavedHeader {
        SavedHeader {
            config: DomainConfig::pvh("saved")
                .kernel("/boot/kernel")
                .memory_mib(64),
        }
    }

    fn read(bytes: &[u8]) -> crate::Result<SavedHeader> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        SavedHeader::read(&file, &Limits::none().deadline(Duration::from_secs(60)))
    }

    /// The header with its `index`th number replaced.
    fn with_number(index: usize, number: u32) -> Vec<u8> {
        let mut bytes = header().encode().unwrap();
        bytes[32 + 4 * index..36 + 4 * index].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    #[test]
    fn what_is_written_can_be_read() {
        let written = header();
        let bytes = written.encode().unwrap();
        assert_eq!(bytes.last(), Some(&0), "xl expects the NUL");
        assert_eq!(read(&bytes).unwrap(), written);
    }

    #[test]
    fn the_stream_behind_it_is_left_alone() {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = header().encode().unwrap();
        let size = u64::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(b"stream");
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        SavedHeader::read(&file, &Limits::none()).unwrap();
        assert_eq!(file.stream_position().unwrap(), size);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let whole = header().encode().unwrap();
        for (bytes, kind, text) in [
            (vec![0; FIXED], ErrorKind::Invalid, "does not begin as one"),
            (
                whole[..20].to_vec(),
                ErrorKind::Io,
                "ends within the header",
            ),
            (
                whole[..60].to_vec(),
                ErrorKind::Io,
                "ends within the configuration",
            ),
            (
                with_number(0, BYTE_ORDER.swap_bytes()),
                ErrorKind::Unsupported,
                "byte order",
            ),
            (with_number(0, 7), ErrorKind::Invalid, "byte order mark"),
            (with_number(1, 7), ErrorKind::Unsupported, "flags 0x4"),
            (with_number(1, 1), ErrorKind::Unsupported, "before 4.6"),
            (with_number(1, 2), ErrorKind::Unsupported, "xl.cfg"),
            (with_number(3, 0), ErrorKind::Invalid, "no configuration"),
            (
                with_number(3, u32::MAX),
                ErrorKind::Invalid,
                "no configuration",
            ),
            (with_number(4, 1 << 20), ErrorKind::Invalid, "cut off"),
            (with_number(4, 0), ErrorKind::Invalid, "not JSON"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_field_from_the_future_is_named() {
        let mut bytes = header().encode().unwrap();
        let word = b"\"kernel\"";
        let at = bytes.windows(word.len()).position(|w| w == word).unwrap();
        // A word of the same length, so that the sizes stay right.
        bytes[at..at + word.len()].copy_from_slice(b"\"kernem\"");
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("kernem"), "{error}");
    }
}
