//! Ports, interrupts and memory of the host's devices.

use super::ctext::{low_u32, unsigned};
use super::reader::{Reader, Result};
use crate::config::{BuildInfo, IomemRange, IoportRange};

/// Reads the ports, interrupts and memory of the host's devices.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    for text in reader.only_texts("ioports")?.unwrap_or_default() {
        b_info.ioports.push(ports(reader, &text)?);
    }
    for text in reader.only_texts("irqs")?.unwrap_or_default() {
        b_info.irqs.push(interrupt(reader, &text)?);
    }
    for text in reader.only_texts("iomem")?.unwrap_or_default() {
        b_info.iomem.push(memory(reader, &text)?);
    }
    Ok(())
}

/// Parses a range of ports: `3f8` or `3f8-3ff`, hexadecimal.
fn ports(reader: &Reader<'_>, text: &str) -> Result<IoportRange> {
    const KEY: &str = "ioports";
    let wrong = || format!("{text:?} is no range of ports; write \"3f8-3ff\", hexadecimal");
    let number = |text| unsigned(text, 16).filter(|(value, _)| *value < u32::MAX.into());
    let Some((first, rest)) = number(text) else {
        return reader.refuse(KEY, wrong());
    };
    let last = match rest.strip_prefix('-') {
        Some(after) => match number(after) {
            Some((last, "")) => last,
            _ => return reader.refuse(KEY, wrong()),
        },
        None => {
            if !rest.is_empty() {
                // xl reports this mistake, and goes on.
                reader.warn(KEY, format!("{rest:?} is ignored in {text:?}"));
            }
            first
        }
    };
    let (first, last) = (low_u32(first), low_u32(last));
    if last < first {
        // xl does not notice, and computes the number of ports in 32 bits.
        reader.warn(
            KEY,
            format!("{text:?} descends; write the smaller one first"),
        );
    }
    Ok(IoportRange {
        first,
        number: last.wrapping_sub(first).wrapping_add(1),
    })
}

/// Parses the number of an interrupt, decimal.
fn interrupt(reader: &Reader<'_>, text: &str) -> Result<u32> {
    match unsigned(text, 10) {
        Some((number, "")) if number < u32::MAX.into() => Ok(low_u32(number)),
        _ => reader.refuse("irqs", format!("{text:?} is no interrupt; write a number")),
    }
}

/// Parses frames: `start,number` or `start,number@frame of the guest`, hexadecimal.
fn memory(reader: &Reader<'_>, text: &str) -> Result<IomemRange> {
    let parsed = || {
        let (start, rest) = unsigned(text, 16)?;
        let (number, rest) = unsigned(rest.strip_prefix(',')?, 16)?;
        let gfn = match rest.strip_prefix('@') {
            Some(rest) => Some(unsigned(rest, 16).filter(|(_, rest)| rest.is_empty())?.0),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(IomemRange {
            start,
            number,
            // All ones is libxl's "the same as in the host".
            gfn: gfn.filter(|&gfn| gfn != u64::MAX),
        })
    };
    match parsed() {
        Some(range) => Ok(range),
        None => reader.refuse(
            "iomem",
            format!(
                "{text:?} is no memory; write \"a0,20\" or \"a0,20@100\", frames in hexadecimal"
            ),
        ),
    }
}
