//! CPU pools: groups of the host's CPUs, each with a scheduler of its own.
//!
//! Every domain belongs to one pool and runs on its CPUs only. At the start there is one pool,
//! `Pool-0`, with all CPUs; dom0 stays in it. A CPU is in one pool or in none.
//!
//! ```no_run
//! use libxl::{Context, config::{Bitmap, Scheduler}};
//!
//! let ctx = Context::open()?;
//! // Two CPUs for a domain that must not be disturbed.
//! ctx.cpupool_remove_cpus(0, &Bitmap::from([2, 3]))?;
//! let pool = ctx.cpupool_create("quiet", &Scheduler::Null, &Bitmap::from([2, 3]))?;
//! ctx.domain_by_domid(ctx.name_to_domid("rt")?)?.move_to_cpupool(pool)?;
//! for pool in ctx.list_cpupools()? {
//!     println!("{}: {} domains on {}", pool.name, pool.domains, pool.cpus);
//! }
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! A busy Xen with Credit2 may lose a vCPU to a CPU that leaves its pool: the vCPU never runs
//! again, whatever its domain, dom0 included. vCPUs whose hard affinity leaves the CPU out are safe
//! ([`Domain::set_vcpu_affinity_all`]).

use libxl_sys as sys;
use uuid::Uuid;

use crate::{
    Context, Domain, Error, ErrorKind, Result,
    bitmaps::{Bits, host_bitmap_of, read_bitmap},
    config::{Bitmap, Scheduler},
    logger::expecting_failure,
    qualifier,
    raw::{Owned, c_number, c_string, copy_str, take_str},
    sched::{scheduler_from_c, scheduler_to_c},
};

/// Pool number that requests a free one.
const ANY: u32 = u32::MAX;

/// A CPU pool (`libxl_cpupoolinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_cpupoolinfo")]
pub struct CpupoolInfo {
    /// Number of the pool; 0 exists from the start.
    pub poolid: u32,
    /// Name of the pool.
    pub name: String,
    /// Scheduler of the pool.
    pub scheduler: Scheduler,
    /// Number of domains in the pool.
    pub domains: u32,
    /// CPUs of the pool.
    pub cpus: Bitmap,
}

impl CpupoolInfo {
    fn from_raw(raw: &sys::libxl_cpupoolinfo) -> Self {
        Self {
            poolid: raw.poolid,
            // SAFETY: of a structure that libxl has filled in.
            name: unsafe { copy_str(raw.pool_name) }.unwrap_or_default(),
            scheduler: scheduler_from_c(sys::libxl_scheduler(raw.sched.0)),
            domains: raw.n_dom,
            // SAFETY: as above.
            cpus: unsafe { read_bitmap(&raw.cpumap) },
        }
    }
}

impl Context {
    /// All CPU pools.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_list_cpupool")]
    #[doc(alias = "libxl_cpupoolinfo_list_free")]
    pub fn list_cpupools(&self) -> Result<Vec<CpupoolInfo>> {
        let list = self.some_list(
            "libxl_list_cpupool",
            // SAFETY: a live context and a place for the length.
            |ctx, count| unsafe { sys::libxl_list_cpupool(ctx, count) },
            // SAFETY: the array and its length as libxl gave them, once.
            |list, count| unsafe { sys::libxl_cpupoolinfo_list_free(list, count) },
        )?;
        Ok(list.as_slice().iter().map(CpupoolInfo::from_raw).collect())
    }

    /// One CPU pool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if no pool has this number.
    #[doc(alias = "libxl_cpupool_info")]
    pub fn cpupool_info(&self, poolid: u32) -> Result<CpupoolInfo> {
        const FUNCTION: &str = "libxl_cpupool_info";
        let info = Owned::<sys::libxl_cpupoolinfo>::new();
        // SAFETY: a live context and an initialised structure.
        let rc = expecting_failure(|| unsafe {
            sys::libxl_cpupool_info(self.enter().ptr(), info.as_ptr(), poolid)
        });
        if rc != 0 {
            return Err(Error::from_code(FUNCTION, rc)
                .with_kind(ErrorKind::NotFound)
                .with_message(format!("there is no CPU pool {poolid}")));
        }
        Ok(CpupoolInfo::from_raw(info.get()))
    }

    /// Returns true if there is a CPU pool with this number.
    #[doc(alias = "libxl_cpupoolid_is_valid")]
    #[must_use]
    pub fn cpupool_exists(&self, poolid: u32) -> bool {
        // SAFETY: a live context.
        unsafe { sys::libxl_cpupoolid_is_valid(self.enter().ptr(), poolid) != 0 }
    }

    /// The number of the CPU pool with this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if no pool has this name; [`ErrorKind::NoMemory`] when Xen does not
    /// list the pools.
    #[doc(alias = "libxl_name_to_cpupoolid")]
    pub fn name_to_cpupoolid(&self, name: &str) -> Result<u32> {
        const FUNCTION: &str = "libxl_name_to_cpupoolid";
        let c_name = c_string(FUNCTION, "name", name)?;
        let mut poolid = 0;
        let asked = self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated name, a place for the number.
            unsafe { sys::libxl_name_to_cpupoolid(ctx, c_name.as_ptr(), &raw mut poolid) }
        });
        asked.map_err(|error| qualifier::no_pool(error, name))?;
        Ok(poolid)
    }

    /// The name of a CPU pool, if there is one with this number.
    #[doc(alias = "libxl_cpupoolid_to_name")]
    #[must_use]
    pub fn cpupoolid_to_name(&self, poolid: u32) -> Option<String> {
        if !self.cpupool_exists(poolid) {
            // libxl makes up a name.
            return None;
        }
        // SAFETY: a live context; the string is allocated for us.
        unsafe { take_str(sys::libxl_cpupoolid_to_name(self.enter().ptr(), poolid)) }
    }

    /// Number of the CPU pool that a user gives by name or by number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if no pool has this name, or the text is empty; a number is not
    /// looked up. [`ErrorKind::Invalid`] for a number that is too large for a pool;
    /// [`ErrorKind::NoMemory`] when Xen does not list the pools.
    #[doc(alias = "libxl_cpupool_qualifier_to_cpupoolid")]
    pub fn cpupool_qualifier_to_cpupoolid(&self, name_or_number: &str) -> Result<u32> {
        const FUNCTION: &str = "libxl_cpupool_qualifier_to_cpupoolid";
        if name_or_number.is_empty() {
            let error = Error::new(ErrorKind::Invalid, FUNCTION);
            return Err(qualifier::no_pool(error, name_or_number));
        }
        if let Some(poolid) = qualifier::number(FUNCTION, name_or_number)? {
            return Ok(poolid);
        }
        let text = c_string(FUNCTION, "CPU pool", name_or_number)?;
        let (mut poolid, mut was_name) = (0, 0);
        let asked = self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated text, places for the number and a flag.
            unsafe {
                sys::libxl_cpupool_qualifier_to_cpupoolid(
                    ctx,
                    text.as_ptr(),
                    &raw mut poolid,
                    &raw mut was_name,
                )
            }
        });
        asked.map_err(|error| qualifier::no_pool(error, name_or_number))?;
        Ok(poolid)
    }

    /// The CPUs that are in no CPU pool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_freecpus")]
    pub fn free_cpus(&self) -> Result<Bitmap> {
        let map = Owned::<sys::libxl_bitmap>::new();
        self.call("libxl_get_freecpus", None, |ctx| {
            // SAFETY: a live context and an empty bitmap, which libxl allocates.
            unsafe { sys::libxl_get_freecpus(ctx, map.as_ptr()) }
        })?;
        // SAFETY: made by libxl.
        Ok(unsafe { read_bitmap(map.get()) })
    }

    /// Creates a CPU pool from CPUs that are in no pool, and returns its number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a scheduler that libxl does not know, or a CPU that the host does
    /// not have; [`ErrorKind::Failed`] for a scheduler that this Xen does not have, or a CPU that is
    /// in another pool. No pool is left behind then.
    #[doc(alias = "libxl_cpupool_create")]
    pub fn cpupool_create(&self, name: &str, scheduler: &Scheduler, cpus: &Bitmap) -> Result<u32> {
        const FUNCTION: &str = "libxl_cpupool_create";
        let c_name = c_string(FUNCTION, "name", name)?;
        let scheduler = scheduler_to_c(FUNCTION, scheduler)?;
        let map = host_bitmap_of(self, FUNCTION, Bits::Cpus, cpus)?;
        let uuid = sys::libxl_uuid {
            uuid: Uuid::new_v4().into_bytes(),
        };
        let mut poolid = ANY;
        let mut uuid = uuid;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context, a NUL-terminated name, a UUID and a place for the number. The
            // bitmap is only read, through a copy of its head that nobody disposes of.
            unsafe {
                sys::libxl_cpupool_create(
                    ctx,
                    c_name.as_ptr(),
                    scheduler,
                    map.as_ptr().read(),
                    &raw mut uuid,
                    &raw mut poolid,
                )
            }
        })?;
        Ok(poolid)
    }

    /// Destroys a CPU pool that has no domains. Its CPUs are in no pool afterwards.
    ///
    /// See [`cpupool_remove_cpu`](Self::cpupool_remove_cpu) for a defect of Xen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] when there is no such pool, or it has a
    /// domain.
    #[doc(alias = "libxl_cpupool_destroy")]
    pub fn cpupool_destroy(&self, poolid: u32) -> Result<()> {
        self.call("libxl_cpupool_destroy", None, |ctx| {
            // SAFETY: a live context.
            unsafe { sys::libxl_cpupool_destroy(ctx, poolid) }
        })
    }

    /// Renames a CPU pool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] when there is no such pool.
    #[doc(alias = "libxl_cpupool_rename")]
    pub fn cpupool_rename(&self, poolid: u32, name: &str) -> Result<()> {
        const FUNCTION: &str = "libxl_cpupool_rename";
        let name = c_string(FUNCTION, "name", name)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a NUL-terminated name.
            unsafe { sys::libxl_cpupool_rename(ctx, name.as_ptr(), poolid) }
        })
    }

    /// Adds a CPU to a pool. The CPU must be in no pool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the CPU is in another pool, or does not exist;
    /// [`ErrorKind::Invalid`] for a number that is too large for libxl.
    #[doc(alias = "libxl_cpupool_cpuadd")]
    pub fn cpupool_add_cpu(&self, poolid: u32, cpu: u32) -> Result<()> {
        const FUNCTION: &str = "libxl_cpupool_cpuadd";
        let cpu = c_number(FUNCTION, "cpu", cpu)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context.
            unsafe { sys::libxl_cpupool_cpuadd(ctx, poolid, cpu) }
        })
    }

    /// Removes a CPU from a pool. The CPU is in no pool afterwards.
    ///
    /// Up to Xen 4.21, and perhaps later, the whole host hangs on rare occasions when the last CPU
    /// leaves a pool with [`Scheduler::Credit`] or [`Scheduler::Rtds`]: Xen waits for a timer of the
    /// pool while it holds the lock that the timer's function waits for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the CPU is not in this pool, or is the last one of a pool with
    /// domains.
    #[doc(alias = "libxl_cpupool_cpuremove")]
    pub fn cpupool_remove_cpu(&self, poolid: u32, cpu: u32) -> Result<()> {
        const FUNCTION: &str = "libxl_cpupool_cpuremove";
        let cpu = c_number(FUNCTION, "cpu", cpu)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context.
            unsafe { sys::libxl_cpupool_cpuremove(ctx, poolid, cpu) }
        })
    }

    /// Adds several CPUs to a pool.
    ///
    /// # Errors
    ///
    /// As [`cpupool_add_cpu`](Self::cpupool_add_cpu), for the first CPU that fails; the others are
    /// in the pool.
    #[doc(alias = "libxl_cpupool_cpuadd_cpumap")]
    pub fn cpupool_add_cpus(&self, poolid: u32, cpus: &Bitmap) -> Result<()> {
        const FUNCTION: &str = "libxl_cpupool_cpuadd_cpumap";
        let map = host_bitmap_of(self, FUNCTION, Bits::Cpus, cpus)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a bitmap.
            unsafe { sys::libxl_cpupool_cpuadd_cpumap(ctx, poolid, map.as_ptr()) }
        })
    }

    /// Removes several CPUs from a pool.
    ///
    /// # Errors
    ///
    /// As [`cpupool_remove_cpu`](Self::cpupool_remove_cpu), for the first CPU that fails; the
    /// others are out of the pool.
    #[doc(alias = "libxl_cpupool_cpuremove_cpumap")]
    pub fn cpupool_remove_cpus(&self, poolid: u32, cpus: &Bitmap) -> Result<()> {
        const FUNCTION: &str = "libxl_cpupool_cpuremove_cpumap";
        let map = host_bitmap_of(self, FUNCTION, Bits::Cpus, cpus)?;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a bitmap.
            unsafe { sys::libxl_cpupool_cpuremove_cpumap(ctx, poolid, map.as_ptr()) }
        })
    }

    /// Adds the CPUs of a NUMA node that are in no pool, and returns their number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen refuses a CPU.
    #[doc(alias = "libxl_cpupool_cpuadd_node")]
    pub fn cpupool_add_node(&self, poolid: u32, node: u32) -> Result<u32> {
        const FUNCTION: &str = "libxl_cpupool_cpuadd_node";
        let node = c_number(FUNCTION, "node", node)?;
        let mut count = 0;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a place for the count.
            unsafe { sys::libxl_cpupool_cpuadd_node(ctx, poolid, node, &raw mut count) }
        })?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// Removes the CPUs of a NUMA node that are in this pool, and returns their number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen refuses a CPU.
    #[doc(alias = "libxl_cpupool_cpuremove_node")]
    pub fn cpupool_remove_node(&self, poolid: u32, node: u32) -> Result<u32> {
        const FUNCTION: &str = "libxl_cpupool_cpuremove_node";
        let node = c_number(FUNCTION, "node", node)?;
        let mut count = 0;
        self.call(FUNCTION, None, |ctx| {
            // SAFETY: a live context and a place for the count.
            unsafe { sys::libxl_cpupool_cpuremove_node(ctx, poolid, node, &raw mut count) }
        })?;
        Ok(u32::try_from(count).unwrap_or(0))
    }
}

impl Domain {
    /// Moves the domain to a CPU pool. Its scheduling parameters become the defaults of that pool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when there is no such pool, or the pool has no CPU;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_cpupool_movedomain")]
    pub fn move_to_cpupool(&self, poolid: u32) -> Result<()> {
        self.call("libxl_cpupool_movedomain", |ctx, domid| {
            // SAFETY: a live context.
            unsafe { sys::libxl_cpupool_movedomain(ctx, poolid, domid) }
        })
    }
}
