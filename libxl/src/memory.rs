//! Memory of domains, and of the host.
//!
//! Xen gives a domain memory up to a limit, the *maximum*. The part that the domain should use at
//! present is the *target*: a balloon driver in the guest gives back memory above the target, or
//! takes more. Dom0 is a domain like others, and the memory of a new domain is often taken from it.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use libxl::{Context, DomId, DomainConfig};
//!
//! let ctx = Context::open()?;
//! let config = DomainConfig::pvh("big").memory_mib(4096);
//! let needed = ctx.domain_need_memory(&config)?;
//! let free = ctx.free_memory()?;
//! if free < needed {
//!     // Let dom0 give the difference away, and wait until it has.
//!     let dom0 = ctx.domain_by_domid(DomId::DOM0)?;
//!     let missing = i64::try_from(needed - free).unwrap_or(i64::MAX);
//!     dom0.change_memory_target(-missing, true)?;
//!     dom0.wait_for_memory_target(Duration::from_secs(10))?;
//! }
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! Figures are in KiB. [`Context::free_memory`] and [`DomainInfo`](crate::DomainInfo) give the
//! present amounts.

use std::{
    ffi::{c_int, c_uint, c_ulong},
    time::Duration,
};

use libxl_sys as sys;

use crate::{
    Context, Domain, DomainConfig, Error, ErrorKind, Result,
    config::{Bitmap, MAX_MEMKB},
};

const SET_TARGET: &str = "libxl_set_memory_target";

/// Domid for calls that concern no particular domain.
const INVALID_DOMID: u32 = u32::MAX;

/// Rounds up to whole seconds, in which libxl waits.
fn seconds(time: Duration) -> c_int {
    let whole = time
        .as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0));
    c_int::try_from(whole).unwrap_or(c_int::MAX)
}

/// Memory that Xen needs for the shadow page tables of a guest, in KiB.
///
/// `max_kib` is the guest's memory, in KiB, and `vcpus` its number of vCPUs. No guest has more than
/// 16 TiB and 65535 vCPUs: larger numbers count as these.
#[doc(alias = "libxl_get_required_shadow_memory")]
#[must_use]
pub fn required_shadow_memory(max_kib: u64, vcpus: u32) -> u64 {
    // libxl multiplies the number of vCPUs in 32 bits.
    let vcpus = c_uint::from(vcpus.min(Bitmap::MAX));
    let max_kib = c_ulong::try_from(max_kib.min(MAX_MEMKB)).unwrap_or(c_ulong::MAX);
    // SAFETY: computes with numbers only.
    let needed = unsafe { sys::libxl_get_required_shadow_memory(max_kib, vcpus) };
    #[allow(clippy::useless_conversion)] // c_ulong is not 64 bits wide everywhere.
    u64::from(needed)
}

impl Context {
    /// Free memory that the creation of such a domain needs, in KiB: the domain's own, and the
    /// overhead of Xen and a device model.
    ///
    /// # Errors
    ///
    /// As [`domain_create_new`](Self::domain_create_new) for a configuration that libxl does not
    /// accept.
    #[doc(alias = "libxl_domain_need_memory")]
    pub fn domain_need_memory(&self, config: &DomainConfig) -> Result<u64> {
        let config = self.config_to_c(config)?;
        let mut need = 0;
        self.call("libxl_domain_need_memory", None, |ctx| {
            // SAFETY: a live context, a whole configuration, which libxl completes, and a place for
            // the figure.
            unsafe {
                sys::libxl_domain_need_memory(ctx, config.as_ptr(), INVALID_DOMID, &raw mut need)
            }
        })?;
        Ok(need)
    }

    /// Waits until this much memory is free, in KiB. Blocks this thread, and checks once a second;
    /// if `time` is zero, libxl does not check.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoMemory`] when the memory is not free in time.
    #[doc(alias = "libxl_wait_for_free_memory")]
    pub fn wait_for_free_memory(&self, kib: u64, time: Duration) -> Result<()> {
        self.call("libxl_wait_for_free_memory", None, |ctx| {
            // SAFETY: a live context. libxl does not use the domid.
            unsafe { sys::libxl_wait_for_free_memory(ctx, INVALID_DOMID, kib, seconds(time)) }
        })
    }
}

impl Domain {
    /// Limits the memory that the domain may have, in KiB. Memory above the limit is not taken
    /// away: lower the [target](Self::set_memory_target) first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] for a limit below the target;
    /// [`ErrorKind::Invalid`] for 16 TiB and more, which Xen cannot count;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_domain_setmaxmem")]
    pub fn set_max_memory(&self, kib: u64) -> Result<()> {
        const FUNCTION: &str = "libxl_domain_setmaxmem";
        // libxl adds to the figure without a check, and a sum that wraps would be next to no
        // memory.
        self.check_memory(FUNCTION, kib)?;
        self.call(FUNCTION, |ctx, domid| {
            // SAFETY: a live context.
            unsafe { sys::libxl_domain_setmaxmem(ctx, domid, kib) }
        })
    }

    /// Tells the guest's balloon driver how much memory to use, in KiB. With `enforce` Xen gives
    /// the guest no more than that from now on.
    ///
    /// Returns when the guest has been told;
    /// [`wait_for_memory_target`](Self::wait_for_memory_target) waits until the guest has complied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] or [`ErrorKind::Invalid`] for a target above the maximum or, for dom0,
    /// below what it needs; [`ErrorKind::Invalid`] for 16 TiB and more;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_set_memory_target")]
    pub fn set_memory_target(&self, kib: u64, enforce: bool) -> Result<()> {
        self.check_memory(SET_TARGET, kib)?;
        self.target(i64::try_from(kib).unwrap_or(i64::MAX), false, enforce)
    }

    /// As [`set_memory_target`](Self::set_memory_target), relative to the present target. A
    /// negative number takes memory away.
    ///
    /// # Errors
    ///
    /// As [`set_memory_target`](Self::set_memory_target).
    pub fn change_memory_target(&self, kib: i64, enforce: bool) -> Result<()> {
        self.check_memory(SET_TARGET, kib.unsigned_abs())?;
        self.target(kib, true, enforce)
    }

    /// Fails for more memory than Xen can count.
    fn check_memory(&self, function: &'static str, kib: u64) -> Result<()> {
        if kib <= MAX_MEMKB {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, function)
            .with_domain(Some(self.domid()))
            .with_message(format!("kib: {kib} is larger than {MAX_MEMKB}")))
    }

    fn target(&self, kib: i64, relative: bool, enforce: bool) -> Result<()> {
        self.call(SET_TARGET, |ctx, domid| {
            // SAFETY: a live context.
            unsafe {
                sys::libxl_set_memory_target(ctx, domid, kib, relative.into(), enforce.into())
            }
        })
    }

    /// Memory target of the domain, in KiB.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] for a domain without a target; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_get_memory_target")]
    pub fn memory_target(&self) -> Result<u64> {
        let mut target = 0;
        self.call("libxl_get_memory_target", |ctx, domid| {
            // SAFETY: a live context and a place for the figure.
            unsafe { sys::libxl_get_memory_target(ctx, domid, &raw mut target) }
        })?;
        Ok(target)
    }

    /// Waits until the domain uses no more memory than its target.
    ///
    /// Blocks this thread. libxl checks every other second, and does not count the time in which
    /// the guest makes progress.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the target was not reached in time;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_wait_for_memory_target")]
    pub fn wait_for_memory_target(&self, time: Duration) -> Result<()> {
        self.call("libxl_wait_for_memory_target", |ctx, domid| {
            // SAFETY: a live context.
            unsafe { sys::libxl_wait_for_memory_target(ctx, domid, seconds(time)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{required_shadow_memory, seconds};

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(3)), 3);
        assert_eq!(seconds(Duration::from_secs(u64::MAX)), i32::MAX);
    }

    #[test]
    fn shadows_of_more_memory_and_more_vcpus_need_more() {
        let base = required_shadow_memory(1 << 20, 1);
        assert!(base > 0);
        assert!(required_shadow_memory(1 << 21, 1) > base);
        assert!(required_shadow_memory(1 << 20, 8) > base);
    }

    /// libxl's own arithmetic has 32 bits.
    #[test]
    fn more_vcpus_than_there_can_be_need_as_much_as_the_most() {
        let most = required_shadow_memory(0, 0xffff);
        for vcpus in [0x1_0000, 1 << 24, u32::MAX] {
            assert_eq!(required_shadow_memory(0, vcpus), most, "{vcpus}");
        }
        let most = required_shadow_memory((1 << 34) - 1, 1);
        assert_eq!(required_shadow_memory(u64::MAX, 1), most);
    }
}
