//! Schedulers: the distribution of the CPUs among the domains.
//!
//! Each [CPU pool](crate::cpupool) has one scheduler. [`DomainSchedParams`] sets a domain's share.
//! Each scheduler uses some of the fields: Credit and Credit2 the weight and the cap, RTDS the
//! period and the budget. RTDS can have them for each vCPU as well.
//!
//! ```no_run
//! use libxl::{Context, config::DomainSchedParams};
//!
//! let ctx = Context::open()?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("web")?)?;
//! // Twice the usual share, and never more than one and a half CPUs.
//! domain.set_sched_params(&DomainSchedParams {
//!     weight: Some(512),
//!     cap: Some(150),
//!     ..DomainSchedParams::default()
//! })?;
//! println!("{:?}", domain.sched_params()?);
//! # Ok::<(), libxl::Error>(())
//! ```

use std::ffi::c_int;

use libxl_sys as sys;
use serde::{Deserialize, Serialize};

use crate::{
    Context, Domain, Error, ErrorKind, Result,
    config::{DomainSchedParams, Scheduler},
    raw::{Owned, c_number, c_string, copy_str},
};

/// Parameters of the Credit scheduler for a whole CPU pool (`libxl_sched_credit_params`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_sched_credit_params")]
pub struct CreditParams {
    /// Time slice of a vCPU, in milliseconds, 1 to 1000.
    pub tslice_ms: i32,
    /// Minimum time that a vCPU runs, in microseconds, 100 to 500000; 0 for no limit.
    pub ratelimit_us: i32,
    /// Time after its last run for which a vCPU is thought to have its memory in the CPU's caches,
    /// in microseconds, 0 to 100000.
    pub vcpu_migr_delay_us: i32,
}

/// Parameters of the Credit2 scheduler for a whole CPU pool (`libxl_sched_credit2_params`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "libxl_sched_credit2_params")]
pub struct Credit2Params {
    /// Minimum time that a vCPU runs, in microseconds, 100 to 500000; 0 for no limit.
    pub ratelimit_us: i32,
}

/// The share of one vCPU (`libxl_sched_params`). RTDS uses period, budget and extratime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[doc(alias = "libxl_sched_params")]
pub struct VcpuSchedParams {
    /// Id of the vCPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpuid: Option<i32>,
    /// Weight, relative to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Upper limit, in percent of one CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<i32>,
    /// The period, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<i32>,
    /// 1 if the vCPU may use time that is left over, otherwise 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extratime: Option<i32>,
    /// CPU time in each period, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<i32>,
}

/// `libxl_vcpu_sched_params`, in the form of libxl's JSON.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct AllVcpus {
    #[serde(skip_serializing_if = "Option::is_none")]
    sched: Option<Scheduler>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vcpus: Vec<VcpuSchedParams>,
}

/// Converts libxl's number of a scheduler.
pub(crate) fn scheduler_from_c(raw: sys::libxl_scheduler) -> Scheduler {
    // SAFETY: a literal of libxl's, or NULL for a number that it does not know.
    let word = unsafe { copy_str(sys::libxl_scheduler_to_string(sys::libxl_scheduler(raw.0))) };
    let word = word.unwrap_or_else(|| raw.0.to_string());
    word.parse().unwrap_or(Scheduler::Other(word))
}

/// Converts a scheduler to libxl's number.
pub(crate) fn scheduler_to_c(
    function: &'static str,
    scheduler: &Scheduler,
) -> Result<sys::libxl_scheduler> {
    let word = c_string(function, "scheduler", scheduler.word())?;
    let mut raw = sys::libxl_scheduler(0);
    // SAFETY: a NUL-terminated word and a place for the number.
    let rc = unsafe { sys::libxl_scheduler_from_string(word.as_ptr(), &raw mut raw) };
    if rc == 0 {
        return Ok(raw);
    }
    Err(Error::from_code(function, rc)
        .with_kind(ErrorKind::Invalid)
        .with_message(format!(
            "scheduler: libxl does not know {:?}",
            scheduler.word()
        )))
}

impl Context {
    /// Returns the scheduler of CPU pool 0.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when Xen does not answer.
    #[doc(alias = "libxl_get_scheduler")]
    pub fn scheduler(&self) -> Result<Scheduler> {
        // SAFETY: a live context.
        let raw = self.number("libxl_get_scheduler", None, |ctx| unsafe {
            sys::libxl_get_scheduler(ctx)
        })?;
        Ok(scheduler_from_c(sys::libxl_scheduler(raw)))
    }

    /// Returns the parameters of a CPU pool that Credit schedules.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] when there is no such pool, or another
    /// scheduler schedules it.
    #[doc(alias = "libxl_sched_credit_params_get")]
    pub fn credit_params(&self, poolid: u32) -> Result<CreditParams> {
        let mut raw = sys::libxl_sched_credit_params {
            tslice_ms: 0,
            ratelimit_us: 0,
            vcpu_migr_delay_us: 0,
        };
        self.call("libxl_sched_credit_params_get", None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_sched_credit_params_get(ctx, poolid, &raw mut raw) }
        })?;
        Ok(CreditParams {
            tslice_ms: raw.tslice_ms,
            ratelimit_us: raw.ratelimit_us,
            vcpu_migr_delay_us: raw.vcpu_migr_delay_us,
        })
    }

    /// Sets the parameters of a CPU pool that Credit schedules. Best start from the result of
    /// [`credit_params`](Self::credit_params).
    ///
    /// # Errors
    ///
    /// As [`credit_params`](Self::credit_params); [`ErrorKind::Invalid`] for a value that is out of
    /// range.
    #[doc(alias = "libxl_sched_credit_params_set")]
    pub fn set_credit_params(&self, poolid: u32, params: &CreditParams) -> Result<()> {
        let mut raw = sys::libxl_sched_credit_params {
            tslice_ms: params.tslice_ms,
            ratelimit_us: params.ratelimit_us,
            vcpu_migr_delay_us: params.vcpu_migr_delay_us,
        };
        self.call("libxl_sched_credit_params_set", None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_sched_credit_params_set(ctx, poolid, &raw mut raw) }
        })
    }

    /// Returns the parameters of a CPU pool that Credit2 schedules.
    ///
    /// # Errors
    ///
    /// As [`credit_params`](Self::credit_params).
    #[doc(alias = "libxl_sched_credit2_params_get")]
    pub fn credit2_params(&self, poolid: u32) -> Result<Credit2Params> {
        let mut raw = sys::libxl_sched_credit2_params { ratelimit_us: 0 };
        self.call("libxl_sched_credit2_params_get", None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_sched_credit2_params_get(ctx, poolid, &raw mut raw) }
        })?;
        Ok(Credit2Params {
            ratelimit_us: raw.ratelimit_us,
        })
    }

    /// Sets the parameters of a CPU pool that Credit2 schedules.
    ///
    /// # Errors
    ///
    /// As [`set_credit_params`](Self::set_credit_params).
    #[doc(alias = "libxl_sched_credit2_params_set")]
    pub fn set_credit2_params(&self, poolid: u32, params: &Credit2Params) -> Result<()> {
        let mut raw = sys::libxl_sched_credit2_params {
            ratelimit_us: params.ratelimit_us,
        };
        self.call("libxl_sched_credit2_params_set", None, |ctx| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_sched_credit2_params_set(ctx, poolid, &raw mut raw) }
        })
    }
}

/// Signature of the functions of libxl that fill in the vCPUs' parameters.
type OfVcpus =
    unsafe extern "C" fn(*mut sys::libxl_ctx, u32, *mut sys::libxl_vcpu_sched_params) -> c_int;

/// Signature of the functions that only read the vCPUs' parameters.
type ForVcpus =
    unsafe extern "C" fn(*mut sys::libxl_ctx, u32, *const sys::libxl_vcpu_sched_params) -> c_int;

impl Domain {
    /// Returns the domain's share of the CPUs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] for a scheduler that has no such parameters;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_sched_params_get")]
    pub fn sched_params(&self) -> Result<DomainSchedParams> {
        let raw = Owned::<sys::libxl_domain_sched_params>::new();
        self.call("libxl_domain_sched_params_get", |ctx, domid| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_domain_sched_params_get(ctx, domid, raw.as_ptr()) }
        })?;
        self.context().read_c(raw.as_ptr())
    }

    /// Sets the domain's share of the CPUs. A field that is `None` stays as it is, but RTDS takes
    /// an `extratime` of `None` for yes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is out of range, or if `sched` is not the scheduler
    /// of the domain's CPU pool; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_sched_params_set")]
    pub fn set_sched_params(&self, params: &DomainSchedParams) -> Result<()> {
        let raw = self
            .context()
            .make_c::<sys::libxl_domain_sched_params>(params)?;
        self.call("libxl_domain_sched_params_set", |ctx, domid| {
            // SAFETY: a live context and an initialised structure.
            unsafe { sys::libxl_domain_sched_params_set(ctx, domid, raw.as_ptr()) }
        })
    }

    /// Returns the shares of these vCPUs. RTDS only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for another scheduler, or a vCPU that the domain does not have;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_vcpu_sched_params_get")]
    pub fn vcpu_sched_params(&self, vcpus: &[u32]) -> Result<Vec<VcpuSchedParams>> {
        const FUNCTION: &str = "libxl_vcpu_sched_params_get";
        let vcpu = |&vcpu: &u32| {
            Ok(VcpuSchedParams {
                vcpuid: Some(c_number(FUNCTION, "vcpus", vcpu)?),
                ..VcpuSchedParams::default()
            })
        };
        let vcpus = vcpus.iter().map(vcpu).collect::<Result<_>>()?;
        self.of_vcpus(FUNCTION, vcpus, sys::libxl_vcpu_sched_params_get)
    }

    /// Returns the shares of all vCPUs of the domain. RTDS only.
    ///
    /// # Errors
    ///
    /// As [`vcpu_sched_params`](Self::vcpu_sched_params).
    #[doc(alias = "libxl_vcpu_sched_params_get_all")]
    pub fn vcpu_sched_params_all(&self) -> Result<Vec<VcpuSchedParams>> {
        self.of_vcpus(
            "libxl_vcpu_sched_params_get_all",
            Vec::new(),
            sys::libxl_vcpu_sched_params_get_all,
        )
    }

    fn of_vcpus(
        &self,
        function: &'static str,
        vcpus: Vec<VcpuSchedParams>,
        get: OfVcpus,
    ) -> Result<Vec<VcpuSchedParams>> {
        let raw = self.vcpus_to_c(vcpus)?;
        self.call(function, |ctx, domid| {
            // SAFETY: a live context and an initialised structure, which libxl fills in.
            unsafe { get(ctx, domid, raw.as_ptr()) }
        })?;
        let all: AllVcpus = self.context().read_c(raw.as_ptr())?;
        Ok(all.vcpus)
    }

    /// Sets the shares of some vCPUs. RTDS only.
    ///
    /// # Errors
    ///
    /// As [`vcpu_sched_params`](Self::vcpu_sched_params); [`ErrorKind::Invalid`] for a value that
    /// is out of range.
    #[doc(alias = "libxl_vcpu_sched_params_set")]
    pub fn set_vcpu_sched_params(&self, vcpus: &[VcpuSchedParams]) -> Result<()> {
        self.for_vcpus(
            "libxl_vcpu_sched_params_set",
            vcpus.to_vec(),
            sys::libxl_vcpu_sched_params_set,
        )
    }

    /// Gives all vCPUs of the domain the same share; `vcpuid` must be `None`. RTDS only.
    ///
    /// # Errors
    ///
    /// As [`set_vcpu_sched_params`](Self::set_vcpu_sched_params).
    #[doc(alias = "libxl_vcpu_sched_params_set_all")]
    pub fn set_vcpu_sched_params_all(&self, params: &VcpuSchedParams) -> Result<()> {
        self.for_vcpus(
            "libxl_vcpu_sched_params_set_all",
            vec![params.clone()],
            sys::libxl_vcpu_sched_params_set_all,
        )
    }

    fn for_vcpus(
        &self,
        function: &'static str,
        vcpus: Vec<VcpuSchedParams>,
        set: ForVcpus,
    ) -> Result<()> {
        let raw = self.vcpus_to_c(vcpus)?;
        self.call(function, |ctx, domid| {
            // SAFETY: a live context and an initialised structure.
            unsafe { set(ctx, domid, raw.as_ptr()) }
        })
    }

    fn vcpus_to_c(
        &self,
        vcpus: Vec<VcpuSchedParams>,
    ) -> Result<Owned<sys::libxl_vcpu_sched_params>> {
        self.context().make_c(&AllVcpus { sched: None, vcpus })
    }
}

#[cfg(test)]
mod tests {
    use super::{scheduler_from_c, scheduler_to_c, sys};
    use crate::config::Scheduler;

    #[test]
    fn schedulers_keep_their_names() {
        for scheduler in Scheduler::KNOWN {
            let raw = scheduler_to_c("f", scheduler).unwrap();
            assert_eq!(scheduler_from_c(raw), *scheduler);
        }
        assert_eq!(
            scheduler_from_c(sys::libxl_scheduler(4711)),
            Scheduler::Other("4711".into())
        );
        let error = scheduler_to_c("f", &Scheduler::Other("fair".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "f: scheduler: libxl does not know \"fair\" (ERROR_FAIL)"
        );
    }
}
