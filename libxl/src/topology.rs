//! The host's CPUs, NUMA nodes and PCI devices, and how they are connected.
//!
//! A CPU in Xen's sense is a hardware thread: it belongs to a core, the core to a socket, the socket
//! to a NUMA node. Memory and PCI devices are near one node, and farther from the others.
//!
//! ```no_run
//! use libxl::Context;
//!
//! let ctx = Context::open()?;
//! for (node, info) in ctx.numa_info()?.iter().enumerate() {
//!     if let Some(info) = info {
//!         println!("node {node}: {} of {} bytes free", info.free, info.size);
//!     }
//! }
//! for (cpu, place) in ctx.cpu_topology()?.iter().enumerate() {
//!     println!("CPU {cpu}: {place:?}");
//! }
//! # Ok::<(), libxl::Error>(())
//! ```

use std::{ffi::c_int, slice};

use libxl_sys as sys;
use serde::Serialize;

use crate::{
    Context, Error, ErrorKind, Result,
    bitmaps::{Bits, host_bitmap, host_bitmap_of, read_bitmap},
    config::{Bitmap, Pci},
    raw::{List, Owned, c_number},
};

/// libxl's marker for an absent value.
const NOTHING: u32 = u32::MAX;

/// Position of a CPU (`libxl_cputopology`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[doc(alias = "libxl_cputopology")]
pub struct CpuTopology {
    /// Core, counted within the socket.
    pub core: u32,
    /// Number of the socket.
    pub socket: u32,
    /// Number of the NUMA node.
    pub node: u32,
}

/// Memory of a NUMA node (`libxl_numainfo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[doc(alias = "libxl_numainfo")]
pub struct NumaInfo {
    /// Total memory of the node, in bytes.
    pub size: u64,
    /// Free memory of the node, in bytes.
    pub free: u64,
    /// Distance to each node; 10 is the distance to itself. `None` if a distance is not known.
    pub distances: Vec<Option<u32>>,
}

/// NUMA node of a PCI device (`libxl_pcitopology`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_pcitopology")]
pub struct PciTopology {
    /// Address of the device.
    pub device: Pci,
    /// The NUMA node nearest to the device; `None` if that is not known.
    pub node: Option<u32>,
}

impl Context {
    /// Number of CPUs that Xen is prepared for. All CPU numbers are below it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_max_cpus")]
    pub fn max_cpus(&self) -> Result<u32> {
        // SAFETY: a live context.
        self.number("libxl_get_max_cpus", None, |ctx| unsafe {
            sys::libxl_get_max_cpus(ctx)
        })
    }

    /// Number of CPUs that are online.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_online_cpus")]
    pub fn online_cpus(&self) -> Result<u32> {
        // SAFETY: a live context.
        self.number("libxl_get_online_cpus", None, |ctx| unsafe {
            sys::libxl_get_online_cpus(ctx)
        })
    }

    /// Number of NUMA nodes that Xen is prepared for. All node numbers are below it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_max_nodes")]
    pub fn max_nodes(&self) -> Result<u32> {
        // SAFETY: a live context.
        self.number("libxl_get_max_nodes", None, |ctx| unsafe {
            sys::libxl_get_max_nodes(ctx)
        })
    }

    /// Number of sockets as libxl counts them: from the CPUs that are online, rounded down. Socket
    /// numbers are below it unless a CPU is offline.
    pub(crate) fn sockets(&self) -> Result<u32> {
        let host = self.physinfo()?;
        let cores = host.nr_cpus.checked_div(host.threads_per_core);
        let sockets = cores.and_then(|cores| cores.checked_div(host.cores_per_socket));
        // libxl divides without checking for zero.
        sockets.ok_or_else(|| {
            Error::new(ErrorKind::Failed, "libxl_get_physinfo")
                .with_message("Xen says that a core has no thread, or a socket no core")
        })
    }

    /// Returns the position of each CPU, indexed by its number; `None` for a CPU that is offline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_cpu_topology")]
    #[doc(alias = "libxl_cputopology_list_free")]
    pub fn cpu_topology(&self) -> Result<Vec<Option<CpuTopology>>> {
        let list = self.some_list(
            "libxl_get_cpu_topology",
            // SAFETY: a live context and a place for the length.
            |ctx, count| unsafe { sys::libxl_get_cpu_topology(ctx, count) },
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_cputopology_list_free(list, count) },
        )?;
        let place = |raw: &sys::libxl_cputopology| {
            let there = raw.core != NOTHING && raw.socket != NOTHING && raw.node != NOTHING;
            there.then_some(CpuTopology {
                core: raw.core,
                socket: raw.socket,
                node: raw.node,
            })
        };
        Ok(list.as_slice().iter().map(place).collect())
    }

    /// Returns the memory of each NUMA node, indexed by its number; `None` for a node that does not
    /// exist. A host without NUMA has one node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_numainfo")]
    #[doc(alias = "libxl_numainfo_list_free")]
    pub fn numa_info(&self) -> Result<Vec<Option<NumaInfo>>> {
        let list = self.some_list(
            "libxl_get_numainfo",
            // SAFETY: a live context and a place for the length.
            |ctx, count| unsafe { sys::libxl_get_numainfo(ctx, count) },
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_numainfo_list_free(list, count) },
        )?;
        let node = |raw: &sys::libxl_numainfo| {
            (raw.size != u64::MAX && raw.free != u64::MAX).then(|| NumaInfo {
                size: raw.size,
                free: raw.free,
                distances: distances(raw),
            })
        };
        Ok(list.as_slice().iter().map(node).collect())
    }

    /// Returns the NUMA node of each PCI device of the host.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the host has no PCI devices, or Xen does not know about them.
    #[doc(alias = "libxl_get_pci_topology")]
    #[doc(alias = "libxl_pcitopology_list_free")]
    pub fn pci_topology(&self) -> Result<Vec<PciTopology>> {
        let list = self.some_list(
            "libxl_get_pci_topology",
            // SAFETY: a live context and a place for the length.
            |ctx, count| unsafe { sys::libxl_get_pci_topology(ctx, count) },
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_pcitopology_list_free(list, count) },
        )?;
        let device = |raw: &sys::libxl_pcitopology| PciTopology {
            device: Pci::new(raw.seg, raw.bus, raw.devfn >> 3, raw.devfn & 7),
            node: (raw.node != NOTHING).then_some(raw.node),
        };
        Ok(list.as_slice().iter().map(device).collect())
    }

    /// Returns the sockets with a CPU that is online.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_online_socketmap")]
    pub fn online_sockets(&self) -> Result<Bitmap> {
        self.filled("libxl_get_online_socketmap", Bits::Sockets, |ctx, map| {
            // SAFETY: a live context and a bitmap for all sockets.
            unsafe { sys::libxl_get_online_socketmap(ctx, map) }
        })
    }

    /// Returns the CPUs of a NUMA node; none if the host does not have the node.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer; [`ErrorKind::Invalid`] for a number that is
    /// too large for libxl.
    #[doc(alias = "libxl_node_to_cpumap")]
    pub fn cpus_of_node(&self, node: u32) -> Result<Bitmap> {
        const FUNCTION: &str = "libxl_node_to_cpumap";
        let node = c_number(FUNCTION, "node", node)?;
        self.filled(FUNCTION, Bits::Cpus, |ctx, map| {
            // SAFETY: a live context and a bitmap for all CPUs.
            unsafe { sys::libxl_node_to_cpumap(ctx, node, map) }
        })
    }

    /// Returns the CPUs of several NUMA nodes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a node that the host does not have, [`ErrorKind::Failed`] when Xen
    /// does not answer.
    #[doc(alias = "libxl_nodemap_to_cpumap")]
    pub fn cpus_of_nodes(&self, nodes: &Bitmap) -> Result<Bitmap> {
        const FUNCTION: &str = "libxl_nodemap_to_cpumap";
        let nodes = host_bitmap_of(self, FUNCTION, Bits::Nodes, nodes)?;
        self.filled(FUNCTION, Bits::Cpus, |ctx, map| {
            // SAFETY: a live context, and bitmaps for all nodes and all CPUs.
            unsafe { sys::libxl_nodemap_to_cpumap(ctx, nodes.as_ptr(), map) }
        })
    }

    /// Returns the NUMA nodes of several CPUs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a CPU that the host does not have, [`ErrorKind::Failed`] when Xen
    /// does not answer.
    #[doc(alias = "libxl_cpumap_to_nodemap")]
    pub fn nodes_of_cpus(&self, cpus: &Bitmap) -> Result<Bitmap> {
        const FUNCTION: &str = "libxl_cpumap_to_nodemap";
        let cpus = host_bitmap_of(self, FUNCTION, Bits::Cpus, cpus)?;
        self.filled(FUNCTION, Bits::Nodes, |ctx, map| {
            // SAFETY: a live context, and bitmaps for all CPUs and all nodes.
            unsafe { sys::libxl_cpumap_to_nodemap(ctx, cpus.as_ptr(), map) }
        })
    }

    /// Has libxl fill in a bitmap.
    fn filled(
        &self,
        function: &'static str,
        bits: Bits,
        fill: impl FnOnce(*mut sys::libxl_ctx, *mut sys::libxl_bitmap) -> c_int,
    ) -> Result<Bitmap> {
        let map: Owned<sys::libxl_bitmap> = host_bitmap(self, bits)?;
        self.call(function, None, |ctx| fill(ctx, map.as_ptr()))?;
        // SAFETY: made by libxl.
        Ok(unsafe { read_bitmap(map.get()) })
    }

    /// As [`list`](Self::list), for a list that is never empty: no list is an error.
    pub(crate) fn some_list<T>(
        &self,
        function: &'static str,
        call: impl FnOnce(*mut sys::libxl_ctx, *mut c_int) -> *mut T,
        free: fn(*mut T, c_int),
    ) -> Result<List<T>> {
        self.list(function, None, call, free)?.ok_or_else(|| {
            Error::new(ErrorKind::Failed, function).with_message("libxl gave no list")
        })
    }
}

fn distances(raw: &sys::libxl_numainfo) -> Vec<Option<u32>> {
    if raw.dists.is_null() {
        return Vec::new();
    }
    let count = usize::try_from(raw.num_dists).unwrap_or(0);
    // SAFETY: not NULL, so as many as libxl says.
    let all = unsafe { slice::from_raw_parts(raw.dists, count) };
    let known = |&distance: &u32| (distance != NOTHING).then_some(distance);
    all.iter().map(known).collect()
}
