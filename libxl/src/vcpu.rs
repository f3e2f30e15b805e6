//! Virtual CPUs: which are online, and on which of the host's CPUs they run.
//!
//! A domain has as many vCPUs as it was created with at most; the guest can be told to use fewer.
//! Xen moves a vCPU among the CPUs of its *hard* affinity, and prefers those of its *soft* affinity.
//!
//! ```no_run
//! use libxl::{Context, config::Bitmap};
//!
//! let ctx = Context::open()?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("web")?)?;
//! // The first vCPU on the CPUs 2 and 3 and nowhere else.
//! domain.set_vcpu_affinity(0, Some(&Bitmap::from([2, 3])), None)?;
//! // Two vCPUs online, the others not.
//! domain.set_vcpus_online(&Bitmap::first(2))?.wait()?;
//! for vcpu in domain.list_vcpus()? {
//!     println!("{}: on {:?} of {}", vcpu.vcpuid, vcpu.cpu, vcpu.hard_affinity);
//! }
//! # Ok::<(), libxl::Error>(())
//! ```

use std::{
    ffi::{c_int, c_uint},
    ptr,
};

use libxl_sys as sys;

use crate::{
    Context, DomId, Domain, Error, ErrorKind, Operation, Result,
    bitmaps::{Bits, bitmap_of, host_bitmap, host_bitmap_of, read_bitmap},
    config::Bitmap,
    operation::Call,
    raw::Owned,
};

/// One virtual CPU (`libxl_vcpuinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_vcpuinfo")]
pub struct VcpuInfo {
    /// Number of the vCPU in the domain.
    pub vcpuid: u32,
    /// The CPU on which the vCPU runs, or ran last; `None` while the vCPU is offline.
    pub cpu: Option<u32>,
    /// The guest uses this vCPU.
    pub online: bool,
    /// The vCPU waits for an event.
    pub blocked: bool,
    /// The vCPU is running at this moment.
    pub running: bool,
    /// CPU time used, in nanoseconds.
    pub time_ns: u64,
    /// The CPUs on which the vCPU may run.
    pub hard_affinity: Bitmap,
    /// The CPUs on which the vCPU preferably runs.
    pub soft_affinity: Bitmap,
}

impl VcpuInfo {
    fn from_raw(raw: &sys::libxl_vcpuinfo) -> Self {
        Self {
            vcpuid: raw.vcpuid,
            cpu: raw.online.then_some(raw.cpu),
            online: raw.online,
            blocked: raw.blocked,
            running: raw.running,
            time_ns: raw.vcpu_time,
            // SAFETY: bitmaps of a structure that libxl has filled in.
            hard_affinity: unsafe { read_bitmap(&raw.cpumap) },
            // SAFETY: as above.
            soft_affinity: unsafe { read_bitmap(&raw.cpumap_soft) },
        }
    }
}

/// The masks of one call; NULL for one that is to stay as it is.
struct Affinity {
    hard: Option<Owned<sys::libxl_bitmap>>,
    soft: Option<Owned<sys::libxl_bitmap>>,
}

impl Affinity {
    fn new(
        ctx: &Context,
        function: &'static str,
        hard: Option<&Bitmap>,
        soft: Option<&Bitmap>,
    ) -> Result<Self> {
        let make = |set: Option<&Bitmap>| {
            set.map(|set| host_bitmap_of(ctx, function, Bits::Cpus, set))
                .transpose()
        };
        if hard.is_none() && soft.is_none() {
            return Err(Error::new(ErrorKind::Invalid, function)
                .with_message("neither a hard nor a soft affinity is given"));
        }
        Ok(Self {
            hard: make(hard)?,
            soft: make(soft)?,
        })
    }

    fn hard(&self) -> *const sys::libxl_bitmap {
        pointer(self.hard.as_ref())
    }

    fn soft(&self) -> *const sys::libxl_bitmap {
        pointer(self.soft.as_ref())
    }
}

fn pointer(map: Option<&Owned<sys::libxl_bitmap>>) -> *const sys::libxl_bitmap {
    map.map_or(ptr::null(), |map| map.as_ptr())
}

struct SetOnline {
    domid: DomId,
    map: Owned<sys::libxl_bitmap>,
}

impl Call for SetOnline {
    type Output = ();

    fn function(&self) -> &'static str {
        "libxl_set_vcpuonline"
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; the bitmap lives as long as `self`.
        unsafe { sys::libxl_set_vcpuonline(ctx, self.domid.0, self.map.as_ptr(), how) }
    }

    fn succeed(self: Box<Self>, _: &Context) -> Result<()> {
        Ok(())
    }
}

impl Domain {
    /// Virtual CPUs of the domain, including offline ones.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DomainNotFound`], [`ErrorKind::Failed`].
    #[doc(alias = "libxl_list_vcpu")]
    #[doc(alias = "libxl_vcpuinfo_list_free")]
    pub fn list_vcpus(&self) -> Result<Vec<VcpuInfo>> {
        const FUNCTION: &str = "libxl_list_vcpu";
        self.check(FUNCTION)?;
        let mut cpus = 0;
        let list = self.context().list(
            FUNCTION,
            Some(self.domid()),
            // SAFETY: a live context, places for the length and the number of CPUs.
            |ctx, count| unsafe { sys::libxl_list_vcpu(ctx, self.domid().0, count, &raw mut cpus) },
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_vcpuinfo_list_free(list, count) },
        )?;
        let vcpus = list.iter().flat_map(|list| list.as_slice());
        Ok(vcpus.map(VcpuInfo::from_raw).collect())
    }

    /// Asks the guest to use only these vCPUs. The guest complies in its own time, or not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for more vCPUs than the domain has; for HVM, an error if the device
    /// model does not answer; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_set_vcpuonline")]
    pub fn set_vcpus_online(&self, vcpus: &Bitmap) -> Result<Operation<()>> {
        let map = bitmap_of(self.context(), "libxl_set_vcpuonline", vcpus)?;
        let call = SetOnline {
            domid: self.domid(),
            map,
        };
        let domain = self.clone();
        Ok(
            Operation::new(self.context(), call)
                .after(move || domain.check("libxl_set_vcpuonline")),
        )
    }

    /// Sets the CPUs on which a vCPU may run (hard) and preferably runs (soft). `None` leaves an
    /// affinity as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if both are `None`, or for a CPU that the host does not have;
    /// [`ErrorKind::Failed`] for an empty set, for CPUs of another CPU pool, or for a vCPU that the
    /// domain does not have; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_set_vcpuaffinity")]
    pub fn set_vcpu_affinity(
        &self,
        vcpu: u32,
        hard: Option<&Bitmap>,
        soft: Option<&Bitmap>,
    ) -> Result<()> {
        const FUNCTION: &str = "libxl_set_vcpuaffinity";
        let maps = Affinity::new(self.context(), FUNCTION, hard, soft)?;
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context, bitmaps or NULL.
            unsafe { sys::libxl_set_vcpuaffinity(ctx, domid, vcpu, maps.hard(), maps.soft()) }
        })
    }

    /// As [`set_vcpu_affinity`](Self::set_vcpu_affinity), even while Xen has moved the vCPU
    /// temporarily, as for dom0 during a call of the firmware.
    ///
    /// # Errors
    ///
    /// As [`set_vcpu_affinity`](Self::set_vcpu_affinity).
    #[doc(alias = "libxl_set_vcpuaffinity_force")]
    pub fn set_vcpu_affinity_force(
        &self,
        vcpu: u32,
        hard: Option<&Bitmap>,
        soft: Option<&Bitmap>,
    ) -> Result<()> {
        const FUNCTION: &str = "libxl_set_vcpuaffinity_force";
        let maps = Affinity::new(self.context(), FUNCTION, hard, soft)?;
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context, bitmaps or NULL.
            unsafe { sys::libxl_set_vcpuaffinity_force(ctx, domid, vcpu, maps.hard(), maps.soft()) }
        })
    }

    /// As [`set_vcpu_affinity`](Self::set_vcpu_affinity), for the first `vcpus` vCPUs. After an
    /// error some of them may have been changed.
    ///
    /// # Errors
    ///
    /// As [`set_vcpu_affinity`](Self::set_vcpu_affinity).
    #[doc(alias = "libxl_set_vcpuaffinity_all")]
    pub fn set_vcpu_affinity_all(
        &self,
        vcpus: u32,
        hard: Option<&Bitmap>,
        soft: Option<&Bitmap>,
    ) -> Result<()> {
        const FUNCTION: &str = "libxl_set_vcpuaffinity_all";
        // libxl calls Xen for each number, also for vCPUs that do not exist.
        let most = self.info()?.vcpu_max_id.saturating_add(1);
        if vcpus > most {
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_domain(Some(self.domid()))
                .with_message(format!("vcpus: {vcpus}, but the domain has {most}")));
        }
        let maps = Affinity::new(self.context(), FUNCTION, hard, soft)?;
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context, bitmaps or NULL.
            unsafe {
                sys::libxl_set_vcpuaffinity_all(
                    ctx,
                    domid,
                    c_uint::from(vcpus),
                    maps.hard(),
                    maps.soft(),
                )
            }
        })
    }

    /// Sets the NUMA nodes from which the domain's memory comes from now on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a node that the host does not have; [`ErrorKind::Failed`] for an
    /// empty set; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_set_nodeaffinity")]
    pub fn set_node_affinity(&self, nodes: &Bitmap) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_set_nodeaffinity";
        let map = host_bitmap_of(self.context(), FUNCTION, Bits::Nodes, nodes)?;
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context and a bitmap of the size that Xen expects.
            unsafe { sys::libxl_domain_set_nodeaffinity(ctx, domid, map.as_ptr()) }
        })
    }

    /// NUMA nodes from which the domain's memory comes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`]; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_get_nodeaffinity")]
    pub fn node_affinity(&self) -> Result<Bitmap> {
        let map = host_bitmap(self.context(), Bits::Nodes)?;
        self.call("libxl_domain_get_nodeaffinity", |ctx, domid| {
            // SAFETY: a live context and a bitmap of the size that Xen expects.
            unsafe { sys::libxl_domain_get_nodeaffinity(ctx, domid, map.as_ptr()) }
        })?;
        // SAFETY: made by libxl.
        Ok(unsafe { read_bitmap(map.get()) })
    }
}
