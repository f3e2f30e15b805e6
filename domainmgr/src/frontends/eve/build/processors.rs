//! The processors of a domain, and those of the host that it may use.

use std::collections::BTreeSet;

use super::fields::Result;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::Mode;
use crate::spec::limits;

/// The most numbers and ranges, as many as there can be processors: a file full of ranges would keep the agent busy.
const MAX_CPU_PARTS: usize = 4096;

/// Returns the number of virtual processors at the start, and the maximum.
pub(super) fn processors(c: &DomainConfig, mode: Mode) -> Result<(u32, u32)> {
    let first = c.vcpus.max(1);
    let most = if c.max_cpus == 0 { first } else { c.max_cpus };
    if most < first {
        return Err(FieldError::new(
            "MaxCpus",
            format!("{most} is less than VCpus, {first}"),
        ));
    }
    let limit = limits::vcpus(mode);
    if most > limit {
        let field = if c.max_cpus == 0 { "VCpus" } else { "MaxCpus" };
        return Err(FieldError::new(
            field,
            format!(
                "{most} is more than the {limit} of a {} domain",
                mode.word()
            ),
        ));
    }
    Ok((first, most))
}

/// Reads `0-2,5`. xl's `^` for "not" is not accepted: EVE never writes it.
pub(super) fn cpus(text: &str) -> Result<Vec<u32>> {
    let parts = text.split(',').count();
    if parts > MAX_CPU_PARTS {
        return Err(FieldError::new(
            "CPUs",
            format!("{parts} numbers and ranges, at most {MAX_CPU_PARTS}"),
        ));
    }
    let bad = |part: &str| {
        FieldError::new(
            "CPUs",
            format!("expected numbers below 4096 like \"1,2\" or \"0-3\", found {part:?}"),
        )
    };
    let mut cpus = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |s: &str| s.trim().parse::<u32>().ok().filter(|n| *n < 4096);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => cpus.extend(first..=last),
            _ => return Err(bad(part)),
        }
    }
    if cpus.is_empty() && !text.trim().is_empty() {
        return Err(bad(text));
    }
    Ok(cpus.into_iter().collect())
}
