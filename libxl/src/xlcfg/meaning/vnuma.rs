//! The NUMA nodes of the guest.

use super::ctext::{low_u32, range, split, trimmed_pair, unsigned};
use super::host::whole_bytes;
use super::reader::{Reader, Result};
use crate::{
    config::{Bitmap, BuildInfo, VnodeInfo},
    xlcfg::file::Value,
};

const KEY: &str = "vnuma";
/// Maximum length of a range of vCPUs: more than any Xen has. `xl` would count them one by one.
const MOST_VCPUS: u64 = 0xffff;

/// Reads the nodes, and returns the number of vCPUs they have together; `None` without nodes.
///
/// The nodes set the limit of memory. `max_vcpus` is the value in the file, or 0.
pub(super) fn read(
    reader: &Reader<'_>,
    b_info: &mut BuildInfo,
    max_vcpus: i32,
) -> Result<Option<i32>> {
    let Some(Value::List(list)) = reader.value(KEY) else {
        return Ok(None);
    };
    if list.is_empty() {
        return Ok(None);
    }
    let count = list.len();
    let bits = match u32::try_from(max_vcpus) {
        Ok(0) | Err(_) => reader.host.cpu_bits(),
        Ok(max) => whole_bytes(max),
    };
    let mut total = Total::default();
    for node in list {
        let Value::List(options) = node else {
            return reader.refuse(KEY, "a node that is no list; write [ [ … ], [ … ] ]");
        };
        let mut node = VnodeInfo {
            distances: vec![0; count],
            ..VnodeInfo::default()
        };
        for option in options {
            // Lists within a node are ignored, as by xl.
            if let Value::String(text) = option {
                read_option(reader, &text, bits, &mut node, &mut total)?;
            }
        }
        b_info.vnuma_nodes.push(node);
    }
    if total.placed {
        b_info.numa_placement = Some(false);
    }
    check_memory(reader, b_info, total.memkb)?;
    check_vcpus(reader, max_vcpus, total.vcpus).map(Some)
}

/// Totals of all nodes.
#[derive(Default)]
struct Total {
    vcpus: u64,
    memkb: u64,
    placed: bool,
}

fn read_option(
    reader: &Reader<'_>,
    text: &str,
    bits: u32,
    node: &mut VnodeInfo,
    total: &mut Total,
) -> Result<()> {
    let Some((name, value)) = trimmed_pair(text, '=', reader.release.has(18)) else {
        return reader.refuse(KEY, format!("{text:?} says nothing; write name=value"));
    };
    match name {
        "pnode" => {
            let number = number(reader, value)?;
            let nodes = reader.host.nodes.len();
            if number >= u64::try_from(nodes).unwrap_or(u64::MAX) {
                let message = format!("{text:?}: the host has {nodes} nodes, counted from 0");
                return reader.refuse(KEY, message);
            }
            node.pnode = low_u32(number);
            total.placed = true;
        }
        "size" => {
            let memkb = number(reader, value)?.wrapping_shl(10);
            node.memkb = Some(memkb);
            total.memkb = total.memkb.wrapping_add(memkb);
        }
        "vcpus" => add_vcpus(reader, value, bits, node, total)?,
        "vdistances" => set_distances(reader, value, node)?,
        _ => reader.warn(KEY, format!("{name}: ignored; a node does not have it")),
    }
    Ok(())
}

fn number(reader: &Reader<'_>, text: &str) -> Result<u64> {
    match unsigned(text, 10).filter(|(value, _)| *value != u64::MAX) {
        Some((value, _)) => Ok(value),
        None => reader.refuse(KEY, format!("{text:?} is no number")),
    }
}

fn parts<'a>(reader: &Reader<'_>, text: &'a str) -> Result<Vec<&'a str>> {
    match split(text, &[',']) {
        Some(parts) => Ok(parts),
        None => reader.refuse(KEY, "a list of numbers is empty; write at least one"),
    }
}

fn add_vcpus(
    reader: &Reader<'_>,
    text: &str,
    bits: u32,
    node: &mut VnodeInfo,
    total: &mut Total,
) -> Result<()> {
    let mut vcpus: Bitmap = node.vcpus.iter().collect();
    for part in parts(reader, text)? {
        let (first, last) = match range(part) {
            Some(range) => range,
            // xl does not check whether the range could be read, and goes on with its first number,
            // or 0 if there is none. A descending range is empty.
            None => {
                reader.warn(KEY, format!("{part:?} is no range of vCPUs; write 0-3"));
                let (first, rest) = unsigned(part, 10).unwrap_or((0, ""));
                let last = rest.strip_prefix('-').map(|rest| unsigned(rest, 10));
                match last {
                    Some(last) => (first, last.map_or(0, |(last, _)| last)),
                    None => (first, first),
                }
            }
        };
        if last < first {
            continue;
        }
        if last - first > MOST_VCPUS || last == u64::MAX {
            return reader.refuse(KEY, format!("{part:?} has too many vCPUs"));
        }
        total.vcpus += last - first + 1;
        vcpus.extend(
            (first..=last).filter_map(|vcpu| u32::try_from(vcpu).ok().filter(|&v| v < bits)),
        );
    }
    node.vcpus = vcpus;
    Ok(())
}

fn set_distances(reader: &Reader<'_>, text: &str, node: &mut VnodeInfo) -> Result<()> {
    let nodes = node.distances.len();
    let parts = parts(reader, text)?;
    if parts.len() > nodes {
        return reader.refuse(
            KEY,
            format!(
                "vdistances={text}: {} distances to {nodes} nodes",
                parts.len()
            ),
        );
    }
    for (place, part) in node.distances.iter_mut().zip(parts) {
        *place = low_u32(number(reader, part)?);
    }
    Ok(())
}

fn check_vcpus(reader: &Reader<'_>, max: i32, found: u64) -> Result<i32> {
    let count = i32::try_from(found).unwrap_or(i32::MAX);
    if max == 0 {
        if u64::from(reader.host.online_cpus) < found {
            return reader.refuse(
                KEY,
                format!("{found} vCPUs on a host with fewer CPUs; write maxvcpus = {found} if that is meant"),
            );
        }
        return Ok(count);
    }
    if max != count {
        return reader.refuse(
            "maxvcpus",
            format!("{max}, but the nodes of vnuma have {found} vCPUs; write that"),
        );
    }
    Ok(max)
}

fn check_memory(reader: &Reader<'_>, b_info: &mut BuildInfo, found: u64) -> Result<()> {
    match b_info.max_memkb {
        Some(max) if max != found => reader.refuse(
            "maxmem",
            format!(
                "not the memory of the nodes of vnuma; write {}",
                found >> 10
            ),
        ),
        _ => {
            b_info.max_memkb = Some(found);
            Ok(())
        }
    }
}
