//! vCPUs, the CPUs they run on, and their share of them.

use super::ctext::{low_u32, range, split, unsigned};
use super::reader::{Reader, Result};
use super::vnuma;
use crate::{
    config::{Bitmap, BuildInfo, DomainSchedParams, DomainType},
    xlcfg::file::Value,
};

/// Reads the vCPUs, the CPUs they run on, and their share of them.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    b_info.sched_params = share(reader);
    b_info.llc_colors = colors(reader)?;
    let vcpus = online(reader)?;
    if let Some(vcpus) = vcpus {
        b_info.avail_vcpus = Bitmap::first(vcpus);
    }
    let vcpus = i64::from(vcpus.unwrap_or(0));
    let mut max = reader.cut_number("maxvcpus").unwrap_or(0);
    if let Some(found) = vnuma::read(reader, b_info, max)? {
        max = found;
    }
    if b_info.max_memkb.is_none() {
        b_info.max_memkb = b_info.target_memkb;
    }
    let max = if max == 0 { vcpus } else { max.into() };
    if max < vcpus {
        let message = format!("{max} is fewer than vcpus, which says {vcpus}; write at least that");
        return reader.refuse("maxvcpus", message);
    }
    let max = few(reader, "maxvcpus", max)?.unwrap_or(0);
    b_info.max_vcpus = (max != 0).then_some(max);
    affinity(reader, b_info, "cpus", max)?;
    affinity(reader, b_info, "cpus_soft", max)
}

/// Reads the share of the CPUs.
fn share(reader: &Reader<'_>) -> DomainSchedParams {
    // All ones is libxl's number for "the scheduler's default".
    let number = |key| reader.cut_number(key).filter(|&number| number != -1);
    DomainSchedParams {
        weight: number("cpu_weight"),
        cap: number("cap"),
        period: number("period"),
        slice: number("slice"),
        latency: number("latency"),
        extratime: number("extratime"),
        ..DomainSchedParams::default()
    }
}

/// Number of vCPUs that are online from the start; `None` leaves it to libxl.
fn online(reader: &Reader<'_>) -> Result<Option<u32>> {
    let number = reader.number("vcpus");
    let number = if reader.release.has(22) {
        Some(number.unwrap_or(1).max(1))
    } else {
        number
    };
    let Some(number) = number else {
        return Ok(None);
    };
    if number < 0 {
        return reader.refuse("vcpus", format!("{number} is no number of vCPUs"));
    }
    few(reader, "vcpus", number)
}

/// Refuses numbers of vCPUs for which a set has no room. `xl` takes larger ones and needs gigabytes
/// for them, but no Xen has as many.
fn few(reader: &Reader<'_>, key: &str, number: i64) -> Result<Option<u32>> {
    match u32::try_from(number) {
        Ok(small) if small <= Bitmap::MAX => Ok(Some(small)),
        _ => reader.refuse(
            key,
            format!("{number} vCPUs are too many; Xen has at most some hundreds"),
        ),
    }
}

/// Reads the CPUs that each vCPU runs on (`cpus`) or prefers (`cpus_soft`): one set for all vCPUs,
/// or a list with a set for each.
fn affinity(reader: &Reader<'_>, b_info: &mut BuildInfo, key: &str, max: u32) -> Result<()> {
    let hard = key == "cpus";
    let sets = match reader.value(key) {
        None => return Ok(()),
        Some(Value::String(text)) => {
            let set = cpu_set(reader, key, &text)?;
            if !hard {
                b_info.numa_placement = Some(false);
            }
            vec![set; usize::try_from(max).unwrap_or(0)]
        }
        Some(Value::List(list)) => {
            // Sets of vCPUs that do not exist are not even read.
            let mut list = list;
            list.truncate(usize::try_from(max).unwrap_or(0));
            b_info.numa_placement = Some(false);
            let texts = reader.all_texts(key, list)?;
            let sets = texts.iter().map(|text| cpu_set(reader, key, text));
            sets.collect::<Result<_>>()?
        }
    };
    if hard {
        b_info.vcpu_hard_affinity = sets;
    } else {
        b_info.vcpu_soft_affinity = sets;
    }
    Ok(())
}

/// Parses a set of CPUs: parts between commas, each of which adds CPUs or, with `^` before it,
/// removes them from the set so far.
///
/// A part is a number, a range, `all`, or `node:` or `nodes:` with one of these.
pub(super) fn cpu_set(reader: &Reader<'_>, key: &str, text: &str) -> Result<Bitmap> {
    let mut set = Bitmap::new();
    for part in split(text, &[',']).unwrap_or_default() {
        add_part(reader, key, part, &mut set)?;
    }
    Ok(set)
}

fn add_part(reader: &Reader<'_>, key: &str, part: &str, set: &mut Bitmap) -> Result<()> {
    let bits = reader.host.cpu_bits();
    let (without, rest) = match part.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, part),
    };
    let nodes = rest
        .strip_prefix("node:")
        .or_else(|| rest.strip_prefix("nodes:"));
    let rest = nodes.unwrap_or(rest);
    if rest == "all" {
        if without {
            return reader.refuse(
                key,
                format!("{part:?} leaves no CPU; write ^ before numbers only"),
            );
        }
        set.extend(0..bits);
        return Ok(());
    }
    let Some((first, last)) = range(rest) else {
        return reader.refuse(
            key,
            format!("{part:?} is no set of CPUs; write numbers, ranges such as 2-5, node:0, all, or ^ before one to leave it out"),
        );
    };
    let cpus: Bitmap = if nodes.is_some() {
        // Nodes that the host does not have are empty.
        let last = last.min(reader.host.max_nodes.into());
        (first..=last)
            .flat_map(|node| reader.host.cpus_of_node(node).iter().collect::<Vec<_>>())
            .collect()
    } else {
        if last >= bits.into() {
            reader.warn(
                key,
                format!("{part:?} goes beyond the CPUs of this host: those are left out"),
            );
        }
        (first..=last.min(u64::from(bits).saturating_sub(1)))
            .filter_map(|cpu| u32::try_from(cpu).ok())
            .collect()
    };
    for cpu in cpus.iter().filter(|&cpu| cpu < bits) {
        if without {
            set.remove(cpu);
        } else {
            set.insert(cpu);
        }
    }
    Ok(())
}

/// Reads the colours of the last level cache: numbers and ranges, in the order given.
fn colors(reader: &Reader<'_>) -> Result<Vec<u32>> {
    const KEY: &str = "llc_colors";
    const MOST: u64 = 1 << 20;
    let mut colors = Vec::new();
    for text in reader.only_texts(KEY)?.unwrap_or_default() {
        let number = |text| unsigned(text, 10);
        let Some((first, rest)) = number(&text) else {
            return reader.refuse(
                KEY,
                format!("{text:?} is no colour; write \"3\" or \"3-5\""),
            );
        };
        let last = rest.strip_prefix('-').and_then(number);
        let last = last.map_or(first, |(last, _)| last);
        // As sscanf(3) stores them.
        let (first, last) = (low_u32(first), low_u32(last));
        if first > last {
            return reader.refuse(
                KEY,
                format!("{text:?} descends; write the smaller one first"),
            );
        }
        let count = u64::from(last - first) + u64::try_from(colors.len()).unwrap_or(MOST);
        if count >= MOST {
            return reader.refuse(KEY, format!("{text:?} has too many colours"));
        }
        colors.extend(first..=last);
    }
    Ok(colors)
}

/// Restricts all vCPUs to the masks of xl's own settings, and checks that each has a CPU.
pub(super) fn apply_masks(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    let conf = reader.xl_conf;
    let of_kind = match b_info.guest.domain_type() {
        DomainType::Pv => &conf.pv_cpumask,
        DomainType::Hvm | DomainType::Pvh => &conf.hvm_cpumask,
    };
    let mut masks = Vec::new();
    for text in [&conf.vm_cpumask, of_kind].into_iter().flatten() {
        masks.push(cpu_set(reader, "cpus", text)?);
    }
    let all = Bitmap::first(reader.host.cpu_bits());
    let unset = b_info.vcpu_hard_affinity.is_empty();
    if unset && masks.iter().any(|mask| *mask != all) {
        let count = usize::try_from(b_info.max_vcpus.unwrap_or(0)).unwrap_or(0);
        b_info.vcpu_hard_affinity = vec![all; count];
    }
    for set in &mut b_info.vcpu_hard_affinity {
        let allowed = |cpu: &u32| masks.iter().all(|mask| mask.contains(*cpu));
        *set = set.iter().filter(allowed).collect();
        if set.is_empty() {
            return reader.refuse(
                "cpus",
                "no CPU is left for a vCPU; write CPUs that this host has and that xl.conf allows",
            );
        }
    }
    Ok(())
}
