//! The description from which a domain is built: a DomainConfig after every check that needs no file system, in one set of
//! units.

use std::fmt;
use std::net::IpAddr;

use libxl::config::{self, DomainConfig};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::actions::Actions;
use super::adapters::{Adapter, Assigned};
use super::disks::{Disk, Written};
use super::seed::Seed;

/// Everything needed to build a domain. Numbers are in the units of libxl, and text is unchanged.
///
/// The journal stores it: a field that is added later needs a default with the meaning that its absence had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Uuid of the application, and of the domain.
    pub uuid: Uuid,
    /// The domain's name: `<DisplayName>.<AppNum>`.
    pub name: String,
    /// Number in the name of the file under `xen/`.
    pub app_num: u32,
    /// Virtualisation mode of the guest.
    pub mode: Mode,
    /// Kernel to boot.
    pub kernel: Option<String>,
    /// Initial RAM disk of the kernel.
    pub ramdisk: Option<String>,
    /// Boot loader that finds the kernel in a PV guest's disk.
    pub bootloader: Option<String>,
    /// Value of a PV guest's `root=`, which comes first on the command line.
    pub root: Option<String>,
    /// The rest of the kernel's command line.
    pub extra: String,
    /// Memory at the start, in MiB.
    pub memory_mib: u64,
    /// Memory that the guest may grow to, in MiB.
    pub max_memory_mib: Option<u64>,
    /// Number of virtual processors at the start.
    pub vcpus: u32,
    /// Number of virtual processors that the guest may grow to.
    pub max_vcpus: u32,
    /// Physical processors that the domain may run on; empty for all.
    pub cpus: Vec<u32>,
    /// Weight against others where processors are scarce; `None` for Xen's default.
    pub weight: Option<u32>,
    /// The most processor time for the domain, in percent of one processor; 0 for no limit, `None` for Xen's default.
    pub cap: Option<u32>,
    /// Device tree, for ARM guests.
    pub device_tree: Option<String>,
    /// Device tree nodes passed through.
    pub dt_dev: Vec<String>,
    /// Physical interrupts passed through.
    pub irqs: Vec<u32>,
    /// Physical memory passed through.
    pub io_mem: Vec<IoMem>,
    /// Disks, in the order of their names in the guest.
    pub disks: Vec<Disk>,
    /// Network interfaces, in order.
    pub nics: Vec<Nic>,
    /// The graphical console.
    pub vnc: Option<Vnc>,
    /// Adapters of the host that the domain is to have.
    pub adapters: Vec<Adapter>,
    /// Devices of those adapters, known once they are reserved.
    pub assigned: Assigned,
    /// Actions for a guest that ends of its own accord.
    pub actions: Actions,
    /// The whole configuration, where the operator has written one. Xen gets it unchanged; the fields above repeat the parts
    /// that concern the agent.
    pub given: Option<Box<DomainConfig>>,
    /// True if each domain that is built gets its own VM generation ID.
    pub fresh_genid: bool,
}

impl Spec {
    /// Returns the spec with the devices of its adapters.
    #[must_use]
    pub fn with(&self, assigned: &Assigned) -> Self {
        Self {
            assigned: assigned.clone(),
            ..self.clone()
        }
    }

    /// Returns the seed for cloud-init in the guest.
    #[must_use]
    pub fn seed(&self) -> Option<&Seed> {
        self.disks.iter().find_map(|disk| disk.seed.as_ref())
    }

    /// Returns whether both describe the same domain. The instance that cloud-init takes its guest for does not count.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let same_seed = match (self.seed(), other.seed()) {
            (Some(ours), Some(theirs)) => ours.says_the_same(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        let without = |spec: &Self| {
            let mut spec = spec.clone();
            for disk in &mut spec.disks {
                disk.seed = None;
            }
            spec
        };
        same_seed && without(self) == without(other)
    }

    /// Keeps the instance ID of `before` for a guest that has read its seed.
    ///
    /// Cloud-init in the guest must not take itself for a new instance because the agent now gives another ID. With
    /// `unversioned`, the seed of `before` may have been made without knowledge of the version.
    pub fn keep_instance(&mut self, before: &Self, unversioned: bool) {
        let Some(known) = before.seed().filter(|s| s.instance_id.is_some()) else {
            return;
        };
        for seed in self.disks.iter_mut().filter_map(|d| d.seed.as_mut()) {
            let same = known.version == seed.version || (unversioned && known.version == 0);
            if same && seed.says_the_same(known) {
                seed.instance_id.clone_from(&known.instance_id);
            }
        }
    }

    /// Returns the physical interrupts of the domain and of its adapters, each once.
    ///
    /// Those of adapters are left out for an HVM domain, which has no use for them: QEMU serves their lines.
    pub fn all_irqs(&self) -> impl Iterator<Item = u32> {
        let of_adapters = self.assigned.irqs.iter().filter(|_| self.mode != Mode::Hvm);
        let all: std::collections::BTreeSet<u32> =
            self.irqs.iter().chain(of_adapters).copied().collect();
        all.into_iter()
    }

    /// Returns the whole kernel command line.
    #[must_use]
    pub fn cmdline(&self) -> String {
        match (&self.root, self.extra.is_empty()) {
            (Some(root), false) => format!("root={root} {}", self.extra),
            (Some(root), true) => format!("root={root}"),
            (None, _) => self.extra.clone(),
        }
    }
}

/// Virtualisation mode of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Paravirtualised.
    #[default]
    Pv,
    /// Fully virtualised, with a device model.
    Hvm,
    /// Hardware-assisted without a device model.
    Pvh,
}

impl Mode {
    /// Returns EVE's number. EVE has none for PVH, and ran its `PV` guests as PVH for a while: the two modes share one.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Pv | Self::Pvh => 0,
            Self::Hvm => 1,
        }
    }

    /// Returns the word in a DomainConfig.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pv => "PV",
            Self::Hvm => "HVM",
            Self::Pvh => "PVH",
        }
    }
}

/// A range of physical memory, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoMem {
    /// First page.
    pub start: u64,
    /// Number of pages.
    pub count: u64,
}

/// A network interface on a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Bridge that the interface is added to.
    pub bridge: Option<String>,
    /// Name of the interface in the host.
    pub vif: Option<String>,
    /// MAC address.
    pub mac: [u8; 6],
    /// Kind of interface that the guest sees; `None` for libxl's default.
    pub kind: Option<NicKind>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Number among the interfaces of the running domain, where it differs from the place in the list because others have come
    /// and gone.
    #[serde(default)]
    pub devid: Option<u32>,
    /// The interface as the operator wrote it, if it was attached by hand. libxl gets it unchanged.
    #[serde(default)]
    pub attached: Option<Box<Written<config::Nic>>>,
}

impl Nic {
    /// Returns the MAC address, as people write it.
    #[must_use]
    pub fn address(&self) -> String {
        self.mac.map(|octet| format!("{octet:02x}")).join(":")
    }
}

/// Kind of network interface that a guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NicKind {
    /// A paravirtual interface.
    Vif,
    /// An emulated card beside the paravirtual interface. HVM only.
    Ioemu,
}

impl NicKind {
    /// Returns xl.cfg's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Vif => "vif",
            Self::Ioemu => "ioemu",
        }
    }
}

/// The graphical console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vnc {
    /// Address of the host on which VNC listens.
    pub listen: IpAddr,
    /// Display number; `None` for the next free one.
    pub display: Option<u32>,
    /// Password.
    pub passwd: Option<Secret>,
}

/// Text that must not be shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text. To be called only where the text is needed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
