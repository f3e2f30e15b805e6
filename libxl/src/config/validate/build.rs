//! Checks of the memory, the vCPUs and the firmware of a domain.

use std::env;

use super::check::{Check, required};
use crate::config::{
    bitmap::Bitmap,
    build_info::BuildInfo,
    cpuid::{CpuidLeaf, CpuidPolicy},
    error::Invalid,
    guest::{Guest, HvmInfo},
};

impl Check for BuildInfo {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        let invalid =
            |field: &str, reason: String| Err(Invalid::new(format!("{at}{field}"), reason));
        let max_vcpus = self.max_vcpus.unwrap_or(1).max(1);
        if max_vcpus > Bitmap::MAX {
            // libxl allocates `max_vcpus` bitmaps, and ends the process if the allocation fails.
            return invalid(
                "max_vcpus",
                format!("is {max_vcpus}, more than any Xen can"),
            );
        }
        if let Some(last) = self.avail_vcpus.last().filter(|&last| last >= max_vcpus) {
            return invalid(
                "avail_vcpus",
                format!("has vCPU {last}, but max_vcpus is {max_vcpus}"),
            );
        }
        // libxl copies `avail_vcpus` to a bitmap with room for 128 vCPUs, and checks the length in bytes instead of
        // bits (4.14 to 4.22).
        const ROOM: u32 = 128;
        let has_room = matches!(self.guest, Guest::Pv(_));
        if let Some(last) = self
            .avail_vcpus
            .last()
            .filter(|&last| last >= ROOM && !has_room)
        {
            return invalid(
                "avail_vcpus",
                format!("has vCPU {last}, but libxl has room for {ROOM} of this type of domain"),
            );
        }
        match (self.target_memkb, self.max_memkb) {
            (Some(target), None) => {
                let reason =
                    format!("is not set, so it is 32768 KiB, but target_memkb is {target} KiB");
                return invalid("max_memkb", reason);
            }
            (Some(target), Some(max)) if target > max => {
                return invalid(
                    "target_memkb",
                    format!("is {target} KiB, more than max_memkb, which is {max} KiB"),
                );
            }
            _ => {}
        }
        self.check_bootloader(at)?;
        let nodes = self.vnuma_nodes.len();
        for (index, node) in self.vnuma_nodes.iter().enumerate() {
            // libxl writes to an array of max_vcpus elements at the index of each vCPU.
            if let Some(last) = node.vcpus.last().filter(|&last| last >= max_vcpus) {
                let reason = format!("has vCPU {last}, but max_vcpus is {max_vcpus}");
                return invalid(&format!("vnuma_nodes[{index}].vcpus"), reason);
            }
            // libxl asserts that the numbers are equal. A failed assertion ends the process.
            if node.distances.len() != nodes {
                let reason = format!(
                    "has {} distances, but there are {nodes} nodes",
                    node.distances.len()
                );
                return invalid(&format!("vnuma_nodes[{index}].distances"), reason);
            }
        }
        self.cpuid.check(&format!("{at}cpuid"))?;
        match &self.guest {
            Guest::Hvm(hvm) => {
                // libxl subtracts the video memory from the memory.
                let memory = self.target_memkb.or(self.max_memkb);
                match (self.video_memkb, memory) {
                    (Some(video), Some(memory)) if video > memory => invalid(
                        "video_memkb",
                        format!("is {video} KiB, of {memory} KiB that it is a part of"),
                    ),
                    _ => hvm.check(&format!("{at}type.hvm.")),
                }
            }
            Guest::Pv(_) | Guest::Pvh(_) => Ok(()),
        }
    }
}

impl BuildInfo {
    /// Checks that libxl has room for the arguments of a restricted bootloader.
    ///
    /// libxl has nine places for a bootloader's arguments beside those of the configuration, counts two too few if the
    /// bootloader runs with few privileges, and ends the process when the places are used up (4.17.3 to 4.22).
    fn check_bootloader(&self, at: &str) -> Result<(), Invalid> {
        let is_set = |variable| env::var_os(variable).is_some();
        let restricted = self
            .bootloader_restrict
            .unwrap_or(self.bootloader_user.is_some())
            || is_set("LIBXL_BOOTLOADER_RESTRICT")
            || is_set("LIBXL_BOOTLOADER_USER");
        let runs = self.bootloader.is_some() && !matches!(self.guest, Guest::Hvm(_));
        if !restricted || !runs {
            return Ok(());
        }
        let passed = [
            ("kernel", self.kernel.is_some()),
            ("ramdisk", self.ramdisk.is_some()),
            (
                "cmdline",
                self.cmdline.as_ref().is_some_and(|text| !text.is_empty()),
            ),
        ];
        let mut passed = passed
            .into_iter()
            .filter_map(|(field, is)| is.then_some(field));
        match (passed.next(), passed.next()) {
            (Some(first), Some(second)) => Err(Invalid::new(
                format!("{at}{second}"),
                format!(
                    "is set beside {first}, but libxl passes only one of them to a restricted bootloader"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Check for HvmInfo {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        for (index, smbios) in self.smbios.iter().enumerate() {
            let at = format!("{at}smbios[{index}].");
            required(&at, "key", smbios.key.as_ref().map(|key| key.word()))?;
            required(&at, "value", smbios.value.as_deref())?;
        }
        Ok(())
    }
}

impl Check for CpuidPolicy {
    fn check(&self, at: &str) -> Result<(), Invalid> {
        // libxl's mark for the end of a list of leaves or MSRs.
        const END: u32 = u32::MAX;
        for (index, leaf) in self.cpuid.iter().enumerate() {
            let CpuidLeaf {
                leaf,
                subleaf: _,
                eax,
                ebx,
                ecx,
                edx,
            } = leaf;
            if leaf.is_none_or(|leaf| leaf == END) {
                return Err(Invalid::new(format!("{at}[{index}].leaf"), "is not set"));
            }
            for (register, filter) in [("eax", eax), ("ebx", ebx), ("ecx", ecx), ("edx", edx)] {
                // libxl reads 32 characters, even if the string is shorter.
                check_filter(&format!("{at}[{index}].{register}"), filter.as_deref(), 32)?;
            }
        }
        for (index, msr) in self.msr.iter().enumerate() {
            if msr.index == END {
                return Err(Invalid::new(
                    format!("{at}.msr[{index}].index"),
                    "is not set",
                ));
            }
            check_filter(&format!("{at}.msr[{index}].policy"), Some(&msr.policy), 64)?;
        }
        Ok(())
    }
}

fn check_filter(field: &str, filter: Option<&str>, length: usize) -> Result<(), Invalid> {
    match filter {
        Some(filter)
            if filter.len() != length || !filter.bytes().all(|bit| b"01xks".contains(&bit)) =>
        {
            let reason = format!("is {filter:?}, not {length} characters of 0, 1, x, k and s");
            Err(Invalid::new(field, reason))
        }
        _ => Ok(()),
    }
}
