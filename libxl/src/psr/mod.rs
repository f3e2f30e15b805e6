//! Shared resources of a socket: watching and dividing its caches and its memory bandwidth. x86.
//!
//! Intel's *Platform Shared Resource* features: *CMT* counts how much of the L3 cache a domain has
//! filled, and *MBM* how much memory it moves. *CAT* and *CDP* set the parts of the L2 and L3
//! caches that a domain may fill, and *MBA* slows its memory down. A feature that the processor
//! lacks fails, and the log says so.
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

mod allocation;
mod monitoring;
mod x86;

pub use allocation::{CatInfo, PsrFeature, PsrHwInfo, PsrType};
pub use monitoring::{CmtSample, CmtType};
