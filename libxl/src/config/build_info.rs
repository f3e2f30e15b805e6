//! Parameters for building the domain that Xen has created.

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
    /// Parameters for building the domain that Xen has created (`libxl_domain_build_info`).
    pub struct BuildInfo {
        /// Number of vCPUs, online or not. Default: 1.
        pub max_vcpus: Option<u32>,
        /// The vCPUs that are online from the start. Default: the first one.
        pub avail_vcpus: Bitmap,
        /// The CPUs that all vCPUs run on. If `vcpu_hard_affinity` is set, libxl uses that field instead.
        pub cpumap: Bitmap,
        /// The NUMA nodes that provide the domain's memory. Default: the nodes of the CPUs that the vCPUs run on.
        pub nodemap: Bitmap,
        /// The CPUs that each vCPU runs on. Default: any.
        pub vcpu_hard_affinity: Vec<Bitmap>,
        /// The CPUs that each vCPU prefers. Default: any.
        pub vcpu_soft_affinity: Vec<Bitmap>,
        /// Choose NUMA nodes automatically if none of the fields above specifies a placement. Default: yes.
        #[serde(with = "defbool")]
        pub numa_placement: Option<bool>,
        /// The guest's view of the time stamp counter. Default: [`TscMode::Default`].
        pub tsc_mode: Option<TscMode>,
        /// Maximum memory, in KiB. Default: 32768, which is rarely intended.
        pub max_memkb: Option<u64>,
        /// Memory at the start, in KiB, including video memory. Default: `max_memkb`.
        pub target_memkb: Option<u64>,
        /// Memory of the graphics card, in KiB. Default: depends on the card, 8192 to 131072; 0 without a card.
        pub video_memkb: Option<u64>,
        /// Xen's memory for the guest's page tables, in KiB. Default: depends on the memory and the vCPUs.
        pub shadow_memkb: Option<u64>,
        /// Xen's memory for the IOMMU's page tables, in KiB. Default: depends on the memory, if there are such tables.
        pub iommu_memkb: Option<u64>,
        /// Offset of the guest's clock from UTC, or from local time with `localtime`, in seconds; positive if ahead.
        /// Default: 0.
        #[serde(with = "wrapping_i32")]
        pub rtc_timeoffset: Option<i32>,
        /// XSM security identifier of the domain once it is built. libxl sets this field from `exec_ssid_label`.
        pub exec_ssidref: Option<u32>,
        /// XSM label of the domain once it is built. Default: the label in
        /// [`CreateInfo::ssid_label`](super::CreateInfo::ssid_label).
        pub exec_ssid_label: Option<String>,
        /// The guest's clock shows local time rather than UTC. Default: no.
        #[serde(with = "defbool")]
        pub localtime: Option<bool>,
        /// The domain is never migrated or saved, and may see features that cannot be migrated or saved. Default: no.
        #[serde(with = "defbool")]
        pub disable_migrate: Option<bool>,
        /// The guest's view of CPUID. Default: Xen's choice.
        pub cpuid: CpuidPolicy,
        /// Name under which the bootloader's disk is attached in dom0, if necessary. Default: `xvda`.
        pub blkdev_start: Option<String>,
        /// NUMA nodes of the guest. HVM and PVH. Default: none.
        pub vnuma_nodes: Vec<VnodeInfo>,
        /// Maximum number of pages in the domain's grant table. Default: Xen's choice.
        pub max_grant_frames: Option<u32>,
        /// Maximum number of pages in the domain's table of other domains' grants. Default: Xen's choice.
        pub max_maptrack_frames: Option<u32>,
        /// Newest grant table version that the domain may use; 0 is none. Default: the newest available.
        /// Since Xen 4.16.
        pub max_grant_version: Option<u32>,
        /// The QEMU that emulates the guest's devices. Default: [`DeviceModelVersion::QemuXen`].
        pub device_model_version: Option<DeviceModelVersion>,
        /// Run QEMU in a stub domain, a domain of its own. HVM. Default: no.
        #[serde(with = "defbool")]
        pub device_model_stubdomain: Option<bool>,
        /// Memory of the stub domain, in KiB. Default: 131072; 28672 with the old QEMU.
        pub stubdomain_memkb: Option<u64>,
        /// Kernel of the stub domain. Default: the one in Xen's firmware directory.
        pub stubdomain_kernel: Option<String>,
        /// Command line of the stub domain's kernel. Since Xen 4.16.
        pub stubdomain_cmdline: Option<String>,
        /// Initial RAM disk of the stub domain's kernel. Default: the one in Xen's firmware directory.
        pub stubdomain_ramdisk: Option<String>,
        /// The QEMU program to run; `device_model_version` must name the program's kind. Default: Xen's QEMU.
        pub device_model: Option<String>,
        /// XSM security identifier of QEMU's domain. libxl sets this field from `device_model_ssid_label`.
        pub device_model_ssidref: Option<u32>,
        /// XSM label of QEMU's domain.
        pub device_model_ssid_label: Option<String>,
        /// User that QEMU runs as with `dm_restrict`. Each domain needs a user of its own.
        pub device_model_user: Option<String>,
        /// Additional arguments for QEMU.
        pub extra: Vec<String>,
        /// Additional arguments for the QEMU of a PV guest.
        pub extra_pv: Vec<String>,
        /// Additional arguments for the QEMU of an HVM guest.
        pub extra_hvm: Vec<String>,
        /// The domain's share of the CPUs.
        pub sched_params: DomainSchedParams,
        /// I/O ports of the host that the domain may use. x86.
        pub ioports: Vec<IoportRange>,
        /// Interrupts of the host that the domain may use.
        pub irqs: Vec<u32>,
        /// Memory of the host's devices that the domain may use.
        pub iomem: Vec<IomemRange>,
        /// Last level cache colours of the domain's memory. Default: all. Arm. Since Xen 4.20.
        pub llc_colors: Vec<u32>,
        /// Reserve all of the domain's memory before the build, so that a lack of memory shows at once. Default: no.
        ///
        /// `xl` and the constructors of [`DomainConfig`](super::DomainConfig) set yes.
        #[serde(with = "defbool")]
        pub claim_mode: Option<bool>,
        /// Maximum number of event channels. Default: 1023.
        pub event_channels: Option<u32>,
        /// The kernel, a file in dom0. For HVM, the firmware starts this kernel. PV and PVH need a kernel or a
        /// bootloader.
        pub kernel: Option<String>,
        /// The kernel's command line.
        pub cmdline: Option<String>,
        /// The kernel's initial RAM disk, a file in dom0.
        pub ramdisk: Option<String>,
        /// Device tree that is merged into the guest's device tree without a check. Arm.
        pub device_tree: Option<String>,
        /// Provide ACPI tables. Default: yes on x86, no on Arm.
        #[serde(with = "defbool")]
        pub acpi: Option<bool>,
        /// Program that finds the kernel and the RAM disk on the guest's first disk: `pygrub`. PV and PVH.
        pub bootloader: Option<String>,
        /// Additional arguments for the bootloader.
        pub bootloader_args: Vec<String>,
        /// Run the bootloader with few privileges. Default: yes if `bootloader_user` is set. Since Xen 4.18.
        #[serde(with = "defbool")]
        pub bootloader_restrict: Option<bool>,
        /// User that a restricted bootloader runs as. Each domain needs a user of its own. Since Xen 4.18.
        pub bootloader_user: Option<String>,
        /// Delivery of missed timer ticks. HVM and PVH. Default: [`TimerMode::NoDelayForMissedTicks`].
        pub timer_mode: Option<TimerMode>,
        /// The guest may use hardware virtualisation. HVM and PVH. Default: no.
        #[serde(with = "defbool")]
        pub nested_hvm: Option<bool>,
        /// Provide tables about the interrupt controllers. HVM and PVH. Default: yes.
        #[serde(with = "defbool")]
        pub apic: Option<bool>,
        /// QEMU drops its privileges once it runs. Default: no.
        #[serde(with = "defbool")]
        pub dm_restrict: Option<bool>,
        /// The trusted execution environment that the guest may use. Arm. Default: [`TeeType::None`].
        pub tee: Option<TeeType>,
        /// Parameters that only Arm guests have.
        pub arch_arm: ArchArm,
        /// Parameters that only x86 guests have. Since Xen 4.15.
        pub arch_x86: ArchX86,
        /// Access to alternate page tables of the guest's memory. HVM and PVH. Default: [`Altp2mMode::Disabled`].
        pub altp2m: Option<Altp2mMode>,
        /// Maximum number of alternate page tables. Default: Xen's choice. Since Xen 4.21.
        pub altp2m_count: Option<u32>,
        /// Size of each vCPU's trace buffer, in KiB, a power of two. Default: 0, no buffer. Since Xen 4.15.
        pub vmtrace_buf_kb: Option<u32>,
        /// The guest may use the CPU's performance counters. Arm. Default: no. Since Xen 4.16.
        #[serde(with = "defbool")]
        pub vpmu: Option<bool>,
        /// The guest is notified when it accesses an unmapped address. Arm. Default: yes. Since Xen 4.21.
        #[serde(with = "defbool")]
        pub trap_unmapped_accesses: Option<bool>,
        /// Bit mask of the xenstore features that the guest may see. Default: all. Since Xen 4.21.
        pub xenstore_feature_mask: Option<u32>,
        /// Limits of the domain in xenstore. Default: xenstored's. Since Xen 4.22.
        pub xenstore_quota: XsQuotaList;
        +
        /// Kind of the guest, with the parameters that only this kind has.
        pub guest: Guest,
    }
}

config_struct! {
    /// The share of the CPUs that a domain gets (`libxl_domain_sched_params`).
    ///
    /// The scheduler determines which fields have an effect. The default of each field is the scheduler's; `-1` also
    /// stands for the default.
    pub struct DomainSchedParams {
        /// The scheduler that these parameters are for. Default: the CPU pool's scheduler.
        pub sched: Option<Scheduler>,
        /// Credit and Credit2: weight relative to other domains, 1 to 65535. Default: 256.
        pub weight: Option<i32>,
        /// Credit and Credit2: upper limit, in percent of one CPU. Default: 0, no limit.
        pub cap: Option<i32>,
        /// RTDS: the period, in microseconds.
        pub period: Option<i32>,
        /// RTDS: the domain's time in each period, in microseconds.
        pub budget: Option<i32>,
        /// RTDS: 1 if the domain may use time that is left over, else 0.
        pub extratime: Option<i32>,
        /// Parameter of a scheduler that was removed from Xen.
        pub slice: Option<i32>,
        /// Parameter of a scheduler that was removed from Xen.
        pub latency: Option<i32>,
    }
}

config_struct! {
    /// A NUMA node of the guest (`libxl_vnode_info`).
    pub struct VnodeInfo {
        /// Memory of the node, in KiB.
        pub memkb: Option<u64>,
        /// Distance to each node of the guest, 10 for the node itself.
        pub distances: Vec<u32>,
        /// The host's node that provides the memory.
        pub pnode: u32,
        /// The vCPUs on the node.
        pub vcpus: Bitmap,
    }
}

/// I/O ports of the host (`libxl_ioport_range`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct IoportRange {
    /// The first port.
    pub first: u32,
    /// Number of ports.
    pub number: u32,
}

/// Memory of the host's devices (`libxl_iomem_range`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct IomemRange {
    /// The first frame in the host. A frame has 4 KiB.
    pub start: u64,
    /// Number of frames.
    pub number: u64,
    /// The frame in the guest at which the range appears. Default: `start`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gfn: Option<u64>,
}

config_struct! {
    /// Parameters that only Arm guests have.
    pub struct ArchArm {
        /// The interrupt controller. Default: the host's.
        pub gic_version: Option<GicVersion>,
        /// The emulated UART. Default: none.
        pub vuart: Option<VuartType>,
        /// Maximum SVE vector length. Default: [`SveType::Disabled`]. Since Xen 4.18.
        pub sve_vl: Option<SveType>,
        /// Minimum number of shared interrupts. Default: as many as the guest's devices need. Since Xen 4.19.
        pub nr_spis: Option<u32>,
        /// Access to the system controller. Since Xen 4.21.
        pub arm_sci: ArmSci,
    }
}

config_struct! {
    /// Access of an Arm guest to the system controller (`libxl_arm_sci`). Since Xen 4.21.
    pub struct ArmSci {
        /// Access method. Default: [`ArmSciType::None`].
        pub r#type: Option<ArmSciType>,
    }
}

config_struct! {
    /// Parameters that only x86 guests have. Since Xen 4.15.
    pub struct ArchX86 {
        /// Let the guest read and write MSRs that Xen does not know, as Xen 4.14 did. Default: no.
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
        /// Name of the limit in xenstored.
        pub name: Option<String>,
        /// Value of the limit.
        pub val: u32,
    }
}
