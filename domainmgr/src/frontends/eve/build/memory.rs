//! The memory of a domain.

use super::fields::Result;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::Mode;
use crate::spec::limits;

/// More memory than any host has, in kB, and still far from an overflow.
const MAX_MEMORY_KB: u64 = 1 << 40;

/// Returns the memory at the start, and the maximum, in MiB.
pub(super) fn memories(c: &DomainConfig, mode: Mode) -> Result<(u64, Option<u64>)> {
    let first = memory("Memory", c.memory.0)?
        .ok_or_else(|| FieldError::new("Memory", "expected an integer of kB above 0, found 0"))?;
    let (least, why) = limits::least_memory(mode);
    if first < least {
        return Err(FieldError::new(
            "Memory",
            format!(
                "{} kB, but {} domains need at least {} kB: {why}",
                c.memory.0,
                mode.word(),
                least << 10
            ),
        ));
    }
    let most = memory("MaxMem", c.max_mem.0)?;
    if most.is_some_and(|most| most < first) {
        return Err(FieldError::new(
            "MaxMem",
            format!("{} kB is less than Memory, {} kB", c.max_mem.0, c.memory.0),
        ));
    }
    // libxl refuses this for every domain with PCI devices that is not PV.
    let grows = most.is_some_and(|most| most > first);
    if grows && mode == Mode::Hvm && !c.io_adapter_list.is_empty() {
        return Err(FieldError::new(
            "MaxMem",
            "libxl gives devices to an HVM domain only if it has all of its memory from the start: with IoAdapterList, \
             expected 0, or as much as Memory",
        ));
    }
    Ok((first, most))
}

/// Converts kB to MiB, rounded up; `None` for 0.
fn memory(field: &str, kb: u64) -> Result<Option<u64>> {
    if kb > MAX_MEMORY_KB {
        return Err(FieldError::new(
            field,
            format!("{kb} kB is more than the {MAX_MEMORY_KB} kB any host has"),
        ));
    }
    Ok((kb > 0).then(|| kb.div_ceil(1024)))
}
