//! Shared resources of a socket: watching and dividing its caches and its memory bandwidth. x86.
//!
//! Intel's *Platform Shared Resource* features: *CMT* counts how much of the L3 cache a domain has
//! filled, *MBM* how much memory it moves, *CAT* and *CDP* say which parts of the L2 and L3 caches
//! it may fill, *MBA* slows its memory down. What the processor lacks fails, and the log says so.
//!
//! ```no_run
//! use libxl::{Context, config::Bitmap, psr::PsrType};
//!
//! let ctx = Context::open()?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("rt")?)?;
//! // The lower four parts of the L3 cache of socket 0, and no others.
//! domain.psr_set(PsrType::L3Cbm, &Bitmap::from([0]), 0b1111)?;
//! assert_eq!(domain.psr_get(PsrType::L3Cbm, 0)?, 0b1111);
//! # Ok::<(), libxl::Error>(())
//! ```

#![cfg_attr(
    not(libxl_have = "psr_generic"),
    allow(unused_variables, unused_imports, dead_code)
)]

use std::{
    ffi::{c_int, c_uint},
    ptr,
};

use libxl_sys as sys;
use serde::Serialize;

use crate::{
    Context, Domain, Error, ErrorKind, Result,
    bitmaps::{Bits, host_bitmap_of},
    config::Bitmap,
    raw::List,
};

/// What is done where libxl has these functions: on x86.
macro_rules! if_there {
    ($function:literal, $what:expr) => {{
        #[cfg(libxl_have = "psr_generic")]
        {
            $what
        }
        #[cfg(not(libxl_have = "psr_generic"))]
        {
            Err(Context::lacks($function, "psr_generic"))
        }
    }};
}

/// What can be watched (`libxl_psr_cmt_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_cmt_type")]
pub enum CmtType {
    /// How much of the L3 cache is filled, in bytes.
    CacheOccupancy,
    /// Memory moved in all.
    TotalMemory,
    /// Memory moved from and to the socket's own.
    LocalMemory,
}

/// What can be set for a domain (`libxl_psr_cbm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_cbm_type")]
#[doc(alias = "libxl_psr_type")]
pub enum PsrType {
    /// The parts of the L3 cache that it may fill, a bit for each.
    L3Cbm,
    /// The same for code only, with CDP.
    L3CbmCode,
    /// The same for data only, with CDP.
    L3CbmData,
    /// The parts of the L2 cache that it may fill.
    L2Cbm,
    /// How much its memory is slowed down.
    MbaThrottle,
}

/// A feature that divides something (`libxl_psr_feat_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_feat_type")]
pub enum PsrFeature {
    /// Cache Allocation Technology.
    Cat,
    /// Memory Bandwidth Allocation.
    Mba,
}

#[cfg(libxl_have = "psr_generic")]
mod raw {
    use super::{CmtType, PsrFeature, PsrType, sys};

    impl CmtType {
        pub(super) fn raw(self) -> sys::libxl_psr_cmt_type {
            use sys::libxl_psr_cmt_type as Raw;
            match self {
                Self::CacheOccupancy => Raw::LIBXL_PSR_CMT_TYPE_CACHE_OCCUPANCY,
                Self::TotalMemory => Raw::LIBXL_PSR_CMT_TYPE_TOTAL_MEM_COUNT,
                Self::LocalMemory => Raw::LIBXL_PSR_CMT_TYPE_LOCAL_MEM_COUNT,
            }
        }
    }

    impl PsrType {
        pub(super) fn raw(self) -> sys::libxl_psr_cbm_type {
            use sys::libxl_psr_cbm_type as Raw;
            match self {
                Self::L3Cbm => Raw::LIBXL_PSR_CBM_TYPE_L3_CBM,
                Self::L3CbmCode => Raw::LIBXL_PSR_CBM_TYPE_L3_CBM_CODE,
                Self::L3CbmData => Raw::LIBXL_PSR_CBM_TYPE_L3_CBM_DATA,
                Self::L2Cbm => Raw::LIBXL_PSR_CBM_TYPE_L2_CBM,
                Self::MbaThrottle => Raw::LIBXL_PSR_CBM_TYPE_MBA_THRTL,
            }
        }
    }

    impl PsrFeature {
        pub(super) fn raw(self) -> sys::libxl_psr_feat_type {
            use sys::libxl_psr_feat_type as Raw;
            match self {
                Self::Cat => Raw::LIBXL_PSR_FEAT_TYPE_CAT,
                Self::Mba => Raw::LIBXL_PSR_FEAT_TYPE_MBA,
            }
        }
    }
}

/// What CAT can do in one socket (`libxl_psr_cat_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_cat_info")]
pub struct CatInfo {
    /// The socket.
    pub id: u32,
    /// The highest number of a class of service: one more domains can differ.
    pub cos_max: u32,
    /// How many parts the cache has.
    pub cbm_len: u32,
    /// Code and data are divided separately.
    pub cdp_enabled: bool,
}

/// What a feature can do in one socket (`libxl_psr_hw_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_hw_info")]
pub enum PsrHwInfo {
    /// CAT.
    Cat(CatInfo),
    /// MBA.
    Mba {
        /// The socket.
        id: u32,
        /// The highest number of a class of service.
        cos_max: u32,
        /// The most that memory can be slowed down.
        throttle_max: u32,
        /// A value is a percentage, in steps of 100 minus the most.
        linear: bool,
    },
}

/// One reading of a counter (`libxl_psr_cmt_get_sample`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CmtSample {
    /// The counter; two of them and the time in between make a rate.
    pub value: u64,
    /// The time stamp counter at that moment.
    pub tsc: u64,
}

impl Context {
    /// Whether the processor can watch its caches, and Xen was told to (`psr=cmt`).
    #[doc(alias = "libxl_psr_cmt_enabled")]
    #[must_use]
    pub fn psr_cmt_enabled(&self) -> bool {
        #[cfg(libxl_have = "psr_generic")]
        // SAFETY: a live context.
        return unsafe { sys::libxl_psr_cmt_enabled(self.enter().ptr()) > 0 };
        #[cfg(not(libxl_have = "psr_generic"))]
        false
    }

    /// Whether this can be watched.
    #[doc(alias = "libxl_psr_cmt_type_supported")]
    #[must_use]
    pub fn psr_cmt_supports(&self, what: CmtType) -> bool {
        #[cfg(libxl_have = "psr_generic")]
        // SAFETY: a live context.
        return unsafe { sys::libxl_psr_cmt_type_supported(self.enter().ptr(), what.raw()) > 0 };
        #[cfg(not(libxl_have = "psr_generic"))]
        false
    }

    /// How many domains can be watched at a time.
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
            let mut size = 0;
            self.call("libxl_psr_cmt_get_l3_cache_size", None, |ctx| {
                // SAFETY: a live context and a place for the size.
                unsafe { sys::libxl_psr_cmt_get_l3_cache_size(ctx, socket, &raw mut size) }
            })?;
            Ok(size)
        })
    }

    /// What CAT can do with the cache of this level, 2 or 3, in each socket.
    ///
    /// # Errors
    ///
    /// As [`psr_cmt_total_rmid`](Self::psr_cmt_total_rmid); [`ErrorKind::Invalid`] for another level.
    #[doc(alias = "libxl_psr_cat_get_info")]
    #[doc(alias = "libxl_psr_cat_info_list_free")]
    pub fn psr_cat_info(&self, level: u32) -> Result<Vec<CatInfo>> {
        if_there!("libxl_psr_cat_get_info", {
            check_level("libxl_psr_cat_get_info", level)?;
            let mut list = ptr::null_mut();
            let mut count: c_uint = 0;
            self.call("libxl_psr_cat_get_info", None, |ctx| {
                // SAFETY: a live context, places for the list and its length.
                unsafe { sys::libxl_psr_cat_get_info(ctx, &raw mut list, &raw mut count, level) }
            })?;
            Ok(cat_infos(list, c_int::try_from(count).unwrap_or(0)))
        })
    }

    /// What CAT can do with the L3 cache in each socket.
    ///
    /// # Errors
    ///
    /// As [`psr_cmt_total_rmid`](Self::psr_cmt_total_rmid).
    #[doc(alias = "libxl_psr_cat_get_l3_info")]
    pub fn psr_cat_l3_info(&self) -> Result<Vec<CatInfo>> {
        if_there!("libxl_psr_cat_get_l3_info", {
            let mut list = ptr::null_mut();
            let mut count: c_int = 0;
            self.call("libxl_psr_cat_get_l3_info", None, |ctx| {
                // SAFETY: a live context, places for the list and its length.
                unsafe { sys::libxl_psr_cat_get_l3_info(ctx, &raw mut list, &raw mut count) }
            })?;
            Ok(cat_infos(list, count))
        })
    }

    /// What a feature can do in each socket; `level` is that of a cache, and 0 for
    /// [`PsrFeature::Mba`].
    ///
    /// # Errors
    ///
    /// As [`psr_cat_info`](Self::psr_cat_info).
    #[doc(alias = "libxl_psr_get_hw_info")]
    #[doc(alias = "libxl_psr_hw_info_list_free")]
    pub fn psr_hw_info(&self, feature: PsrFeature, level: u32) -> Result<Vec<PsrHwInfo>> {
        if_there!("libxl_psr_get_hw_info", {
            if feature == PsrFeature::Cat {
                check_level("libxl_psr_get_hw_info", level)?;
            }
            let mut list = ptr::null_mut();
            let mut count: c_uint = 0;
            self.call("libxl_psr_get_hw_info", None, |ctx| {
                // SAFETY: a live context, places for the list and its length.
                unsafe {
                    sys::libxl_psr_get_hw_info(
                        ctx,
                        feature.raw(),
                        level,
                        &raw mut count,
                        &raw mut list,
                    )
                }
            })?;
            let count = c_int::try_from(count).unwrap_or(0);
            // SAFETY: what libxl has just returned, and what frees it.
            let list = unsafe {
                List::take(list, count, |list, count| {
                    sys::libxl_psr_hw_info_list_free(list, c_uint::try_from(count).unwrap_or(0));
                })
            };
            let all = list.iter().flat_map(|list| list.as_slice());
            Ok(all.map(|raw| hw_info(feature, raw)).collect())
        })
    }
}

#[cfg(libxl_have = "psr_generic")]
fn cat_infos(list: *mut sys::libxl_psr_cat_info, count: c_int) -> Vec<CatInfo> {
    // SAFETY: the callers have just got it from libxl; and what frees it.
    let list = unsafe {
        List::take(list, count, |list, count| {
            sys::libxl_psr_cat_info_list_free(list, count);
        })
    };
    let all = list.iter().flat_map(|list| list.as_slice());
    all.map(|raw| CatInfo {
        id: raw.id,
        cos_max: raw.cos_max,
        cbm_len: raw.cbm_len,
        cdp_enabled: raw.cdp_enabled,
    })
    .collect()
}

#[cfg(libxl_have = "psr_generic")]
fn check_level(function: &'static str, level: u32) -> Result<()> {
    if matches!(level, 2 | 3) {
        return Ok(());
    }
    // libxl would end the process.
    Err(
        Error::new(ErrorKind::Invalid, function).with_message(format!(
            "there is no cache of level {level} to share out: 2 or 3"
        )),
    )
}

/// `feature` is what was asked for: libxl does not set the type in its answer.
#[cfg(libxl_have = "psr_generic")]
fn hw_info(feature: PsrFeature, raw: &sys::libxl_psr_hw_info) -> PsrHwInfo {
    match feature {
        PsrFeature::Cat => {
            // SAFETY: the arm that belongs to this feature.
            let cat = unsafe { &raw.u.cat };
            PsrHwInfo::Cat(CatInfo {
                id: raw.id,
                cos_max: cat.cos_max,
                cbm_len: cat.cbm_len,
                cdp_enabled: cat.cdp_enabled,
            })
        }
        PsrFeature::Mba => {
            // SAFETY: the arm that belongs to this feature.
            let mba = unsafe { &raw.u.mba };
            PsrHwInfo::Mba {
                id: raw.id,
                cos_max: mba.cos_max,
                throttle_max: mba.thrtl_max,
                linear: mba.linear,
            }
        }
    }
}

impl Domain {
    /// Begins to watch its use of the caches.
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

    /// Ends it.
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

    /// Whether it is watched; not if it is gone.
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

    /// How much of a socket's L3 cache it has filled, in KiB.
    ///
    /// # Errors
    ///
    /// As [`psr_cmt_attach`](Self::psr_cmt_attach); [`ErrorKind::Failed`] while it is not watched.
    #[doc(alias = "libxl_psr_cmt_get_cache_occupancy")]
    pub fn psr_cache_occupancy(&self, socket: u32) -> Result<u32> {
        if_there!("libxl_psr_cmt_get_cache_occupancy", {
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

    /// Sets something in these sockets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a socket that the host does not have; [`ErrorKind::Failed`] for a
    /// value that is none, when the classes of service are used up, or when the processor cannot do
    /// it; [`ErrorKind::Unsupported`] on Arm; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_psr_set_val")]
    pub fn psr_set(&self, what: PsrType, sockets: &Bitmap, value: u64) -> Result<()> {
        if_there!("libxl_psr_set_val", {
            let map = host_bitmap_of(self.context(), "libxl_psr_set_val", Bits::Sockets, sockets)?;
            self.call("libxl_psr_set_val", |ctx, domid| {
                // SAFETY: a live context and a bitmap.
                unsafe { sys::libxl_psr_set_val(ctx, domid, what.raw(), map.as_ptr(), value) }
            })
        })
    }

    /// What is set in a socket.
    ///
    /// # Errors
    ///
    /// As [`psr_set`](Self::psr_set).
    #[doc(alias = "libxl_psr_get_val")]
    pub fn psr_get(&self, what: PsrType, socket: u32) -> Result<u64> {
        if_there!("libxl_psr_get_val", {
            let mut value = 0;
            self.call("libxl_psr_get_val", |ctx, domid| {
                // SAFETY: a live context and a place for the value.
                unsafe { sys::libxl_psr_get_val(ctx, domid, what.raw(), socket, &raw mut value) }
            })?;
            Ok(value)
        })
    }

    /// [`psr_set`](Self::psr_set) by the older function for caches.
    ///
    /// # Errors
    ///
    /// As [`psr_set`](Self::psr_set).
    #[doc(alias = "libxl_psr_cat_set_cbm")]
    pub fn psr_cat_set_cbm(&self, what: PsrType, sockets: &Bitmap, cbm: u64) -> Result<()> {
        const FUNCTION: &str = "libxl_psr_cat_set_cbm";
        if_there!("libxl_psr_cat_set_cbm", {
            let map = host_bitmap_of(self.context(), FUNCTION, Bits::Sockets, sockets)?;
            self.call(FUNCTION, |ctx, domid| {
                // SAFETY: a live context and a bitmap.
                unsafe { sys::libxl_psr_cat_set_cbm(ctx, domid, what.raw(), map.as_ptr(), cbm) }
            })
        })
    }

    /// [`psr_get`](Self::psr_get) by the older function for caches.
    ///
    /// # Errors
    ///
    /// As [`psr_set`](Self::psr_set).
    #[doc(alias = "libxl_psr_cat_get_cbm")]
    pub fn psr_cat_get_cbm(&self, what: PsrType, socket: u32) -> Result<u64> {
        if_there!("libxl_psr_cat_get_cbm", {
            let mut cbm = 0;
            self.call("libxl_psr_cat_get_cbm", |ctx, domid| {
                // SAFETY: a live context and a place for the value.
                unsafe { sys::libxl_psr_cat_get_cbm(ctx, domid, what.raw(), socket, &raw mut cbm) }
            })?;
            Ok(cbm)
        })
    }
}
