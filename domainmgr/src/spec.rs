//! What a domain is built from: a DomainConfig after every check that needs no file system, in one set of units.

use std::fmt;
use std::net::IpAddr;

use libxl::config::{self, DomainConfig};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cloudinit::Seed;
use crate::toolstack::ShutdownReason;

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

/// A disk: a file or block device that is used in place, or an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Absolute path of what the guest uses. Of an image it is only known on the host: see [`crate::disks::prepare`].
    pub path: String,
    /// The image it comes from; `None`: it is used in place.
    pub image: Option<Image>,
    /// Others that say so too may use it at the same time.
    pub shared: bool,
    /// What the agent writes onto it, for cloud-init in the guest.
    pub seed: Option<Seed>,
    /// What the file contains.
    pub format: Format,
    /// A CD-ROM drive with this disc in it.
    pub cdrom: bool,
    /// Bytes the guest shall see at least.
    pub least_size: u64,
    /// Name in the guest.
    pub vdev: String,
    /// Whether the guest may write.
    pub read_only: bool,
    /// Its writer answers for what is in it: only whether it is there is looked at. Without a path there is nothing to
    /// look at.
    pub as_it_is: bool,
    /// It was attached by hand: libxl gets it as it was written.
    pub attached: Option<Box<Written<config::Disk>>>,
}

/// A device as somebody has written it, in xl's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written<T> {
    /// The text.
    pub text: String,
    /// What libxl is given for it.
    pub config: T,
}

/// An image, which no guest ever writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The hash it is known by.
    pub sha256: String,
    /// Where it is; empty: where the images are.
    pub location: String,
    /// The copy the guest uses; `None`: the guest only reads, and uses the image itself.
    pub copy: Option<Copied>,
}

/// A guest's own copy of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The name of the file.
    pub name: String,
    /// It outlives the domain, until the DomainConfig is gone.
    pub preserve: bool,
}

/// What a disk's file contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The bytes of the disk.
    #[default]
    Raw,
    /// QEMU's first format.
    Qcow,
    /// QEMU's own format.
    Qcow2,
    /// Microsoft's format.
    Vhd,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Qcow, Self::Qcow2, Self::Vhd];

    /// EVE's word, which is also libxl's, and the ending of a file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow => "qcow",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
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

/// An adapter of the host, by the names of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// EVE's number for the kind; 0 for any.
    pub kind: u32,
    /// Its name.
    pub name: String,
}

/// Physical interrupts.
pub type Irqs = Vec<u32>;

/// I/O ports: the first and the last of each range.
pub type IoPorts = Vec<(u16, u16)>;

/// What reserved adapters are to a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// PCI devices.
    pub pci: Vec<PciDevice>,
    /// Physical interrupts.
    pub irqs: Irqs,
    /// I/O ports.
    pub io_ports: IoPorts,
    /// Serial lines of the host, for an HVM domain.
    #[serde(default)]
    pub serials: Vec<String>,
}

/// A PCI device that is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    /// Where it is in the host.
    pub address: PciAddress,
    /// Memory that the firmware reserves for it need not be kept clear of: that of USB controllers is for its own old
    /// drivers.
    pub relaxed: bool,
}

/// Where a PCI device is in the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PciAddress {
    /// Domain, or segment.
    pub domain: u16,
    /// Bus.
    pub bus: u8,
    /// Device.
    pub dev: u8,
    /// Function.
    pub func: u8,
}

impl PciAddress {
    /// Whether both are functions of one device, which is given away as a whole.
    #[must_use]
    pub fn same_device(self, other: Self) -> bool {
        (self.domain, self.bus, self.dev) == (other.domain, other.bus, other.dev)
    }

    /// `00:14.0`: as [`fmt::Display`], without the domain.
    #[must_use]
    pub fn short(self) -> String {
        format!("{:02x}:{:02x}.{:x}", self.bus, self.dev, self.func)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{}", self.domain, self.short())
    }
}

impl std::str::FromStr for PciAddress {
    type Err = libxl::config::InvalidPci;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pci: libxl::config::Pci = text.parse()?;
        Ok(Self {
            domain: u16::try_from(pci.domain).unwrap_or(u16::MAX),
            bus: pci.bus,
            dev: pci.dev,
            func: pci.func,
        })
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

/// What to do with a domain that has shut down: xl.cfg's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Destroy it.
    Destroy,
    /// Destroy it and build it again.
    Restart,
    /// Keep it under another name and build a new one.
    RenameRestart,
    /// Keep it.
    Preserve,
    /// Write its memory to a file and destroy it.
    CoredumpDestroy,
    /// Write its memory to a file, destroy it and build it again.
    CoredumpRestart,
    /// Restart it in place. HVM only.
    SoftReset,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Destroy,
        Self::Restart,
        Self::RenameRestart,
        Self::Preserve,
        Self::CoredumpDestroy,
        Self::CoredumpRestart,
        Self::SoftReset,
    ];

    /// xl.cfg's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Restart => "restart",
            Self::RenameRestart => "rename-restart",
            Self::Preserve => "preserve",
            Self::CoredumpDestroy => "coredump-destroy",
            Self::CoredumpRestart => "coredump-restart",
            Self::SoftReset => "soft-reset",
        }
    }
}

/// The action for each way to end. Defaults are xl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// The guest powered off.
    pub on_poweroff: Action,
    /// The guest rebooted.
    pub on_reboot: Action,
    /// The guest crashed.
    pub on_crash: Action,
    /// The guest's watchdog fired.
    pub on_watchdog: Action,
    /// The guest wants a soft reset.
    pub on_soft_reset: Action,
    /// Its device model (QEMU) has ended, and the guest goes on without.
    #[serde(default)]
    pub on_device_model_exit: ModelExit,
}

/// What to do with a domain whose device model has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelExit {
    /// Leave it as it is: it may do without.
    #[default]
    Keep,
    /// Destroy it and build it again.
    Restart,
}

impl Default for Actions {
    fn default() -> Self {
        Self {
            on_poweroff: Action::Destroy,
            on_reboot: Action::Restart,
            on_crash: Action::Destroy,
            on_watchdog: Action::Destroy,
            on_soft_reset: Action::SoftReset,
            on_device_model_exit: ModelExit::Keep,
        }
    }
}

impl Actions {
    /// What to do about `reason`. Reasons without a name are treated as xl does: destroy. A suspend is no end, so it
    /// must not be asked about; it would be kept.
    #[must_use]
    pub fn on(&self, reason: ShutdownReason) -> Action {
        match reason {
            ShutdownReason::POWEROFF => self.on_poweroff,
            ShutdownReason::REBOOT => self.on_reboot,
            ShutdownReason::SUSPEND => Action::Preserve,
            ShutdownReason::CRASH => self.on_crash,
            ShutdownReason::WATCHDOG => self.on_watchdog,
            ShutdownReason::SOFT_RESET => self.on_soft_reset,
            _ => Action::Destroy,
        }
    }
}
