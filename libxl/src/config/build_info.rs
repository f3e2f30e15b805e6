//! What it takes to build the domain that Xen has made.

use serde::{Deserialize, Serialize};

use super::bitmap::Bitmap;
use super::cpuid::CpuidPolicy;
use super::enums::{
    Altp2mMode, ArmSciType, DeviceModelVersion, GicVersion, Scheduler, SveType, TeeType, TimerMode,
    TscMode, VuartType,
};
use super::guest::Guest;
use super::json::{defbool, wrapping_i32};

config_struct! {
    /// What it takes to build the domain that Xen has made (`libxl_domain_build_info`).
    pub struct BuildInfo {
        /// How many vCPUs it has, online or not. Default: 1.
        pub max_vcpus: Option<u32>,
        /// The vCPUs that are online from the start. Default: the first one.
        pub avail_vcpus: Bitmap,
        /// The CPUs that all vCPUs run on; `vcpu_hard_affinity` is used instead if it is there.
        pub cpumap: Bitmap,
        /// The NUMA nodes its memory is taken from. Default: those of the CPUs that its vCPUs run on.
        pub nodemap: Bitmap,
        /// The CPUs that each vCPU runs on. Default: any.
        pub vcpu_hard_affinity: Vec<Bitmap>,
        /// The CPUs that each vCPU prefers. Default: any.
        pub vcpu_soft_affinity: Vec<Bitmap>,
        /// Choose NUMA nodes automatically, if none of the above says where. Default: yes.
        #[serde(with = "defbool")]
        pub numa_placement: Option<bool>,
        /// How it sees the time stamp counter. Default: [`TscMode::Default`].
        pub tsc_mode: Option<TscMode>,
        /// The most memory it can have, in KiB. Default: 32768, which is rarely meant.
        pub max_memkb: Option<u64>,
        /// The memory it starts with, in KiB, video memory included. Default: `max_memkb`.
        pub target_memkb: Option<u64>,
        /// The graphics card's memory, in KiB. Default: by the card, 8192 to 131072; 0 if there is none.
        pub video_memkb: Option<u64>,
        /// Xen's memory for the guest's page tables, in KiB. Default: by memory and vCPUs.
        pub shadow_memkb: Option<u64>,
        /// Xen's memory for the IOMMU's page tables, in KiB. Default: by memory, if it has any.
        pub iommu_memkb: Option<u64>,
        /// How many seconds its clock is ahead of UTC, or of local time with `localtime`. Default: 0.
        #[serde(with = "wrapping_i32")]
        pub rtc_timeoffset: Option<i32>,
        /// XSM security identifier of the domain once it is built. libxl sets it from `exec_ssid_label`.
        pub exec_ssidref: Option<u32>,
        /// XSM label of the domain once it is built. Default: that of
        /// [`CreateInfo::ssid_label`](super::CreateInfo::ssid_label).
        pub exec_ssid_label: Option<String>,
        /// Its clock shows local time rather than UTC. Default: no.
        #[serde(with = "defbool")]
        pub localtime: Option<bool>,
        /// It is never migrated or saved, and may see features that cannot be. Default: no.
        #[serde(with = "defbool")]
        pub disable_migrate: Option<bool>,
        /// What it reads with CPUID. Default: Xen's choice.
        pub cpuid: CpuidPolicy,
        /// The name in dom0 under which a bootloader's disk is attached, if need be. Default: `xvda`.
        pub blkdev_start: Option<String>,
        /// Its NUMA nodes. HVM and PVH. Default: none.
        pub vnuma_nodes: Vec<VnodeInfo>,
        /// How many pages its grant table may have. Default: Xen's choice.
        pub max_grant_frames: Option<u32>,
        /// How many pages its table of other domains' grants may have. Default: Xen's choice.
        pub max_maptrack_frames: Option<u32>,
        /// The newest version of grant tables it may use; 0 is none. Default: the newest there is. Since Xen 4.16.
        pub max_grant_version: Option<u32>,
        /// Which QEMU emulates its devices. Default: [`DeviceModelVersion::QemuXen`].
        pub device_model_version: Option<DeviceModelVersion>,
        /// QEMU runs in a domain of its own. HVM. Default: no.
        #[serde(with = "defbool")]
        pub device_model_stubdomain: Option<bool>,
        /// That domain's memory, in KiB. Default: 131072; 28672 with the old QEMU.
        pub stubdomain_memkb: Option<u64>,
        /// That domain's kernel. Default: the one in Xen's firmware directory.
        pub stubdomain_kernel: Option<String>,
        /// That kernel's command line. Since Xen 4.16.
        pub stubdomain_cmdline: Option<String>,
        /// That kernel's initial RAM disk. Default: the one in Xen's firmware directory.
        pub stubdomain_ramdisk: Option<String>,
        /// The QEMU to run; `device_model_version` must say which kind it is. Default: Xen's.
        pub device_model: Option<String>,
        /// XSM security identifier of QEMU's domain. libxl sets it from `device_model_ssid_label`.
        pub device_model_ssidref: Option<u32>,
        /// XSM label of QEMU's domain.
        pub device_model_ssid_label: Option<String>,
        /// The user that QEMU runs as, with `dm_restrict`; one for each domain.
        pub device_model_user: Option<String>,
        /// More arguments for QEMU.
        pub extra: Vec<String>,
        /// More arguments for the QEMU of a PV guest.
        pub extra_pv: Vec<String>,
        /// More arguments for the QEMU of an HVM guest.
        pub extra_hvm: Vec<String>,
        /// Its share of the CPUs.
        pub sched_params: DomainSchedParams,
        /// I/O ports of the host that it may use. x86.
        pub ioports: Vec<IoportRange>,
        /// Interrupts of the host that it may use.
        pub irqs: Vec<u32>,
        /// Memory of the host's devices that it may use.
        pub iomem: Vec<IomemRange>,
        /// The colours of the last level cache that its memory has. Default: all. Arm. Since Xen 4.20.
        pub llc_colors: Vec<u32>,
        /// Reserve all of its memory before it is built, so that the lack of it shows at once. Default: no. `xl` says
        /// yes, and so do the constructors of [`DomainConfig`](super::DomainConfig).
        #[serde(with = "defbool")]
        pub claim_mode: Option<bool>,
        /// How many event channels it may have. Default: 1023.
        pub event_channels: Option<u32>,
        /// The kernel, a file in dom0. For HVM, what the firmware starts; PV and PVH need it or a bootloader.
        pub kernel: Option<String>,
        /// The kernel's command line.
        pub cmdline: Option<String>,
        /// The kernel's initial RAM disk, a file in dom0.
        pub ramdisk: Option<String>,
        /// A device tree that is merged into the guest's; it is not checked. Arm.
        pub device_tree: Option<String>,
        /// ACPI tables. Default: yes on x86, no on Arm.
        #[serde(with = "defbool")]
        pub acpi: Option<bool>,
        /// The program that finds kernel and RAM disk in the guest's first disk: `pygrub`. PV and PVH.
        pub bootloader: Option<String>,
        /// More arguments for the bootloader.
        pub bootloader_args: Vec<String>,
        /// Run the bootloader with few privileges. Default: if `bootloader_user` is there. Since Xen 4.18.
        #[serde(with = "defbool")]
        pub bootloader_restrict: Option<bool>,
        /// The user that a restricted bootloader runs as; one for each domain. Since Xen 4.18.
        pub bootloader_user: Option<String>,
        /// What becomes of missed timer ticks. HVM and PVH. Default: [`TimerMode::NoDelayForMissedTicks`].
        pub timer_mode: Option<TimerMode>,
        /// It may virtualise in hardware itself. HVM and PVH. Default: no.
        #[serde(with = "defbool")]
        pub nested_hvm: Option<bool>,
        /// Tables about the interrupt controllers. HVM and PVH. Default: yes.
        #[serde(with = "defbool")]
        pub apic: Option<bool>,
        /// QEMU gives up its privileges once it runs. Default: no.
        #[serde(with = "defbool")]
        pub dm_restrict: Option<bool>,
        /// The trusted environment it may use. Arm. Default: [`TeeType::None`].
        pub tee: Option<TeeType>,
        /// What only Arm guests have.
        pub arch_arm: ArchArm,
        /// What only x86 guests have. Since Xen 4.15.
        pub arch_x86: ArchX86,
        /// Who may use alternate page tables of its memory. HVM and PVH. Default: [`Altp2mMode::Disabled`].
        pub altp2m: Option<Altp2mMode>,
        /// How many such tables there may be. Default: Xen's choice. Since Xen 4.21.
        pub altp2m_count: Option<u32>,
        /// The buffer for the trace of each vCPU, in KiB, a power of two. Default: 0, none. Since Xen 4.15.
        pub vmtrace_buf_kb: Option<u32>,
        /// It may use the CPU's performance counters. Arm. Default: no. Since Xen 4.16.
        #[serde(with = "defbool")]
        pub vpmu: Option<bool>,
        /// It is told when it uses addresses that have nothing behind them. Arm. Default: yes. Since Xen 4.21.
        #[serde(with = "defbool")]
        pub trap_unmapped_accesses: Option<bool>,
        /// The features of xenstore it may see, a bit mask. Default: all. Since Xen 4.21.
        pub xenstore_feature_mask: Option<u32>,
        /// Its limits in xenstore. Default: xenstored's. Since Xen 4.22.
        pub xenstore_quota: XsQuotaList;
        +
        /// Its kind, with what only that kind has.
        pub guest: Guest,
    }
}

config_struct! {
    /// The share of the CPUs that a domain gets (`libxl_domain_sched_params`).
    ///
    /// Which fields mean something depends on the scheduler. The default of each is the scheduler's; `-1` is the
    /// default, too.
    pub struct DomainSchedParams {
        /// The scheduler these are for. Default: the CPU pool's.
        pub sched: Option<Scheduler>,
        /// Credit and Credit2: its weight against others, 1 to 65535. Default: 256.
        pub weight: Option<i32>,
        /// Credit and Credit2: the most it gets, in percent of one CPU. Default: 0, no limit.
        pub cap: Option<i32>,
        /// RTDS: the period, in microseconds.
        pub period: Option<i32>,
        /// RTDS: its time in each period, in microseconds.
        pub budget: Option<i32>,
        /// RTDS: whether it may have time that is left over, 0 or 1.
        pub extratime: Option<i32>,
        /// Of a scheduler that is gone from Xen.
        pub slice: Option<i32>,
        /// Of a scheduler that is gone from Xen.
        pub latency: Option<i32>,
    }
}

config_struct! {
    /// A NUMA node of the guest (`libxl_vnode_info`).
    pub struct VnodeInfo {
        /// Its memory, in KiB.
        pub memkb: Option<u64>,
        /// Its distance from each node of the guest, 10 for itself.
        pub distances: Vec<u32>,
        /// The node of the host that its memory is on.
        pub pnode: u32,
        /// The vCPUs that are on it.
        pub vcpus: Bitmap,
    }
}

/// I/O ports of the host (`libxl_ioport_range`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct IoportRange {
    /// The first port.
    pub first: u32,
    /// How many.
    pub number: u32,
}

/// Memory of the host's devices (`libxl_iomem_range`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct IomemRange {
    /// The first frame in the host, of 4 KiB.
    pub start: u64,
    /// How many frames.
    pub number: u64,
    /// The frame in the guest at which it appears. Default: `start`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gfn: Option<u64>,
}

config_struct! {
    /// What only Arm guests have.
    pub struct ArchArm {
        /// The interrupt controller. Default: the host's.
        pub gic_version: Option<GicVersion>,
        /// The emulated UART. Default: none.
        pub vuart: Option<VuartType>,
        /// The longest SVE vector. Default: [`SveType::Disabled`]. Since Xen 4.18.
        pub sve_vl: Option<SveType>,
        /// How many shared interrupts it has at least. Default: as many as its devices need. Since Xen 4.19.
        pub nr_spis: Option<u32>,
        /// How it reaches the system controller. Since Xen 4.21.
        pub arm_sci: ArmSci,
    }
}

config_struct! {
    /// How an Arm guest reaches the system controller (`libxl_arm_sci`). Since Xen 4.21.
    pub struct ArmSci {
        /// The way. Default: [`ArmSciType::None`].
        pub r#type: Option<ArmSciType>,
    }
}

config_struct! {
    /// What only x86 guests have. Since Xen 4.15.
    pub struct ArchX86 {
        /// Let it read and write MSRs that Xen does not know, as Xen 4.14 did. Default: no.
        #[serde(with = "defbool")]
        pub msr_relaxed: Option<bool>,
    }
}

config_struct! {
    /// Limits in xenstore (`libxl_xs_quota_list`). Since Xen 4.22.
    pub struct XsQuotaList {
        /// The limits.
        pub quota: Vec<XsQuotaItem>,
    }
}

config_struct! {
    /// A limit in xenstore (`libxl_xs_quota_item`). Since Xen 4.22.
    pub struct XsQuotaItem {
        /// Its name in xenstored.
        pub name: Option<String>,
        /// The limit.
        pub val: u32,
    }
}
