//! The host: memory, processors, versions.
//!
//! Xen owns the machine; dom0 sees only its own part of it. The functions here ask Xen for the free
//! memory, the number of CPUs and Xen's capabilities. The location of the CPUs is in
//! [`topology`](crate::topology).
//!
//! ```no_run
//! use libxl::Context;
//!
//! let ctx = Context::open()?;
//! let xen = ctx.version_info()?;
//! println!("Xen {}, {}", xen.version(), xen.capabilities);
//! let host = ctx.physinfo()?;
//! println!("{} CPUs, {} KiB free", host.nr_cpus, ctx.free_memory()?);
//! # Ok::<(), libxl::Error>(())
//! ```

use libxl_sys as sys;
use serde::Serialize;

use crate::{
    Context, Error, ErrorKind, Result,
    raw::{Owned, copy_str},
};

/// The machine, as Xen sees it (`libxl_physinfo`). Pages are of [`VersionInfo::pagesize`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // Xen has that many independent capabilities.
#[doc(alias = "libxl_physinfo")]
pub struct PhysInfo {
    /// Threads of a core.
    pub threads_per_core: u32,
    /// Cores of a socket.
    pub cores_per_socket: u32,
    /// The highest CPU id.
    pub max_cpu_id: u32,
    /// CPUs that are online.
    pub nr_cpus: u32,
    /// The frequency of a CPU, in kHz.
    pub cpu_khz: u32,
    /// All memory, in pages.
    pub total_pages: u64,
    /// Free memory, in pages.
    pub free_pages: u64,
    /// Free memory that has yet to be cleaned, in pages.
    pub scrub_pages: u64,
    /// Memory that is promised to domains and not yet given, in pages.
    pub outstanding_pages: u64,
    /// NUMA nodes.
    pub nr_nodes: u32,
    /// HVM and PVH domains can run.
    pub cap_hvm: bool,
    /// PV domains can run.
    pub cap_pv: bool,
    /// Devices can be passed through: there is an IOMMU.
    pub cap_hvm_directio: bool,
    /// Hardware-assisted paging.
    pub cap_hap: bool,
    /// Shadow paging.
    pub cap_shadow: bool,
    /// Features of the processors, in the order of Xen's `cpufeatureset.h`.
    pub hw_cap: [u32; 8],
}

/// The running hypervisor (`libxl_version_info`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[doc(alias = "libxl_version_info")]
pub struct VersionInfo {
    /// Major version.
    pub major: i32,
    /// Minor version.
    pub minor: i32,
    /// The rest of the version, such as `.7`.
    pub extra: String,
    /// The compiler that the hypervisor was built with.
    pub compiler: String,
    /// Date of the build.
    pub compile_date: String,
    /// Kinds of domains that the hypervisor can run, as words such as `hvm-3.0-x86_64`.
    pub capabilities: String,
    /// The source revision.
    pub changeset: String,
    /// The hypervisor's command line.
    pub commandline: String,
    /// The build id, in hexadecimal digits; empty if the hypervisor has none.
    pub build_id: String,
    /// The size of a page, in bytes.
    pub pagesize: u32,
}

impl VersionInfo {
    /// The whole version, such as `4.17.7`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}.{}{}", self.major, self.minor, self.extra)
    }
}

impl Context {
    /// Forgets which domain ids were in use within the last minute, so that they can be reused at
    /// once.
    ///
    /// For the start of a host: a toolstack that still knows a domain by its id alone would take
    /// another domain for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`].
    #[doc(alias = "libxl_clear_domid_history")]
    pub fn clear_domid_history(&self) -> Result<()> {
        self.call("libxl_clear_domid_history", None, |ctx| {
            // SAFETY: a live context.
            unsafe { sys::libxl_clear_domid_history(ctx) }
        })
    }

    /// CPUs, memory and capabilities of the host, with the amount of memory that is free.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_physinfo")]
    pub fn physinfo(&self) -> Result<PhysInfo> {
        let info = Owned::<sys::libxl_physinfo>::new();
        self.call("libxl_get_physinfo", None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_get_physinfo(ctx, info.as_ptr()) }
        })?;
        let info = info.get();
        Ok(PhysInfo {
            threads_per_core: info.threads_per_core,
            cores_per_socket: info.cores_per_socket,
            max_cpu_id: info.max_cpu_id,
            nr_cpus: info.nr_cpus,
            cpu_khz: info.cpu_khz,
            total_pages: info.total_pages,
            free_pages: info.free_pages,
            scrub_pages: info.scrub_pages,
            outstanding_pages: info.outstanding_pages,
            nr_nodes: info.nr_nodes,
            cap_hvm: info.cap_hvm,
            cap_pv: info.cap_pv,
            cap_hvm_directio: info.cap_hvm_directio,
            cap_hap: info.cap_hap,
            cap_shadow: info.cap_shadow,
            hw_cap: info.hw_cap,
        })
    }

    /// Version, capabilities and command line of the running hypervisor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_version_info")]
    pub fn version_info(&self) -> Result<VersionInfo> {
        const FUNCTION: &str = "libxl_get_version_info";
        let mark = self.log_mark();
        // libxl fills in the structure at the first call, without taking its lock.
        let _turn = self.version_lock();
        // SAFETY: a live context. The structure belongs to it, and no other call fills it in
        // meanwhile.
        let info = unsafe { sys::libxl_get_version_info(self.enter().ptr()).as_ref() };
        let info = info.ok_or_else(|| {
            Error::new(ErrorKind::Failed, FUNCTION).with_log(self.own_log_since(mark))
        })?;
        // SAFETY: strings of the context's, NUL-terminated or NULL.
        let text = |raw| unsafe { copy_str(raw) }.unwrap_or_default();
        Ok(VersionInfo {
            major: info.xen_version_major,
            minor: info.xen_version_minor,
            extra: text(info.xen_version_extra),
            compiler: text(info.compiler),
            compile_date: text(info.compile_date),
            capabilities: text(info.capabilities),
            changeset: text(info.changeset),
            commandline: text(info.commandline),
            build_id: text(info.build_id),
            pagesize: u32::try_from(info.pagesize).unwrap_or(0),
        })
    }

    /// Memory that a new domain could get without dom0 giving any away, in KiB.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_free_memory")]
    pub fn free_memory(&self) -> Result<u64> {
        let mut memkb = 0;
        self.call("libxl_get_free_memory", None, |ctx| {
            // SAFETY: a live context and a place for the figure.
            unsafe { sys::libxl_get_free_memory(ctx, &raw mut memkb) }
        })?;
        Ok(memkb)
    }
}
