//! Allocation: the parts of a cache that a domain may fill, and the speed of its memory.

use std::{
    collections::BTreeSet,
    ffi::{c_int, c_uint},
    ptr,
};

use libxl_sys as sys;
use serde::Serialize;

use super::x86::if_there;
use crate::{
    Context, Domain, Error, ErrorKind, Result,
    bitmaps::{Bits, host_bitmap_of},
    config::Bitmap,
    raw::List,
};

/// A setting of a domain (`libxl_psr_cbm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_cbm_type")]
#[doc(alias = "libxl_psr_type")]
pub enum PsrType {
    /// Parts of the L3 cache that the domain may fill, one bit for each.
    L3Cbm,
    /// Parts of the L3 cache for code only, with CDP.
    L3CbmCode,
    /// Parts of the L3 cache for data only, with CDP.
    L3CbmData,
    /// Parts of the L2 cache that the domain may fill.
    L2Cbm,
    /// Throttling of the domain's memory.
    MbaThrottle,
}

/// A feature that divides a resource (`libxl_psr_feat_type`).
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
impl PsrType {
    fn raw(self) -> sys::libxl_psr_cbm_type {
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

#[cfg(libxl_have = "psr_generic")]
impl PsrFeature {
    fn raw(self) -> sys::libxl_psr_feat_type {
        use sys::libxl_psr_feat_type as Raw;
        match self {
            Self::Cat => Raw::LIBXL_PSR_FEAT_TYPE_CAT,
            Self::Mba => Raw::LIBXL_PSR_FEAT_TYPE_MBA,
        }
    }
}

/// The abilities of CAT in one socket (`libxl_psr_cat_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[doc(alias = "libxl_psr_cat_info")]
pub struct CatInfo {
    /// The socket.
    pub id: u32,
    /// The highest number of a class of service: `cos_max + 1` domains can differ.
    pub cos_max: u32,
    /// Number of parts of the cache.
    pub cbm_len: u32,
    /// Code and data are divided separately.
    pub cdp_enabled: bool,
}

/// The abilities of a feature in one socket (`libxl_psr_hw_info`).
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
        /// The largest throttling of memory.
        throttle_max: u32,
        /// A value is a percentage, in steps of 100 minus `throttle_max`.
        linear: bool,
    },
}

impl Context {
    /// The abilities of CAT with the cache of this level, 2 or 3, in each socket.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for another level; [`ErrorKind::Failed`] when the processor cannot do it,
    /// or while so many CPUs are offline that libxl miscounts the sockets;
    /// [`ErrorKind::Unsupported`] on Arm.
    #[doc(alias = "libxl_psr_cat_get_info")]
    #[doc(alias = "libxl_psr_cat_info_list_free")]
    pub fn psr_cat_info(&self, level: u32) -> Result<Vec<CatInfo>> {
        if_there!("libxl_psr_cat_get_info", {
            check_level("libxl_psr_cat_get_info", level)?;
            self.has_room_for_sockets("libxl_psr_cat_get_info")?;
            let mut list = ptr::null_mut();
            let mut count: c_uint = 0;
            self.call("libxl_psr_cat_get_info", None, |ctx| {
                // SAFETY: a live context, places for the list and its length.
                unsafe { sys::libxl_psr_cat_get_info(ctx, &raw mut list, &raw mut count, level) }
            })?;
            Ok(cat_infos(list, c_int::try_from(count).unwrap_or(0)))
        })
    }

    /// The abilities of CAT with the L3 cache in each socket.
    ///
    /// # Errors
    ///
    /// As [`psr_cat_info`](Self::psr_cat_info).
    #[doc(alias = "libxl_psr_cat_get_l3_info")]
    pub fn psr_cat_l3_info(&self) -> Result<Vec<CatInfo>> {
        if_there!("libxl_psr_cat_get_l3_info", {
            self.has_room_for_sockets("libxl_psr_cat_get_l3_info")?;
            let mut list = ptr::null_mut();
            let mut count: c_int = 0;
            self.call("libxl_psr_cat_get_l3_info", None, |ctx| {
                // SAFETY: a live context, places for the list and its length.
                unsafe { sys::libxl_psr_cat_get_l3_info(ctx, &raw mut list, &raw mut count) }
            })?;
            Ok(cat_infos(list, count))
        })
    }

    /// The abilities of a feature in each socket. `level` is the level of a cache, and 0 for
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
            self.has_room_for_sockets("libxl_psr_get_hw_info")?;
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

    /// Fails if libxl would write beyond the end of its list.
    ///
    /// libxl makes room for as many sockets as it counts, and fills in all sockets with an online
    /// CPU (4.14 to 4.22). With some CPUs offline it counts fewer. A CPU that goes offline between
    /// this check and the call still causes the overrun.
    #[cfg(libxl_have = "psr_generic")]
    fn has_room_for_sockets(&self, function: &'static str) -> Result<()> {
        let room = self.sockets()?;
        let online = self.cpu_topology()?;
        let online: BTreeSet<u32> = online.iter().flatten().map(|cpu| cpu.socket).collect();
        if u32::try_from(online.len()).is_ok_and(|online| online <= room) {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Failed, function).with_message(format!(
                "{} sockets have CPUs that are online, and libxl has room for {room}",
                online.len()
            )),
        )
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

/// Converts libxl's structure. `feature` is the one that was asked for: libxl does not set the type
/// in its answer.
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
    /// Changes a setting of the domain in these sockets.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a socket that the host does not have; [`ErrorKind::Failed`] for
    /// an invalid value, when the classes of service are used up, or when the processor cannot do
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

    /// Value of a setting of the domain in a socket.
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
