//! Monitoring: how much of a cache a domain fills, and how much memory it moves.

use libxl_sys as sys;
use serde::Serialize;

use super::x86::if_there;
use crate::{Context, Domain, Error, ErrorKind, Result};

/// A measurement (`libxl_psr_cmt_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_cmt_type")]
pub enum CmtType {
    /// Occupancy of the L3 cache, in bytes.
    CacheOccupancy,
    /// Memory moved, in total.
    TotalMemory,
    /// Memory moved from and to the socket's own memory.
    LocalMemory,
}

#[cfg(libxl_have = "psr_generic")]
impl CmtType {
    fn raw(self) -> sys::libxl_psr_cmt_type {
        use sys::libxl_psr_cmt_type as Raw;
        match self {
            Self::CacheOccupancy => Raw::LIBXL_PSR_CMT_TYPE_CACHE_OCCUPANCY,
            Self::TotalMemory => Raw::LIBXL_PSR_CMT_TYPE_TOTAL_MEM_COUNT,
            Self::LocalMemory => Raw::LIBXL_PSR_CMT_TYPE_LOCAL_MEM_COUNT,
        }
    }
}

/// One reading of a counter (`libxl_psr_cmt_get_sample`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CmtSample {
    /// Value of the counter. Two values and the time between them give a rate.
    pub value: u64,
    /// The time stamp counter at that moment.
    pub tsc: u64,
}

impl Context {
    /// Returns true if the processor can monitor its caches, and Xen was told to (`psr=cmt`).
    #[doc(alias = "libxl_psr_cmt_enabled")]
    #[must_use]
    pub fn psr_cmt_enabled(&self) -> bool {
        #[cfg(libxl_have = "psr_generic")]
        // SAFETY: a live context.
        return unsafe { sys::libxl_psr_cmt_enabled(self.enter().ptr()) > 0 };
        #[cfg(not(libxl_have = "psr_generic"))]
        false
    }

    /// Returns true if this can be measured.
    #[doc(alias = "libxl_psr_cmt_type_supported")]
    #[must_use]
    pub fn psr_cmt_supports(&self, what: CmtType) -> bool {
        #[cfg(libxl_have = "psr_generic")]
        // SAFETY: a live context.
        return unsafe { sys::libxl_psr_cmt_type_supported(self.enter().ptr(), what.raw()) > 0 };
        #[cfg(not(libxl_have = "psr_generic"))]
        false
    }

    /// Number of domains that can be monitored at a time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the processor cannot do it, [`ErrorKind::Unsupported`] on Arm.
    #[doc(alias = "libxl_psr_cmt_get_total_rmid")]
    pub fn psr_cmt_total_rmid(&self) -> Result<u32> {
        if_there!("libxl_psr_cmt_get_total_rmid", {
            let mut total = 0;
            self.call("libxl_psr_cmt_get_total_rmid", None, |ctx| {
                // SAFETY: a live context and a place for the number.
                unsafe { sys::libxl_psr_cmt_get_total_rmid(ctx, &raw mut total) }
            })?;
            Ok(total)
        })
    }

    /// The size of a socket's L3 cache, in KiB.
    ///
    /// # Errors
    ///
    /// As [`psr_cmt_total_rmid`](Self::psr_cmt_total_rmid).
    #[doc(alias = "libxl_psr_cmt_get_l3_cache_size")]
    pub fn psr_l3_cache_size(&self, socket: u32) -> Result<u32> {
        if_there!("libxl_psr_cmt_get_l3_cache_size", {
            check_socket("libxl_psr_cmt_get_l3_cache_size", socket)?;
            let mut size = 0;
            self.call("libxl_psr_cmt_get_l3_cache_size", None, |ctx| {
                // SAFETY: a live context and a place for the size.
                unsafe { sys::libxl_psr_cmt_get_l3_cache_size(ctx, socket, &raw mut size) }
            })?;
            Ok(size)
        })
    }
}

impl Domain {
    /// Starts to monitor the domain's use of the caches.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failed`] when the processor cannot do it, or all counters are in use;
    /// [`ErrorKind::Unsupported`] on Arm; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_psr_cmt_attach")]
    pub fn psr_cmt_attach(&self) -> Result<()> {
        if_there!(
            "libxl_psr_cmt_attach",
            self.call("libxl_psr_cmt_attach", |ctx, domid| {
                // SAFETY: a live context.
                unsafe { sys::libxl_psr_cmt_attach(ctx, domid) }
            })
        )
    }

    /// Stops monitoring the domain's use of the caches.
    ///
    /// # Errors
    ///
    /// As [`psr_cmt_attach`](Self::psr_cmt_attach).
    #[doc(alias = "libxl_psr_cmt_detach")]
    pub fn psr_cmt_detach(&self) -> Result<()> {
        if_there!(
            "libxl_psr_cmt_detach",
            self.call("libxl_psr_cmt_detach", |ctx, domid| {
                // SAFETY: a live context.
                unsafe { sys::libxl_psr_cmt_detach(ctx, domid) }
            })
        )
    }

    /// Returns true if the domain is monitored; false if it is gone.
    #[doc(alias = "libxl_psr_cmt_domain_attached")]
    #[must_use]
    pub fn psr_cmt_attached(&self) -> bool {
        #[cfg(libxl_have = "psr_generic")]
        return self.check("libxl_psr_cmt_domain_attached").is_ok()
            // SAFETY: a live context.
            && unsafe {
                sys::libxl_psr_cmt_domain_attached(self.context().enter().ptr(), self.domid().0) > 0
            };
        #[cfg(not(libxl_have = "psr_generic"))]
        false
    }

    /// Amount of a socket's L3 cache that the domain has filled, in KiB.
    ///
    /// # Errors
    ///
    /// As [`psr_cmt_attach`](Self::psr_cmt_attach); [`ErrorKind::Failed`] while the domain is not
    /// monitored.
    #[doc(alias = "libxl_psr_cmt_get_cache_occupancy")]
    pub fn psr_cache_occupancy(&self, socket: u32) -> Result<u32> {
        if_there!("libxl_psr_cmt_get_cache_occupancy", {
            check_socket("libxl_psr_cmt_get_cache_occupancy", socket)?;
            let mut kib = 0;
            self.call("libxl_psr_cmt_get_cache_occupancy", |ctx, domid| {
                // SAFETY: a live context and a place for the figure.
                unsafe { sys::libxl_psr_cmt_get_cache_occupancy(ctx, domid, socket, &raw mut kib) }
            })?;
            Ok(kib)
        })
    }

    /// Reads a counter of a socket.
    ///
    /// # Errors
    ///
    /// As [`psr_cache_occupancy`](Self::psr_cache_occupancy).
    #[doc(alias = "libxl_psr_cmt_get_sample")]
    pub fn psr_sample(&self, what: CmtType, socket: u32) -> Result<CmtSample> {
        if_there!("libxl_psr_cmt_get_sample", {
            check_socket("libxl_psr_cmt_get_sample", socket)?;
            let mut sample = CmtSample { value: 0, tsc: 0 };
            self.call("libxl_psr_cmt_get_sample", |ctx, domid| {
                // SAFETY: a live context and places for both figures.
                unsafe {
                    sys::libxl_psr_cmt_get_sample(
                        ctx,
                        domid,
                        what.raw(),
                        socket.into(),
                        &raw mut sample.value,
                        &raw mut sample.tsc,
                    )
                }
            })?;
            Ok(sample)
        })
    }
}

/// Fails for the number by which libxl marks an offline CPU: it would take such a CPU for one of
/// this socket.
fn check_socket(function: &'static str, socket: u32) -> Result<()> {
    if socket == u32::MAX {
        return Err(Error::new(ErrorKind::Invalid, function)
            .with_message(format!("socket: the host has no socket {socket}")));
    }
    Ok(())
}
