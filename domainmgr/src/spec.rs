//! What a domain is built from: a DomainConfig after every check that needs no file system, in one set of units.

mod actions;
mod adapters;
mod disks;

use std::fmt;
use std::net::IpAddr;

use libxl::config::{self, DomainConfig};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::actions::{Action, Actions, ModelExit};
pub use self::adapters::{Adapter, Assigned, IoPorts, Irqs, PciAddress, PciDevice};
pub use self::disks::{Copied, Disk, Format, Image, Written};
use crate::cloudinit::Seed;

/// Everything needed to build a domain. Numbers are in the units of libxl, text is as it came.
///
/// The journal keeps it: a field that is added later needs a default that means what was meant before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// The application's, which is also the domain's.
    pub uuid: Uuid,
    /// The domain's name: `<DisplayName>.<AppNum>`.
    pub name: String,
    /// Names the file under `xen/`.
    pub app_num: u32,
    /// How the guest is virtualised.
    pub mode: Mode,
    /// Kernel to boot.
    pub kernel: Option<String>,
    /// Its initial RAM disk.
    pub ramdisk: Option<String>,
    /// Bootloader that finds the kernel in a PV guest's disk.
    pub bootloader: Option<String>,
    /// PV's `root=`; in front of everything else on the command line.
    pub root: Option<String>,
    /// The rest of the kernel's command line.
    pub extra: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Memory it may grow to, in MiB.
    pub max_memory_mib: Option<u64>,
    /// Processors at start.
    pub vcpus: u32,
    /// Processors it may grow to.
    pub max_vcpus: u32,
    /// Physical processors it may run on; empty for all.
    pub cpus: Vec<u32>,
    /// Weight against others where processors are scarce; `None` for Xen's default.
    pub weight: Option<u32>,
    /// The most it gets of the processors, in percent of one; 0 for no limit, `None` for Xen's default.
    pub cap: Option<u32>,
    /// Device tree, for ARM guests.
    pub device_tree: Option<String>,
    /// Device tree nodes passed through.
    pub dt_dev: Vec<String>,
    /// Physical interrupts passed through.
    pub irqs: Vec<u32>,
    /// Physical memory passed through.
    pub io_mem: Vec<IoMem>,
    /// In the order of their names in the guest.
    pub disks: Vec<Disk>,
    /// In order.
    pub nics: Vec<Nic>,
    /// The graphical console.
    pub vnc: Option<Vnc>,
    /// Adapters of the host that it is to have.
    pub adapters: Vec<Adapter>,
    /// What they are: known once they are reserved.
    pub assigned: Assigned,
    /// What to do when the guest ends by itself.
    pub actions: Actions,
    /// The whole configuration, where somebody has written one: Xen gets it as it is. The fields above say what of it
    /// concerns the agent.
    pub given: Option<Box<DomainConfig>>,
    /// Each domain that is built gets a VM generation ID of its own.
    pub fresh_genid: bool,
}

impl Spec {
    /// The same, with what its adapters are.
    #[must_use]
    pub fn with(&self, assigned: &Assigned) -> Self {
        Self {
            assigned: assigned.clone(),
            ..self.clone()
        }
    }

    /// What cloud-init in the guest is told.
    #[must_use]
    pub fn seed(&self) -> Option<&Seed> {
        self.disks.iter().find_map(|disk| disk.seed.as_ref())
    }

    /// Whether both describe the same domain. Which instance cloud-init takes its guest for is no part of that.
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

    /// The same, for a guest that has read the seed of `before`: cloud-init in it must not take itself for a new instance
    /// because the agent calls it otherwise now. `unversioned`: whoever made that seed may not have known the version.
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

    /// Physical interrupts of its own and of its adapters, each once. To an HVM domain those of adapters are of no use: QEMU
    /// serves their lines.
    pub fn all_irqs(&self) -> impl Iterator<Item = u32> {
        let of_adapters = self.assigned.irqs.iter().filter(|_| self.mode != Mode::Hvm);
        let all: std::collections::BTreeSet<u32> =
            self.irqs.iter().chain(of_adapters).copied().collect();
        all.into_iter()
    }

    /// The whole kernel command line.
    #[must_use]
    pub fn cmdline(&self) -> String {
        match (&self.root, self.extra.is_empty()) {
            (Some(root), false) => format!("root={root} {}", self.extra),
            (Some(root), true) => format!("root={root}"),
            (None, _) => self.extra.clone(),
        }
    }
}

/// How a guest is virtualised.
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
    /// EVE's number. EVE has none for PVH, and ran its `PV` guests as PVH for a while: they share it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Pv | Self::Pvh => 0,
            Self::Hvm => 1,
        }
    }

    /// The word in a DomainConfig.
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
    /// How many.
    pub count: u64,
}

/// A network interface on a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Bridge it is added to.
    pub bridge: Option<String>,
    /// Name in the host.
    pub vif: Option<String>,
    /// Address.
    pub mac: [u8; 6],
    /// What the guest sees of it; `None`: what libxl makes of it.
    pub kind: Option<NicKind>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// Number among the interfaces of the domain that runs, where it is not the place in the list: others have come and
    /// gone.
    #[serde(default)]
    pub devid: Option<u32>,
    /// It was attached by hand: libxl gets it as it was written.
    #[serde(default)]
    pub attached: Option<Box<Written<config::Nic>>>,
}

impl Nic {
    /// The address, as people write it.
    #[must_use]
    pub fn address(&self) -> String {
        self.mac.map(|octet| format!("{octet:02x}")).join(":")
    }
}

/// What a guest sees of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NicKind {
    /// A paravirtual one.
    Vif,
    /// An emulated card as well. HVM only.
    Ioemu,
}

impl NicKind {
    /// xl.cfg's word.
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
    /// The address of the host on which it listens.
    pub listen: IpAddr,
    /// Display number; `None`: the next free one.
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

    /// The text. Only for where it is needed.
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
