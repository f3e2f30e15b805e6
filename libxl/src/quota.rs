//! Limits on the use of xenstore by domains: nodes, watches, transactions and so on.
//!
//! xenstored has named limits, with a value for all domains, and other values for single domains.
//! Since Xen 4.22.
//!
//! ```no_run
//! use libxl::Context;
//!
//! let ctx = Context::open()?;
//! for limit in ctx.xs_quota()?.quota {
//!     println!("{:?}: {}", limit.name, limit.val);
//! }
//! # Ok::<(), libxl::Error>(())
//! ```

#![cfg_attr(
    not(libxl_have = "xenstore_quota"),
    allow(unused_variables, unused_imports)
)]

use libxl_sys as sys;

use crate::{Context, Domain, Result, config::XsQuotaList, raw::Owned};

/// Runs the given code where libxl has these functions.
macro_rules! if_there {
    ($function:literal, $what:expr) => {{
        #[cfg(libxl_have = "xenstore_quota")]
        {
            $what
        }
        #[cfg(not(libxl_have = "xenstore_quota"))]
        {
            Err(Context::lacks($function, "xenstore_quota"))
        }
    }};
}

impl Context {
    /// Limits of all domains without limits of their own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) before Xen 4.22;
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) when xenstored does not know limits.
    #[doc(alias = "libxl_xs_quota_global_get")]
    pub fn xs_quota(&self) -> Result<XsQuotaList> {
        if_there!("libxl_xs_quota_global_get", {
            let list = Owned::<sys::libxl_xs_quota_list>::new();
            self.call("libxl_xs_quota_global_get", None, |ctx| {
                // SAFETY: a live context and an initialised structure.
                unsafe { sys::libxl_xs_quota_global_get(ctx, list.as_ptr()) }
            })?;
            self.read_c(list.as_ptr())
        })
    }

    /// Sets some of them.
    ///
    /// # Errors
    ///
    /// As [`xs_quota`](Self::xs_quota).
    #[doc(alias = "libxl_xs_quota_global_set")]
    pub fn set_xs_quota(&self, quota: &XsQuotaList) -> Result<()> {
        if_there!("libxl_xs_quota_global_set", {
            let list = self.make_c::<sys::libxl_xs_quota_list>(quota)?;
            self.call("libxl_xs_quota_global_set", None, |ctx| {
                // SAFETY: a live context and an initialised structure.
                unsafe { sys::libxl_xs_quota_global_set(ctx, list.as_ptr()) }
            })
        })
    }
}

impl Domain {
    /// Limits of this domain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) before Xen 4.22;
    /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) when xenstored does not know limits;
    /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
    #[doc(alias = "libxl_xs_quota_domain_get")]
    pub fn xs_quota(&self) -> Result<XsQuotaList> {
        if_there!("libxl_xs_quota_domain_get", {
            let list = Owned::<sys::libxl_xs_quota_list>::new();
            self.call("libxl_xs_quota_domain_get", |ctx, domid| {
                // SAFETY: a live context and an initialised structure.
                unsafe { sys::libxl_xs_quota_domain_get(ctx, domid, list.as_ptr()) }
            })?;
            self.context().read_c(list.as_ptr())
        })
    }

    /// Sets some of them.
    ///
    /// # Errors
    ///
    /// As [`xs_quota`](Self::xs_quota).
    #[doc(alias = "libxl_xs_quota_domain_set")]
    pub fn set_xs_quota(&self, quota: &XsQuotaList) -> Result<()> {
        if_there!("libxl_xs_quota_domain_set", {
            let list = self.context().make_c::<sys::libxl_xs_quota_list>(quota)?;
            self.call("libxl_xs_quota_domain_set", |ctx, domid| {
                // SAFETY: a live context and an initialised structure.
                unsafe { sys::libxl_xs_quota_domain_set(ctx, domid, list.as_ptr()) }
            })
        })
    }
}
