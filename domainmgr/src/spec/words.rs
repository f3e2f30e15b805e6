//! The names that the fields of a [`Spec`] have in the file that it comes from.

use crate::spec::domain::Spec;

/// The names of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Name of the domain.
    pub name: &'static str,
    /// Kernel.
    pub kernel: &'static str,
    /// RAM disk.
    pub ramdisk: &'static str,
    /// Boot loader.
    pub bootloader: &'static str,
    /// Device tree.
    pub device_tree: &'static str,
    /// Name of an interface in the host.
    pub vif: &'static str,
    /// Bridge of an interface.
    pub bridge: &'static str,
    /// Address of an interface.
    pub mac: &'static str,
    /// VNC display.
    pub display: &'static str,
    /// Address on which the screen listens.
    pub listen: &'static str,
    /// Processors of the host.
    pub cpus: &'static str,
    /// Interrupts.
    pub irqs: &'static str,
    /// Pages of the host.
    pub io_mem: &'static str,
    disks: &'static str,
    nics: &'static str,
    /// A disk is an object with fields, not a line of text.
    fields: bool,
}

/// Those of a DomainConfig.
const EVE: Words = Words {
    name: "DisplayName",
    kernel: "Kernel",
    ramdisk: "Ramdisk",
    bootloader: "BootLoader",
    device_tree: "DeviceTree",
    vif: "Vif",
    bridge: "Bridge",
    mac: "Mac",
    display: "VncDisplay",
    listen: "VncListen",
    cpus: "CPUs",
    irqs: "IRQs",
    io_mem: "IOMem",
    disks: "DiskConfigList",
    nics: "VifList",
    fields: true,
};

/// Those of xl.cfg(5).
const XL: Words = Words {
    name: "name",
    kernel: "kernel",
    ramdisk: "ramdisk",
    bootloader: "bootloader",
    device_tree: "device_tree",
    vif: "vifname",
    bridge: "bridge",
    mac: "mac",
    display: "vncdisplay",
    listen: "vnclisten",
    cpus: "cpus",
    irqs: "irqs",
    io_mem: "iomem",
    disks: "disk",
    nics: "vif",
    fields: false,
};

impl Default for Words {
    fn default() -> Self {
        EVE
    }
}

/// The names of the fields of `spec`.
#[must_use]
pub fn of(spec: &Spec) -> Words {
    if spec.given.is_some() { XL } else { EVE }
}

/// The files that `spec` is built from, besides disks, by the names of their fields. A boot loader without a path is libxl's.
pub fn files(spec: &Spec) -> impl Iterator<Item = (&'static str, &String)> {
    let words = of(spec);
    let bootloader = spec.bootloader.as_ref().filter(|b| b.starts_with('/'));
    let all = [
        (words.kernel, spec.kernel.as_ref()),
        (words.ramdisk, spec.ramdisk.as_ref()),
        (words.bootloader, bootloader),
        (words.device_tree, spec.device_tree.as_ref()),
    ];
    all.into_iter()
        .filter_map(|(field, path)| Some((field, path?)))
}

impl Words {
    /// A field of the disk at `i`.
    #[must_use]
    pub fn of_disk(&self, i: usize, field: &str) -> String {
        let disks = self.disks;
        if self.fields {
            format!("{disks}[{i}].{field}")
        } else {
            format!("{disks}[{i}]")
        }
    }

    /// The interface at `i`.
    #[must_use]
    pub fn of_nic(&self, i: usize) -> String {
        format!("{}[{i}]", self.nics)
    }
}
