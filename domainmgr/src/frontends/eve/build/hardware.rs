//! Adapters, interrupts and pages of the host.

use super::fields::Result;
use super::texts::plain;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::IoAdapter;
use crate::spec::{Adapter, IoMem};

/// The last page of 4 KiB: a physical address of x86 has at most 52 bits.
const MAX_PAGE: u64 = (1 << 40) - 1;

/// Checks the number of an interrupt. No host has 1024 or more, and Xen keeps number 0, that of its timer.
pub(super) fn interrupt(i: usize, irq: u32) -> Result<u32> {
    if (1..1024).contains(&irq) {
        return Ok(irq);
    }
    Err(FieldError::new(
        format!("IRQs[{i}]"),
        format!("expected a number above 0 and below 1024, found {irq}"),
    ))
}

/// Reads `START,COUNT`, both hexadecimal.
pub(super) fn io_mem(field: &str, text: &str) -> Result<IoMem> {
    let hex = |s: &str| {
        let s = s.trim();
        let digits = s
            .strip_prefix("0x")
            .or_else(|| s.strip_prefix("0X"))
            .unwrap_or(s);
        u64::from_str_radix(digits, 16)
            .ok()
            .filter(|n| *n <= MAX_PAGE)
    };
    text.split_once(',')
        .and_then(|(start, count)| Some((hex(start)?, hex(count)?)))
        // The last page has a number as well.
        .filter(|&(start, count)| count > 0 && count - 1 <= MAX_PAGE - start)
        .map(|(start, count)| IoMem { start, count })
        .ok_or_else(|| {
            FieldError::new(
                field,
                format!("expected START,COUNT in hexadecimal pages, found {text:?}"),
            )
        })
}

pub(super) fn adapter(i: usize, adapter: &IoAdapter) -> Result<Adapter> {
    let field = format!("IoAdapterList[{i}].Name");
    plain(&field, &adapter.name)?;
    if adapter.name.is_empty() {
        return Err(FieldError::new(field, "missing"));
    }
    Ok(Adapter {
        kind: adapter.r#type,
        name: adapter.name.clone(),
    })
}
